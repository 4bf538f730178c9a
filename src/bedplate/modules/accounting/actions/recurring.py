"""Templates, prices, and what is done day by day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import cast
from uuid import UUID

from sqlalchemy import Boolean, Date, Integer, Text, Uuid, bindparam, text

from bedplate.kernel import clock, ids
from bedplate.kernel.context import UserId
from bedplate.kernel.database import Writer
from bedplate.kernel.fields import Assignment, assign
from bedplate.kernel.handle import Handle
from bedplate.kernel.query import Query
from bedplate.kernel.types import money, user_key
from bedplate.modules.accounting.actions.answers import Billed, Waiting
from bedplate.modules.accounting.actions.refusals import told
from bedplate.modules.accounting.errors import NoPrice
from bedplate.modules.accounting.models import RecurringInvoice
from bedplate.modules.accounting.repositories import (
    BILLING_DAY,
    customer_pricing_config,
    recurring_invoices,
)

TEMPLATES_MAX = 1_000
"""How many templates one statement of the recurring run bills."""

OVERDUE_MAX = 5_000
"""How many invoices one statement of the overdue run marks."""

RUN: Query[tuple[UUID, str, UUID | None]] = Query(
    text(
        "SELECT recurring_invoice_id, outcome, invoice_id"
        " FROM accounting.run_recurring(:through, :most, :issue, :after)"
    )
    .bindparams(
        bindparam("through", type_=Date()),
        bindparam("most", type_=Integer()),
        bindparam("issue", type_=Boolean()),
        bindparam("after", type_=Uuid()),
    )
    .columns(recurring_invoice_id=Uuid(), outcome=Text(), invoice_id=Uuid()),
    writes=True,
)
WAITING: Query[tuple[UUID, UserId, date, int, str]] = Query(
    text(
        "SELECT recurring_invoice_id, user_id, since, days, why FROM accounting.waiting()"
    ).columns(
        recurring_invoice_id=Uuid(), user_id=user_key(), since=Date(), days=Integer(), why=Text()
    )
)
PASS_OVER: Query[date] = Query(
    text("SELECT day FROM accounting.pass_over(:id, :through, :by) AS p (day)")
    .bindparams(
        bindparam("id", type_=Uuid()),
        bindparam("through", type_=Date()),
        bindparam("by", type_=user_key()),
    )
    .columns(day=Date())
)
OVERDUE: Query[UUID] = Query(
    text("SELECT id FROM accounting.run_overdue(:most) AS r (id)")
    .bindparams(bindparam("most", type_=Integer()))
    .columns(id=Uuid()),
    writes=True,
)
RESUME: Query[None] = Query(
    text("SELECT accounting.resume(:id, :by, :back_bill)").bindparams(
        bindparam("id", type_=Uuid()),
        bindparam("by", type_=user_key()),
        bindparam("back_bill", type_=Boolean()),
    ),
    writes=True,
)
SET_PRICE: Query[UUID] = Query(
    text("SELECT id FROM accounting.set_price(:id, :user_id, :price, :first_day, :by)")
    .bindparams(
        bindparam("id", type_=Uuid()),
        bindparam("user_id", type_=user_key()),
        bindparam("price", type_=money(10, 2)),
        bindparam("first_day", type_=Date()),
        bindparam("by", type_=user_key()),
    )
    .columns(id=Uuid()),
    writes=True,
)


async def create_template(db: Writer, template: RecurringInvoice) -> RecurringInvoice:
    """Make a template; its first invoice is that of the first billing day from `start_date` on.

    Raises UnknownCustomer, AmountInvalid, DayInvalid.
    """
    with told():
        return await recurring_invoices.create(db, template)


async def edit_template(
    db: Writer, template_id: UUID, *changes: Assignment, by: UserId
) -> RecurringInvoice:
    """Change a template from its next invoice on.

    Raises NotFound, TemplateOver, AmountInvalid, DayInvalid.
    """
    changed_by = assign(RecurringInvoice.updated_by, cast("UUID", by))
    with told():
        return await recurring_invoices.update(db, template_id, *changes, changed_by)


async def pause_template(db: Writer, template_id: UUID, *, by: UserId) -> RecurringInvoice:
    """Bill nothing until it is resumed, nor this day. Raises NotFound, TemplateOver."""
    return await edit_template(db, template_id, assign(RecurringInvoice.is_active, False), by=by)


async def resume_template(
    db: Writer, template_id: UUID, *, by: UserId, back_bill: bool = False
) -> RecurringInvoice:
    """Bill again from today on; with `back_bill` the days of the pause too.

    Days from before the pause that were not billed yet are billed in any case. Raises NotFound,
    TemplateOver.
    """
    with told():
        await db.run(RESUME, id=template_id, by=by, back_bill=back_bill)
    return await recurring_invoices.get(db, template_id)


async def end_template(db: Writer, template_id: UUID, *, by: UserId) -> RecurringInvoice:
    """End a template for good; its invoices stay. Raises NotFound, TemplateOver."""
    return await edit_template(
        db,
        template_id,
        assign(RecurringInvoice.is_active, False),
        assign(RecurringInvoice.deleted_at, clock.sql_now()),
        by=by,
    )


async def run_recurring(
    db: Writer,
    *,
    through: date | None = None,
    issue: bool = True,
    most: int = TEMPLATES_MAX,
    after: UUID | None = None,
) -> Billed:
    """Bill every day that is due through `through` (today), of at most `most` templates.

    One call, one transaction of its own on `db`; any number may run at once, and run again: there
    is one invoice per template and month. Missed months are caught up in order. A day for which
    the customer has no price waits, and its template with it; so does one of a total that no
    invoice can hold, and a template with more to bill than `catch_up_months` (`set_billing`).
    `templates_waiting` names them. `issue=False` leaves drafts. Call again with the answer's `last`
    as `after` until that is None, as the worker's job does.
    """
    today: date = await db.one(BILLING_DAY)
    with told():
        rows = await db.all(RUN, through=through or today, most=most, issue=issue, after=after)
    outcomes = [outcome for _, outcome, _ in rows]
    return Billed(
        made=tuple(made for *_, made in rows if made is not None),
        no_price=outcomes.count("NO_PRICE"),
        too_much=outcomes.count("TOO_MUCH"),
        too_many=outcomes.count("TOO_MANY"),
        no_miners=outcomes.count("NO_MINERS"),
        last=max((template for template, *_ in rows), default=None),
    )


async def templates_waiting(db: Handle) -> tuple[Waiting, ...]:
    """Return the templates that no run bills as they are, the longest waiting first.

    `set_price` ends the wait for a price, `pass_over` any. One statement, which looks at every
    template that is not paused; `bedplate check` asks the same (accounting.W001).
    """
    return tuple(
        Waiting(recurring_invoice_id=template, user_id=user_id, since=since, days=days, why=why)
        for template, user_id, since, days, why in await db.all(WAITING)
    )


async def pass_over(
    db: Writer, template_id: UUID, *, through: date, by: UserId
) -> tuple[date, ...]:
    """Leave unbilled, for good, what a template has yet to bill through a day; return those days.

    For days that wait and are not to be billed; the audit log says so of each. Raises NotFound,
    InvoiceFrozen (it has ended), TransitionRefused (a day to come).
    """
    with told():
        days = await db.all(PASS_OVER, id=template_id, through=through, by=by)
    if not days:
        await recurring_invoices.get(db, template_id)
    return tuple(days)


async def run_overdue(db: Writer, *, most: int = OVERDUE_MAX) -> tuple[UUID, ...]:
    """Mark invoices overdue whose due date is past, at most `most`; return which.

    Each turns overdue once, however many run it at a time.
    """
    return tuple(await db.all(OVERDUE, most=most))


async def set_price(
    db: Writer, user_id: UserId, price: Decimal, first_day: date, *, by: UserId
) -> UUID:
    """Give a customer a price from a day on; the one before it ends there. One round trip.

    A later price stays: this one then ends where it begins. Issued invoices keep theirs. Raises
    PriceOverlap (a price begins on that day already), AmountInvalid, UnknownCustomer.
    """
    with told():
        return await db.one(
            SET_PRICE, id=ids.new(), user_id=user_id, price=price, first_day=first_day, by=by
        )


async def archive_price(db: Writer, price_id: UUID, *, until: date, by: UserId) -> None:
    """Let a price hold until before a day, from which on the customer has none until the next.

    Raises NotFound, AmountInvalid (the day is not after its first).
    """
    model = customer_pricing_config.model
    with told():
        await customer_pricing_config.update(
            db,
            price_id,
            assign(model.effective_to, until),
            assign(model.updated_by, cast("UUID", by)),
        )


async def price_at(db: Handle, user_id: UserId, day: date) -> Decimal:
    """Return what a miner costs a customer on a day, past days too; raises NoPrice."""
    found = await customer_pricing_config.at(db, user_id, day)
    if found is None:
        raise NoPrice(f"The customer has no price on {day}.", rule="price")
    return found.default_unit_price
