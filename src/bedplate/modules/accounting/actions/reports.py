"""What accounting tells: statements, receivables, revenue."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from bedplate.kernel.context import UserId
from bedplate.kernel.handle import Handle
from bedplate.modules.accounting.actions.answers import Aged, Entry, Revenue, Statement
from bedplate.modules.accounting.errors import AccountingRefused
from bedplate.modules.accounting.repositories import (
    AGED,
    AGED_AT,
    BILLING_DAY,
    REVENUE,
    STATEMENT,
)


async def customer_statement(
    db: Handle, user_id: UserId, *, since: datetime, until: datetime
) -> Statement:
    """Return what a customer was billed, paid and got back from `since` to before `until`.

    Amounts add up: opening balance, each entry, closing balance. What is given back is credited
    first, so that the balance is what is due. What is cancelled or taken off is an entry of its own
    at its own moment, so that a statement of days that are over stays as it is, once the
    transactions of those days have ended; entries stand at the moment at which theirs began. What
    was taken off is known from the audit log. One statement.
    """
    balance = opening = Decimal("0.00")
    entries: list[Entry] = []
    for at, kind, number, amount in await db.all(STATEMENT, user_id=user_id, until=until):
        balance += amount
        if at < since:
            opening = balance
            continue
        entries.append(Entry(at=at, kind=kind, number=number, amount=amount, balance=balance))
    return Statement(user_id=user_id, opening=opening, entries=tuple(entries), closing=balance)


async def aged_receivables(db: Handle, *, at: date | None = None) -> tuple[Aged, ...]:
    """Return what each customer owes, by how many days it is overdue today. One statement.

    With `at`, a day that is over: what was open when it ended, recounted from issues, payments,
    cancellations and due dates as they stood in the books by then. A payment counts from when it
    was entered, whatever its `paid_date`, and until it was taken off. Two things are not known any
    more: in which time zone days ended before it was changed, so that today's is taken; and what
    was undone in entries of the audit log that are no longer there. Another statement, which reads
    every invoice issued until then. Raises AccountingRefused (`future`) for a day to come.
    """
    if at is None:
        rows = await db.all(AGED)
    else:
        today: date = await db.one(BILLING_DAY)
        if at > today:
            raise AccountingRefused("What will be open on a day to come is unknown.", rule="future")
        rows = await db.all(AGED_AT, day=at)
    return tuple(
        Aged(
            user_id=user_id,
            due=due,
            current=current,
            days_1_to_30=to_30,
            days_31_to_60=to_60,
            days_61_to_90=to_90,
            days_over_90=over,
        )
        for user_id, due, current, to_30, to_60, to_90, over in rows
    )


async def revenue_by_month(db: Handle, year: int) -> tuple[Revenue, ...]:
    """Return what was billed and kept in each month of a year, from the entries of statements.

    Months begin where billing days do. One without any entry is left out. One statement.
    """
    return tuple(
        Revenue(month=month, billed=billed, kept=kept)
        for month, billed, kept in await db.all(REVENUE, year=year)
    )
