"""Where an invoice may go, and how much of it is paid."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Decimal

from bedplate.modules.accounting.models import Invoice, InvoiceStatus

S = InvoiceStatus

TRANSITIONS: Mapping[InvoiceStatus, frozenset[InvoiceStatus]] = {
    S.DRAFT: frozenset({S.ISSUED, S.CANCELLED}),
    S.ISSUED: frozenset({S.OVERDUE, S.PAID, S.CANCELLED}),
    S.OVERDUE: frozenset({S.PAID, S.ISSUED, S.CANCELLED}),
    S.PAID: frozenset({S.ISSUED, S.OVERDUE, S.REFUNDED}),
    S.CANCELLED: frozenset(),
    S.REFUNDED: frozenset(),
}
"""Where an invoice may go from where it stands; `accounting.may_become` says the same in SQL."""


class PaymentState(enum.Enum):
    """How much of an invoice is paid; derived, never stored."""

    UNPAID = "UNPAID"
    PARTIAL = "PARTIAL"
    PAID = "PAID"


def payment_state(invoice: Invoice) -> PaymentState:
    """Tell how much of an invoice is paid."""
    if invoice.paid_amount >= invoice.total_amount:
        return PaymentState.PAID
    return PaymentState.PARTIAL if invoice.paid_amount > 0 else PaymentState.UNPAID


def balance_due(invoice: Invoice) -> Decimal:
    """Return what is still to be paid: nothing on drafts and on cancelled invoices."""
    if invoice.status in (S.DRAFT, S.CANCELLED):
        return Decimal("0.00")
    return invoice.total_amount - invoice.paid_amount
