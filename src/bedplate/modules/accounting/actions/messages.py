"""Messages to customers: invoices, reminders and receipts, each written once.

A message is an InvoiceNotification and a `MessageWritten`, in one transaction; an invoice's event
comes later, when a worker has made its page. Where nobody hears the event (no module `delivery`, no
module of yours that sends), nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Date, Integer, Numeric, Text, Uuid, bindparam, text

from bedplate.kernel.database import Database, Writer, database_of, joined
from bedplate.kernel.query import Query
from bedplate.kernel.transaction import Transaction
from bedplate.kernel.types import enum_type, user_key
from bedplate.modules.accounting.actions.documents import document_of, render_document
from bedplate.modules.accounting.actions.refusals import told
from bedplate.modules.accounting.errors import (
    ContentInvalid,
    DocumentPending,
    NoAddress,
    NothingSends,
    UnknownInvoice,
)
from bedplate.modules.accounting.events import MessageRecalled, MessageWritten
from bedplate.modules.accounting.models import (
    SCHEMA,
    Invoice,
    InvoiceNotification,
    NotificationType,
)
from bedplate.modules.accounting.repositories import invoice_notifications, invoices
from bedplate.modules.accounting.rules import About, letter_about

MESSAGES_MAX = 100
"""How many messages one transaction writes; it holds their invoices for as long."""

_COLUMNS: dict[str, Any] = {
    "notification_id": Uuid(),
    "invoice_id": Uuid(),
    "notification_type": enum_type(NotificationType, SCHEMA),
    "stage": Integer(),
    "sent_to": Text(),
    "is_ready": Boolean(),
    "user_id": user_key(),
    "customer": Text(),
    "invoice_number": Text(),
    "due_on": Date(),
    "total": Numeric(12, 2),
    "balance": Numeric(12, 2),
    "seller": Text(),
    "currency": Text(),
}


def _writing(call: str) -> Any:
    return text(f"SELECT {', '.join(_COLUMNS)} FROM accounting.{call}")


REMINDERS: Query[Any] = Query(
    _writing("write_reminders(:most)")
    .bindparams(bindparam("most", type_=Integer()))
    .columns(**_COLUMNS),
    writes=True,
)
NOTICES: Query[Any] = Query(
    _writing("write_notices(:most)")
    .bindparams(bindparam("most", type_=Integer()))
    .columns(**_COLUMNS),
    writes=True,
)
ONE: Query[Any] = Query(
    _writing("write_message(:invoice_id, CAST(:type AS accounting.notification_type), :again)")
    .bindparams(
        bindparam("invoice_id", type_=Uuid()),
        bindparam("type", type_=Text()),
        bindparam("again", type_=Boolean()),
    )
    .columns(**_COLUMNS),
    writes=True,
)
WAITING: Query[Any] = Query(
    _writing("write_waiting(:invoices, :most)")
    .bindparams(bindparam("invoices", type_=ARRAY(Uuid())), bindparam("most", type_=Integer()))
    .columns(**_COLUMNS)
)
UNWANTED: Query[UUID] = Query(
    text(
        """
SELECT n.id FROM accounting.invoice_notifications n
JOIN accounting.invoices i ON i.id = n.invoice_id
WHERE (n.status = 'PENDING' OR n.status = 'FAILED' AND n.next_retry_at IS NOT NULL)
  AND CASE WHEN n.notification_type IN ('PAYMENT_REMINDER', 'OVERDUE_REMINDER')
      THEN i.status NOT IN ('ISSUED', 'OVERDUE')
      WHEN n.notification_type = 'INVOICE_ISSUED' THEN i.status IN ('CANCELLED', 'REFUNDED')
      ELSE false END
ORDER BY n.id LIMIT :most
"""
    )
    .bindparams(bindparam("most", type_=Integer()))
    .columns(id=Uuid())
)


async def send_invoice(db: Writer, invoice_id: UUID, *, again: bool = False) -> InvoiceNotification:
    """Send an issued invoice to its customer; asked for twice it is sent once.

    Its page goes along as a PDF, so the mail is asked for once a worker has made it; until then the
    notification has no `mail_id`. `again` sends it once more. Returns the notification, the last of
    several, whose status says how far it came. Raises UnknownInvoice, TransitionRefused (a draft, a
    cancelled or refunded invoice), NoAddress, NothingSends.
    """
    return await _send_one(db, invoice_id, NotificationType.INVOICE_ISSUED, again=again)


async def send_receipt(db: Writer, invoice_id: UUID) -> InvoiceNotification:
    """Tell a customer that an invoice is paid, once. Raises as `send_invoice`; not paid too."""
    return await _send_one(db, invoice_id, NotificationType.PAYMENT_RECEIVED)


async def remind(db: Writer, *, most: int = MESSAGES_MAX) -> tuple[UUID, ...]:
    """Write the reminders that are due, of at most `most` invoices; return the notifications.

    On the days of billing_settings.reminder_days from the due date, in the billing time zone: up
    to it a PAYMENT_REMINDER, which a customer may opt out of, after it an OVERDUE_REMINDER, which
    is a legal notice. One per invoice, due date and day ever, however many run it at a time; of
    days that were missed the latest stands for all. With a due date that is moved it all begins
    anew. An invoice that is paid or cancelled gets none.
    """
    return await _write(db, REMINDERS, most)


async def send_due(db: Writer, *, most: int = MESSAGES_MAX) -> tuple[UUID, ...]:
    """Write what the settings `mail_invoices` and `mail_receipts` want; return the notifications.

    Invoices issued, and payments that closed one, since that was switched on; once each, however
    long nothing ran this. Customers without an address are left out, for good two days later.
    Call it until it returns nothing.
    """
    return await _write(db, NOTICES, most)


async def make_pages(db: Database, invoice_ids: Sequence[UUID]) -> None:
    """Make the pages of issued invoices, each in a transaction of its own; send what waits for it.

    The worker's part: a page takes a processor some 10 ms. What cannot be made keeps no other
    back, and is sent without. Raises ContentInvalid at the end.
    """
    refused: list[ContentInvalid] = []
    for invoice_id in invoice_ids:
        try:
            async with db.transaction() as tx:
                await render_document(tx, invoice_id)
        except ContentInvalid as error:
            refused.append(error)
    while await _write(db, WAITING, MESSAGES_MAX, invoices=list(invoice_ids)):
        pass
    if refused:
        raise refused[0]


async def recall_messages(db: Writer, *, most: int = MESSAGES_MAX) -> tuple[UUID, ...]:
    """Take back what still waits and is not true any more; return the notifications.

    Reminders of invoices that are paid, cancelled or refunded; invoices cancelled or refunded.
    """
    if not _is_heard(db):
        return ()
    async with joined(db) as tx:
        ids = await tx.all(UNWANTED, most=most)
        for id in ids:
            await tx.emit(MessageRecalled(notification_id=id))
        return tuple(ids)


async def _write(db: Writer, query: Query[Any], most: int, **given: Any) -> tuple[UUID, ...]:
    if not _is_heard(db):
        return ()
    async with joined(db) as tx:
        rows = await tx.all(query, most=most, **given)
        return tuple([await _hand_over(tx, row) for row in rows])


async def _send_one(
    db: Writer, invoice_id: UUID, kind: NotificationType, *, again: bool = False
) -> InvoiceNotification:
    if not _is_heard(db):
        raise NothingSends("No enabled module sends messages.", rule="mail")
    async with joined(db) as tx:
        if not await invoices.exists(tx, Invoice.id == invoice_id):
            raise UnknownInvoice("There is no such invoice.", rule="id")
        with told():
            rows = await tx.all(ONE, invoice_id=invoice_id, type=kind.name, again=again)
        if rows:
            return await invoice_notifications.get(tx, await _hand_over(tx, rows[0]))
        written = await invoice_notifications.list(
            tx,
            InvoiceNotification.invoice_id == invoice_id,
            InvoiceNotification.notification_type == kind,
            order=(InvoiceNotification.stage.desc(),),
            limit=1,
        )
        if again or not written:
            raise NoAddress("The customer has no e-mail address.", rule="address")
        return written[0]


async def _hand_over(tx: Transaction, row: Any) -> UUID:
    values = dict(zip(_COLUMNS, row, strict=True))
    kind, id = values["notification_type"], UUID(str(values["notification_id"]))
    if not values["is_ready"]:
        return id
    about = About(
        number=values["invoice_number"],
        due_on=values["due_on"],
        total=values["total"],
        balance=values["balance"],
        customer=values["customer"],
        seller=values["seller"],
        currency=values["currency"],
    )
    is_invoice = kind is NotificationType.INVOICE_ISSUED
    is_reminder = kind in (NotificationType.PAYMENT_REMINDER, NotificationType.OVERDUE_REMINDER)
    await tx.emit(
        MessageWritten(
            notification_id=id,
            invoice_id=values["invoice_id"],
            notification_type=kind,
            stage=values["stage"],
            due_date=values["due_on"] if is_reminder else None,
            user_id=values["user_id"],
            sent_to=values["sent_to"],
            invoice_number=values["invoice_number"],
            letter=letter_about(kind, about),
            page=await _page(tx, values["invoice_id"]) if is_invoice else None,
        )
    )
    return id


async def _page(tx: Transaction, invoice_id: UUID) -> bytes | None:
    """Return the invoice's page.

    None where its content is no invoice's, as `bedplate check` says too: one that somebody spoilt
    must not hold up the others' mail.
    """
    try:
        return (await document_of(tx, invoice_id)).pdf
    except DocumentPending:
        return None


def _is_heard(db: Writer) -> bool:
    return database_of(db).subscriptions.hear(MessageWritten)
