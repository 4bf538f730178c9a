"""Payments: a customer's money allocated to invoices, taken off again, given back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Numeric, Text, Uuid, bindparam, text

from bedplate.kernel import ids
from bedplate.kernel.database import Writer
from bedplate.kernel.errors import IdempotencyConflict
from bedplate.kernel.query import Query
from bedplate.kernel.types import BoundKey, enum_type, moment, money
from bedplate.modules.accounting.actions.answers import Paid, Refunded
from bedplate.modules.accounting.actions.refusals import told
from bedplate.modules.accounting.errors import OverAllocated, UnknownInvoice
from bedplate.modules.accounting.models import SCHEMA, InvoiceStatus
from bedplate.modules.accounting.repositories import invoice_payments

PAY: Query[tuple[UUID, Decimal, InvoiceStatus, Decimal]] = Query(
    text(
        "SELECT payment_id, amount, status, balance FROM accounting.pay("
        ":id, :invoice_id, :cost_payment_id, :amount, :paid_date)"
    )
    .bindparams(
        bindparam("id", type_=Uuid()),
        bindparam("invoice_id", type_=Uuid()),
        bindparam("cost_payment_id", type_=BoundKey("cost_payments")),
        bindparam("amount", type_=money()),
        bindparam("paid_date", type_=moment()),
    )
    .columns(
        payment_id=Uuid(),
        amount=Numeric(12, 2),
        status=enum_type(InvoiceStatus, SCHEMA),
        balance=Numeric(12, 2),
    ),
    writes=True,
)
REFUND: Query[tuple[str, UUID | None, Decimal | None]] = Query(
    text(
        "SELECT outcome, refund_id, amount FROM accounting.give_back("
        ":id, :invoice_id, :key, :amount, :reason)"
    )
    .bindparams(
        bindparam("id", type_=Uuid()),
        bindparam("invoice_id", type_=Uuid()),
        bindparam("key", type_=Text()),
        bindparam("amount", type_=money()),
        bindparam("reason", type_=Text()),
    )
    .columns(outcome=Text(), refund_id=Uuid(), amount=Numeric(12, 2)),
    writes=True,
)


async def add_payment(
    db: Writer,
    invoice_id: UUID,
    cost_payment_id: UUID | str | int,
    amount: Decimal | None = None,
    *,
    paid_date: datetime | None = None,
) -> Paid:
    """Allocate a customer's payment, or what of it fits, to an invoice; the last one closes it.

    Without `amount` as much as the invoice still asks for and the payment still has. `paid_date`
    is now unless given. Raises NotPayable, OverAllocated, OtherPayer, UnknownCustomer.
    """
    with told():
        row = await db.first(
            PAY,
            id=ids.new(),
            invoice_id=invoice_id,
            cost_payment_id=cost_payment_id,
            amount=amount,
            paid_date=paid_date,
        )
    if row is None:
        raise OverAllocated("Nothing of the payment is left, or the invoice asks for none.")
    payment_id, allocated, status, balance = row
    return Paid(
        payment_id=payment_id,
        invoice_id=invoice_id,
        amount=allocated,
        status=status,
        balance=balance,
    )


async def remove_payment(db: Writer, payment_id: UUID) -> None:
    """Take a payment off its invoice, which is open again by its due date.

    Raises NotFound, and InvoiceFrozen where money of it was given back already.
    """
    with told():
        await invoice_payments.delete(db, payment_id)


async def refund_invoice(
    db: Writer,
    invoice_id: UUID,
    amount: Decimal | None = None,
    *,
    key: str,
    reason: str | None = None,
) -> Refunded:
    """Give back money of a paid invoice, once per key; without `amount` all that is left.

    A part leaves the invoice PAID, the whole makes it REFUNDED. Raises UnknownInvoice, NotPayable,
    RefundRefused, AmountInvalid (an empty key too), IdempotencyConflict (another amount under the
    key).
    """
    with told():
        outcome, refund_id, refunded = await db.one(
            REFUND, id=ids.new(), invoice_id=invoice_id, key=key, amount=amount, reason=reason
        )
    if outcome == "UNKNOWN" or refund_id is None or refunded is None:
        raise UnknownInvoice("There is no such invoice.", rule="id")
    if outcome == "CONFLICT":
        raise IdempotencyConflict("The key gave back another amount.")
    return Refunded(
        refund_id=refund_id,
        invoice_id=invoice_id,
        amount=refunded,
        replayed=outcome == "REPLAYED",
    )
