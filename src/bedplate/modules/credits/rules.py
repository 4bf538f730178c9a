"""What `credits` decides without asking anyone: costs, limits, and what a request may hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bedplate.kernel.idempotency import KEY_CHARACTERS_MAX
from bedplate.modules.credits.errors import (
    AmountInvalid,
    KeyInvalid,
    PeriodInvalid,
    UnknownOperation,
)
from bedplate.modules.credits.models import OperationType

AMOUNT_MAX = 1_000_000_000
"""The most credits that one request may move."""

HOLD_FOR_MAX = timedelta(days=90)
"""How long a hold may last."""

DAYS_MAX = 36_500
"""How many days usage is summed over at most: a century."""

DEFAULT_COSTS: Mapping[OperationType, int] = {
    OperationType.AI_TEXT_CHAT: 1,
    OperationType.AI_IMAGE_GENERATION: 5,
    OperationType.PROJECT_CREATION: 10,
    OperationType.PRD_GENERATION: 10,
    OperationType.SCHEMA_GENERATION: 10,
    OperationType.FLOWCHART_GENERATION: 5,
    OperationType.TASK_GENERATION: 5,
    OperationType.PLAN_GENERATION: 5,
    OperationType.WORKSPACE_BLUEPRINT: 20,
    OperationType.FEATURE_SEGMENTATION: 5,
}
"""Credits per operation where `admin_settings.feature_costs` says nothing (plan D).

An ADMIN_ADJUSTMENT has no cost: its amount is always given.
"""


def operation_of(value: OperationType | str, place: str = "operation") -> OperationType:
    """Return the member; raises UnknownOperation."""
    if isinstance(value, OperationType):
        return value
    try:
        return OperationType(value)
    except ValueError:
        raise UnknownOperation(f"{place} is none of OperationType.") from None


def require_amount(value: object, place: str = "amount", least: int = 1) -> int:
    """Return the amount; raises AmountInvalid for what is no whole number within the limits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise AmountInvalid(f"{place} takes whole credits (int), not {type(value).__name__}.")
    if not least <= value <= AMOUNT_MAX:
        raise AmountInvalid(f"{place} is out of range.")
    return value


def require_key(value: object, place: str = "key") -> str:
    """Return the key; raises KeyInvalid."""
    # PostgreSQL stores neither NUL nor half of a surrogate pair.
    plain = isinstance(value, str) and "\0" not in value and _is_unicode(value)
    if not isinstance(value, str) or not plain or not 1 <= len(value) <= KEY_CHARACTERS_MAX:
        raise KeyInvalid(f"{place} is not 1 to {KEY_CHARACTERS_MAX} characters of text.")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_hold_time(value: object, place: str = "expires_in") -> timedelta:
    """Return how long a hold lasts; raises PeriodInvalid."""
    if not isinstance(value, timedelta) or not timedelta() < value <= HOLD_FOR_MAX:
        raise PeriodInvalid(
            f"{place} is no time within {HOLD_FOR_MAX.days} days.",
            "Pass a positive datetime.timedelta.",
        )
    return value


def require_days(value: object, place: str = "days") -> int:
    """Return a number of days to look back; raises PeriodInvalid."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= DAYS_MAX:
        raise PeriodInvalid(
            f"{place} is no whole number of days from 1 to {DAYS_MAX}.", "Pass such an int."
        )
    return value


def costs_document(costs: Mapping[OperationType, int]) -> dict[str, Any]:
    """Return feature costs as `admin_settings` keeps them; raises AmountInvalid."""
    return {
        operation_of(name, f"costs[{name!r}]").value: require_amount(
            cost, f"costs[{getattr(name, 'value', name)}]", least=0
        )
        for name, cost in costs.items()
    }
