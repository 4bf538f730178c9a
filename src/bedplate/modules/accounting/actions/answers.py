"""What verbs take and answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from bedplate.kernel.context import UserId
from bedplate.modules.accounting.models import InvoiceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An invoice to be drafted; without a price the customer's own of today is taken."""

    user_id: UserId
    total_miners: int
    due_date: date
    created_by: UserId
    unit_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Money allocated to an invoice; where that leaves it, and what it still asks for."""

    payment_id: UUID
    invoice_id: UUID
    amount: Decimal
    status: InvoiceStatus
    balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """Money given back; `replayed` when the key had given it back before."""

    refund_id: UUID
    invoice_id: UUID
    amount: Decimal
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An invoice's PDF; `sha256` is its hash in hexadecimal."""

    invoice_id: UUID
    invoice_number: str
    pdf: bytes = field(repr=False)
    sha256: str
    rendered_at: datetime

    @property
    def file_name(self) -> str:
        """What to call the file, as an attachment or a download."""
        return f"invoice-{self.invoice_number}.pdf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a statement; what lowers the balance is negative. `balance` is that after it.

    `kind` is invoice, cancellation, payment, removal (of a payment), credit or refund.
    """

    at: datetime
    kind: str
    number: str
    amount: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a customer owed, was billed and paid between two moments."""

    user_id: UserId
    opening: Decimal
    entries: tuple[Entry, ...]
    closing: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Aged:
    """What one customer owes, by how many days it is overdue."""

    user_id: UserId
    due: Decimal
    current: Decimal
    days_1_to_30: Decimal
    days_31_to_60: Decimal
    days_61_to_90: Decimal
    days_over_90: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Revenue:
    """One month: what was billed in it, less what was cancelled; what was paid, and not given back.

    Each at its own moment: a cancellation, a removal or a refund lowers its own month, which may
    then be below zero, and no month that is over.
    """

    month: date
    billed: Decimal
    kept: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What a recurring run did: invoices made, and days that wait or were passed over.

    Days wait for a price, for a total that an invoice can hold, or because their template has too
    many of them; those without miners are passed. `last` is the last template it came to, None when
    there was none.
    """

    made: tuple[UUID, ...]
    no_price: int
    too_much: int
    too_many: int
    no_miners: int
    last: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A template that no run bills as it is: since which billing day, and how many days wait.

    `why` is NO_PRICE, TOO_MUCH (more than an invoice can hold) or TOO_MANY (months to catch up).
    """

    recurring_invoice_id: UUID
    user_id: UserId
    since: date
    days: int
    why: str
