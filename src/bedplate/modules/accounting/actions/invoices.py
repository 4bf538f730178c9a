"""Invoices: drafted, issued, cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import cast
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, text, update

from bedplate.kernel.context import UserId
from bedplate.kernel.database import Writer
from bedplate.kernel.errors import LimitExceeded, NotFound
from bedplate.kernel.fields import Assignment, assign
from bedplate.kernel.query import Query
from bedplate.kernel.types import user_key
from bedplate.modules.accounting.actions.answers import Draft
from bedplate.modules.accounting.actions.refusals import told
from bedplate.modules.accounting.errors import NoPrice, TransitionRefused, UnknownInvoice
from bedplate.modules.accounting.models import Invoice, InvoiceStatus
from bedplate.modules.accounting.repositories import (
    BILLING_DAY,
    customer_pricing_config,
    invoices,
)

ISSUED_MAX = 10_000
"""How many invoices one call of `issue_invoices` issues at most."""

ISSUE: Query[Invoice] = Query(
    update(Invoice)
    .where(
        Invoice.id == bindparam("invoice_id", type_=Uuid()), Invoice.status == InvoiceStatus.DRAFT
    )
    .values(status=InvoiceStatus.ISSUED, updated_by=bindparam("by", type_=user_key()))
    .returning(Invoice),
    returns=Invoice,
)
ISSUE_MANY: Query[tuple[UUID, str]] = Query(
    text("SELECT invoice_id, invoice_number FROM accounting.issue_many(:ids)")
    .bindparams(bindparam("ids", type_=ARRAY(Uuid())))
    .columns(invoice_id=Uuid(), invoice_number=Text()),
    writes=True,
)


async def draft_invoice(db: Writer, draft: Draft) -> Invoice:
    """Draft an invoice; one statement, two where the customer's price has to be looked up.

    Raises NoPrice, UnknownCustomer, AmountInvalid, FloatRefused.
    """
    price = draft.unit_price
    if price is None:
        today: date = await db.one(BILLING_DAY)
        found = await customer_pricing_config.at(db, draft.user_id, today)
        if found is None:
            raise NoPrice("The customer has no price today.", rule="price")
        price = found.default_unit_price
    with told():
        return await invoices.create(
            db,
            Invoice(
                user_id=cast("UUID", draft.user_id),
                total_miners=draft.total_miners,
                unit_price=price,
                due_date=draft.due_date,
                created_by=cast("UUID", draft.created_by),
            ),
        )


async def edit_invoice(db: Writer, invoice_id: UUID, *changes: Assignment, by: UserId) -> Invoice:
    """Change a draft; of an issued invoice only the due date moves. `by` is who does it.

    Raises UnknownInvoice, InvoiceFrozen, AmountInvalid.
    """
    return await _changed(db, invoice_id, *changes, by=by)


async def move_due_date(db: Writer, invoice_id: UUID, due_date: date, *, by: UserId) -> Invoice:
    """Give a customer more time, or less. One statement.

    The database makes an overdue invoice whose day comes ISSUED again with it, whoever moves it.
    Raises UnknownInvoice, InvoiceFrozen.
    """
    return await _changed(db, invoice_id, assign(Invoice.due_date, due_date), by=by)


async def issue_invoice(db: Writer, invoice_id: UUID, *, by: UserId) -> Invoice:
    """Issue a draft: it gets its number and its document, and never changes again.

    Numbers of a billing day have no gaps and stand in the order of the commits; whoever issues
    waits for the issue before it. One statement. Raises UnknownInvoice, TransitionRefused (it is no
    draft any more).
    """
    with told():
        made = await db.first(ISSUE, invoice_id=invoice_id, by=by)
    if made is None:
        found = await invoices.find(db, Invoice.id == invoice_id)
        if found is None:
            raise UnknownInvoice("There is no such invoice.", rule="id")
        raise TransitionRefused(
            f"The invoice is {found.status.name}: only a draft is issued.", rule="transition"
        )
    return made


async def issue_invoices(db: Writer, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Issue many drafts in the given order, at most 10,000, in one call; return their numbers.

    What is no draft any more is left out of the answer.
    """
    if len(ids) > ISSUED_MAX:
        raise LimitExceeded(f"{len(ids)} invoices are too many.", f"Pass {ISSUED_MAX} at most.")
    rows = await db.all(ISSUE_MANY, ids=list(ids))
    return dict(rows)


async def cancel_invoice(db: Writer, invoice_id: UUID, *, by: UserId) -> Invoice:
    """Cancel an invoice on which nothing is paid; its number stays taken.

    Raises UnknownInvoice, TransitionRefused, and InvoiceFrozen where it is cancelled or refunded.
    """
    return await _changed(db, invoice_id, assign(Invoice.status, InvoiceStatus.CANCELLED), by=by)


async def delete_draft(db: Writer, invoice_id: UUID) -> None:
    """Delete a draft, which never had a number. Raises UnknownInvoice, InvoiceFrozen."""
    try:
        with told():
            await invoices.delete(db, invoice_id)
    except NotFound:
        raise UnknownInvoice("There is no such invoice.", rule="id") from None


async def _changed(db: Writer, invoice_id: UUID, *changes: Assignment, by: UserId) -> Invoice:
    try:
        with told():
            return await invoices.update(
                db,
                invoice_id,
                *changes,
                assign(Invoice.updated_by, cast("UUID", by)),
            )
    except NotFound:
        raise UnknownInvoice("There is no such invoice.", rule="id") from None
