"""What the calls of the verbs share: their parameters, and the errors for what they answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Integer, Interval, Text, Uuid, bindparam, text
from sqlalchemy.types import NullType, TypeEngine

from bedplate.kernel.errors import BedplateError, IdempotencyConflict
from bedplate.kernel.query import Query
from bedplate.kernel.types import document, moment, user_key
from bedplate.modules.credits.errors import (
    AmountInvalid,
    AnswerUnknown,
    BalanceTooLarge,
    CostUnknown,
    GrantInvalid,
    HoldOver,
    NotAuthorised,
    NotYourAccount,
    RefundRefused,
    UnknownAccount,
    UnknownHold,
    UnknownUsage,
    UnknownUser,
)

# Text of which the function's own parameter says what it is: keys of users may be of several types.
_READ_BY_THE_FUNCTION = NullType()
_TYPES: Mapping[str, TypeEngine[Any]] = {
    "accounts_max": Integer(),
    "after": moment(),
    "after_id": Uuid(),
    "amount": Integer(),
    "amounts": _READ_BY_THE_FUNCTION,
    "context": document(),
    "contexts": document(),
    "costs": document(),
    "credits": Integer(),
    "default_cost": Integer(),
    "defaults": document(),
    "details": document(),
    "expires_at": moment(),
    "expires_in": Interval(),
    "hold_id": Uuid(),
    "id": Uuid(),
    "is_authorised": Boolean(),
    "ids": _READ_BY_THE_FUNCTION,
    "key": Text(),
    "keys": _READ_BY_THE_FUNCTION,
    "operation": Text(),
    "operations": _READ_BY_THE_FUNCTION,
    "terms": document(),
    "usage_id": Uuid(),
    "user_id": user_key(),
    "users": _READ_BY_THE_FUNCTION,
}
_FAILURES: Mapping[str, tuple[type[BedplateError], str]] = {
    "AMOUNT": (AmountInvalid, "the amount is out of range."),
    "CONFLICT": (IdempotencyConflict, "the key was already used for another request."),
    "HOLD_OVER": (HoldOver, "the hold has ended."),
    "IS_REFUND": (RefundRefused, "usage_id names a refund."),
    "NOT_AUTHORISED": (NotAuthorised, "a user who acts adds no credits."),
    "NOT_YOURS": (NotYourAccount, "the account belongs to another user than the acting one."),
    "NO_COST": (CostUnknown, "the operation has no cost, and no amount was given."),
    "PAST": (GrantInvalid, "terms.expires_at is not in the future."),
    "TOO_LARGE": (BalanceTooLarge, "the balance would not fit its column."),
    "UNKNOWN_ACCOUNT": (UnknownAccount, "the user has no account."),
    "UNKNOWN_HOLD": (UnknownHold, "hold_id names no hold."),
    "UNKNOWN_USAGE": (UnknownUsage, "usage_id names no charge."),
    "UNKNOWN_USER": (UnknownUser, "user_id names no user."),
}


def call(statement: str) -> Query[Any]:
    """Return the query of a verb; a parameter has one type wherever it is named."""
    names = re.findall(r"(?<!:):(\w+)", statement)
    return Query(
        text(statement).bindparams(*(bindparam(name, type_=_TYPES[name]) for name in names))
    )


def failure(outcome: str, place: str = "") -> BedplateError:
    """Return the error for what a verb answered instead of doing it; nothing was written."""
    at = f"{place}: " if place else ""
    if outcome not in _FAILURES:
        return AnswerUnknown(f"{at}credits answered {outcome!r}.")
    kind, said = _FAILURES[outcome]
    return kind(f"{at}{said}")
