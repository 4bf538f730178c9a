"""What all invoices share: the billing time zone, what customers are told when; who bills."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, Integer, Text, bindparam, text

from bedplate.kernel.database import Writer
from bedplate.kernel.errors import DataError
from bedplate.kernel.query import Query
from bedplate.kernel.types import document
from bedplate.modules.accounting.errors import SettingInvalid

REMINDERS_MAX = 20
"""How many reminders an invoice gets at most."""

REMINDER_DAYS_MAX = 365
"""How many days before or after its due date the furthest of them is."""

CATCH_UP_MONTHS_MAX = 1200
"""How many months a template may be allowed to be behind."""

SELLER_CHARACTERS_MAX = 1000
"""How long the seller's name, address and account are together."""

CURRENCY = re.compile("[A-Z]{3}")

SET_BILLING: Query[Any] = Query(
    text(
        """
INSERT INTO accounting.billing_settings AS s
    (id, time_zone, catch_up_months, reminder_days, mail_invoices, mail_receipts)
VALUES ('singleton', coalesce(:time_zone, 'UTC'), coalesce(:catch_up_months, 24),
        coalesce(:reminder_days, '[-3, 1, 7, 14]'),
        coalesce(:mail_invoices, false), coalesce(:mail_receipts, false))
ON CONFLICT (id) DO UPDATE
SET time_zone = coalesce(:time_zone, s.time_zone),
    catch_up_months = coalesce(:catch_up_months, s.catch_up_months),
    reminder_days = coalesce(:reminder_days, s.reminder_days),
    mail_invoices = coalesce(:mail_invoices, s.mail_invoices),
    mail_receipts = coalesce(:mail_receipts, s.mail_receipts),
    updated_at = bedplate.now()
"""
    ).bindparams(
        bindparam("time_zone", type_=Text()),
        bindparam("catch_up_months", type_=Integer()),
        bindparam("reminder_days", type_=document()),
        bindparam("mail_invoices", type_=Boolean()),
        bindparam("mail_receipts", type_=Boolean()),
    )
)


SET_SELLER: Query[Any] = Query(
    text(
        """
INSERT INTO accounting.billing_settings AS s (id, seller, currency)
VALUES ('singleton', :seller, :currency)
ON CONFLICT (id) DO UPDATE
SET seller = :seller, currency = :currency, updated_at = bedplate.now()
"""
    ).bindparams(bindparam("seller", type_=Text()), bindparam("currency", type_=Text()))
)


async def set_billing(
    db: Writer,
    *,
    time_zone: str | None = None,
    catch_up_months: int | None = None,
    reminder_days: Sequence[int] | None = None,
    mail_invoices: bool | None = None,
    mail_receipts: bool | None = None,
) -> None:
    """Set where a billing day begins and ends, and what customers are told by themselves.

    A template that has more than `catch_up_months` (1 to 1,200) to bill waits for a person: it
    began on a wrong day more likely than not, and what is issued is numbered for good.
    `reminder_days` are the days from the due date on which they are reminded. With `mail_invoices`
    every issued invoice is mailed, with `mail_receipts` every closing payment confirmed. What is
    left out stays: at first UTC, 24 months, 3 days before and 1, 7 and 14 days after, and neither
    mail. Numbers that were given stay, and are never given twice. Raises SettingInvalid.
    """
    if catch_up_months is not None and not 1 <= catch_up_months <= CATCH_UP_MONTHS_MAX:
        raise SettingInvalid(
            f"catch_up_months is {catch_up_months}, not 1 to {CATCH_UP_MONTHS_MAX}.",
            rule="catch_up_months",
        )
    days = None if reminder_days is None else sorted(set(reminder_days))
    if days is not None and (
        len(days) > REMINDERS_MAX or any(abs(day) > REMINDER_DAYS_MAX for day in days)
    ):
        raise SettingInvalid("There are too many reminders, or one is too far away.", rule="days")
    try:
        await db.run(
            SET_BILLING,
            time_zone=time_zone,
            catch_up_months=catch_up_months,
            reminder_days=days,
            mail_invoices=mail_invoices,
            mail_receipts=mail_receipts,
        )
    except DataError:
        raise SettingInvalid(f"There is no time zone {time_zone!r}.", rule="time_zone") from None


async def set_seller(db: Writer, seller: str, *, currency: str = "") -> None:
    """Set who bills and in what, as documents of invoices issued from now on show it.

    `seller` is name, address and account, one a line, 1,000 characters at most; `currency` is
    three capitals, or nothing. Raises SettingInvalid.
    """
    if currency and not CURRENCY.fullmatch(currency):
        raise SettingInvalid("A currency is three capitals, as in EUR.", rule="currency")
    if len(seller) > SELLER_CHARACTERS_MAX or "\0" in seller:
        raise SettingInvalid(
            f"A seller is text of {SELLER_CHARACTERS_MAX} characters at most.", rule="seller"
        )
    await db.run(SET_SELLER, seller=seller, currency=currency)
