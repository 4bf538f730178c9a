"""Answers in one plain form, so that contestants can be compared field by field."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from bench.contestant import (
    ACCOUNT_FIELDS,
    ENTRY_FIELDS,
    PROFILE_FIELDS,
    Family,
)


def plain(answer: Any, fields: Sequence[str]) -> dict[str, Any]:
    """Return the answer's fields as JSON types, whatever shape the answer has."""
    values: dict[str, Any]
    if isinstance(answer, tuple):
        values = dict(zip(fields, cast(Any, answer), strict=True))
    elif isinstance(answer, dict):
        values = cast(Any, answer)
    else:
        values = {field: getattr(answer, field) for field in fields}
    return {field: _text(field, values[field]) for field in fields}


def plain_family(family: Family) -> dict[str, Any]:
    """Return an account with its relations as JSON types."""
    return {
        "account": plain(family.account, ACCOUNT_FIELDS),
        "profile": plain(family.profile, PROFILE_FIELDS),
        "entries": [plain(entry, ENTRY_FIELDS) for entry in family.entries],
    }


def _text(field: str, value: Any) -> Any:
    if value is None or field == "is_active":
        return value
    if field == "settings":
        return json.loads(value) if isinstance(value, str) else value
    if field.endswith("_at"):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    if isinstance(value, UUID):
        return str(value)
    return value
