"""What all invoices share: the billing time zone, and when customers are reminded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, bindparam, text

from bedplate.kernel.database import Writer
from bedplate.kernel.errors import DataError
from bedplate.kernel.query import Query
from bedplate.kernel.types import document
from bedplate.modules.accounting.errors import SettingInvalid

REMINDERS_MAX = 20
"""How many reminders an invoice gets at most."""

REMINDER_DAYS_MAX = 365
"""How many days before or after its due date the furthest of them is."""

SET_BILLING: Query[Any] = Query(
    text(
        """
INSERT INTO accounting.billing_settings AS s (id, time_zone, reminder_days)
VALUES ('singleton', coalesce(:time_zone, 'UTC'), coalesce(:reminder_days, '[-3, 1, 7, 14]'))
ON CONFLICT (id) DO UPDATE
SET time_zone = coalesce(:time_zone, s.time_zone),
    reminder_days = coalesce(:reminder_days, s.reminder_days),
    updated_at = bedplate.now()
"""
    ).bindparams(bindparam("time_zone", type_=Text()), bindparam("reminder_days", type_=document()))
)


async def set_billing(
    db: Writer, *, time_zone: str | None = None, reminder_days: Sequence[int] | None = None
) -> None:
    """Set where a billing day begins and ends, or on which days from the due date is reminded.

    What is left out stays: at first UTC, and 3 days before, then 1, 7 and 14 days after. Numbers
    that were given stay, and are never given twice. Raises SettingInvalid.
    """
    days = None if reminder_days is None else sorted(set(reminder_days))
    if days is not None and (
        len(days) > REMINDERS_MAX or any(abs(day) > REMINDER_DAYS_MAX for day in days)
    ):
        raise SettingInvalid("There are too many reminders, or one is too far away.", rule="days")
    try:
        await db.run(SET_BILLING, time_zone=time_zone, reminder_days=days)
    except DataError:
        raise SettingInvalid(f"There is no time zone {time_zone!r}.", rule="time_zone") from None
