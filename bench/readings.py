"""The rows of the bulk load: the same for every contestant, and without ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_START = datetime(2026, 1, 1, tzinfo=UTC)
_KINDS = ("PERSON", "COMPANY", "PARTNER")


def make(rows: int) -> list[dict[str, Any]]:
    """Make that many readings."""
    return [
        {
            "account_id": UUID(int=number % 1000),
            "recorded_at": _START + timedelta(seconds=number),
            "kind": _KINDS[number % 3],
            "amount": Decimal(number % 100_000) / 100,
            "note": None if number % 4 == 0 else f"Reading {number}",
        }
        for number in range(rows)
    ]


def total(rows: int) -> Decimal:
    """Return the sum of the amounts of that many readings."""
    return sum((Decimal(number % 100_000) / 100 for number in range(rows)), Decimal("0.00"))
