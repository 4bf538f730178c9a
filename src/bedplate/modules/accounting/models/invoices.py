"""Invoices, what was paid on them and given back, and their documents."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel import clock
from bedplate.kernel.columns import Identified, Timestamped
from bedplate.kernel.model import GUARDED, Model
from bedplate.kernel.types import BoundKey, document, enum_type, moment, money, user_key
from bedplate.modules.accounting.models.people import Attributed
from bedplate.modules.accounting.models.states import AMOUNT_MAX, PRICE_MAX, SCHEMA, InvoiceStatus
from bedplate.modules.auth import User
from bedplate.modules.mining import CostPayment

if TYPE_CHECKING:
    from bedplate.modules.accounting.models.notifications import InvoiceNotification


class Invoice(Identified, Attributed, Timestamped, Model):
    """One invoice (plan B). A draft may change; once issued, its money never does.

    The number is given by the database when the invoice is issued: the day in the billing time
    zone and that day's serial, without gaps. `paid_amount` and `refunded_amount` are the sums of
    its payments and refunds, kept by the database; `total_amount` is the product of the other two.
    `recurring_invoice_id` and `billing_date` say which template and which of its days it bills; a
    template bills a month once.

    Ours, beside the plan's columns: `paid_amount`, `refunded_amount`, `recurring_invoice_id`,
    `billing_date`.
    """

    __tablename__ = "invoices"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="RESTRICT"), comment="The customer."
    )
    total_miners: Mapped[int] = mapped_column(comment="How many miners are billed.")
    unit_price: Mapped[Decimal] = mapped_column(money(10, 2), comment="Price of one miner.")
    due_date: Mapped[date] = mapped_column(
        comment="The last day to pay without being overdue, in the billing time zone."
    )
    invoice_number: Mapped[str] = mapped_column(
        init=False,
        server_default=text("''"),
        comment="YYYYMMDD and the day's serial once issued; DRAFT-<id> before.",
    )
    total_amount: Mapped[Decimal] = mapped_column(
        money(),
        Computed("total_miners * unit_price", persisted=True),
        init=False,
        comment="total_miners × unit_price, by the database.",
    )
    status: Mapped[InvoiceStatus] = mapped_column(
        enum_type(InvoiceStatus, SCHEMA),
        init=False,
        server_default=InvoiceStatus.DRAFT.name,
        comment="Where it stands.",
    )
    invoice_generated_date: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was drafted."
    )
    issued_date: Mapped[datetime | None] = mapped_column(
        moment(), init=False, default=None, comment="When it was issued."
    )
    paid_date: Mapped[datetime | None] = mapped_column(
        moment(), init=False, default=None, comment="The date of the payment that closed it."
    )
    paid_amount: Mapped[Decimal] = mapped_column(
        money(), init=False, server_default=text("0"), comment="Sum of its payments. Ours."
    )
    refunded_amount: Mapped[Decimal] = mapped_column(
        money(), init=False, server_default=text("0"), comment="Sum of its refunds. Ours."
    )
    recurring_invoice_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("accounting.recurring_invoices.id", ondelete="RESTRICT"),
        default=None,
        comment="The template it was made from. Ours.",
    )
    billing_date: Mapped[date | None] = mapped_column(
        default=None, comment="The day of the template that it bills. Ours."
    )

    user: Mapped[User] = relationship(init=False, lazy="raise", foreign_keys="Invoice.user_id")
    payments: Mapped[list[InvoicePayment]] = relationship(
        init=False, lazy="raise", back_populates="invoice"
    )
    notifications: Mapped[list[InvoiceNotification]] = relationship(
        init=False, lazy="raise", back_populates="invoice"
    )

    __table_args__: Any = (
        UniqueConstraint("invoice_number", name="uq_invoices_invoice_number"),
        CheckConstraint("total_miners > 0", name="total_miners"),
        CheckConstraint(f"unit_price BETWEEN 0.01 AND {PRICE_MAX}", name="unit_price"),
        CheckConstraint(
            "paid_amount = 0 OR paid_amount BETWEEN 0 AND total_miners * unit_price",
            name="paid_amount",
        ),
        CheckConstraint("refunded_amount BETWEEN 0 AND paid_amount", name="refunded_amount"),
        CheckConstraint(
            "CASE status"
            " WHEN 'DRAFT' THEN paid_amount = 0 AND issued_date IS NULL"
            " WHEN 'CANCELLED' THEN paid_amount = 0"
            " WHEN 'ISSUED' THEN paid_amount < total_miners * unit_price"
            " AND issued_date IS NOT NULL"
            " WHEN 'OVERDUE' THEN paid_amount < total_miners * unit_price"
            " AND issued_date IS NOT NULL"
            " WHEN 'PAID' THEN paid_amount = total_miners * unit_price"
            " AND paid_date IS NOT NULL"
            " WHEN 'REFUNDED' THEN refunded_amount = total_miners * unit_price"
            " END",
            name="status",
        ),
        CheckConstraint(
            "(recurring_invoice_id IS NULL) = (billing_date IS NULL)", name="billing_date"
        ),
        Index(
            "uq_invoices_recurring_invoice_id_month",
            "recurring_invoice_id",
            text("date_trunc('month', billing_date::timestamp)"),
            unique=True,
        ),
        Index("ix_invoices_user_id", "user_id", "created_at", "id"),
        Index("ix_invoices_status", "status", "due_date"),
        Index("ix_invoices_due_date", "due_date"),
        Index("ix_invoices_issued_date", "issued_date"),
        Index("ix_invoices_created_at", "created_at", "id"),
        Index("ix_invoices_created_by", "created_by"),
        Index("ix_invoices_updated_by", "updated_by"),
        {"schema": SCHEMA, "comment": "Invoices to customers.", "info": {GUARDED: "user_id"}},
    )


class InvoicePayment(Identified, Model):
    """A part of a customer's payment that pays an invoice (plan B).

    The sum over an invoice is at most its total, the sum over a payment at most its amount,
    whoever writes and however many at once.
    """

    __tablename__ = "invoice_payments"

    invoice_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounting.invoices.id", ondelete="CASCADE"), comment="The invoice."
    )
    cost_payment_id: Mapped[UUID] = mapped_column(
        BoundKey("cost_payments"),
        ForeignKey("mining.cost_payments.id", ondelete="RESTRICT"),
        comment="The money that came in; read only.",
    )
    amount_paid: Mapped[Decimal] = mapped_column(money(), comment="How much of it.")
    paid_date: Mapped[datetime] = mapped_column(
        moment(), server_default=clock.sql_now(), default=None, comment="When it was paid."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was allocated."
    )

    invoice: Mapped[Invoice] = relationship(init=False, lazy="raise", back_populates="payments")
    cost_payment: Mapped[CostPayment] = relationship(init=False, lazy="raise")

    __table_args__: Any = (
        UniqueConstraint(
            "invoice_id",
            "cost_payment_id",
            name="uq_invoice_payments_invoice_id_cost_payment_id",
        ),
        CheckConstraint(f"amount_paid BETWEEN 0.01 AND {AMOUNT_MAX}", name="amount_paid"),
        Index("ix_invoice_payments_cost_payment_id", "cost_payment_id"),
        Index("ix_invoice_payments_created_at", "created_at"),
        {"schema": SCHEMA, "comment": "Which payments pay which invoices."},
    )


class AllocatedPayment(Model):
    """How much of a customer's payment is allocated; stands for the host's row, which we only read.

    Every allocation changes this row, so that two at once can never spend the same money. Ours.
    """

    __tablename__ = "allocated_payments"

    cost_payment_id: Mapped[UUID] = mapped_column(
        BoundKey("cost_payments"),
        ForeignKey("mining.cost_payments.id", ondelete="RESTRICT"),
        primary_key=True,
        comment="The money that came in.",
    )
    amount_allocated: Mapped[Decimal] = mapped_column(
        money(), comment="Sum of its allocations to invoices."
    )

    __table_args__: Any = (
        CheckConstraint(f"amount_allocated BETWEEN 0 AND {AMOUNT_MAX}", name="amount_allocated"),
        {"schema": SCHEMA, "comment": "How much of each payment is allocated."},
    )


class InvoiceRefund(Identified, Model):
    """Money of a paid invoice that was given back; rows are added, never changed. Ours."""

    __tablename__ = "invoice_refunds"

    invoice_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounting.invoices.id", ondelete="RESTRICT"), comment="The invoice."
    )
    key: Mapped[str] = mapped_column(comment="The request's idempotency key.")
    amount: Mapped[Decimal] = mapped_column(money(), comment="How much was given back.")
    reason: Mapped[str | None] = mapped_column(default=None, comment="Why.")
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When."
    )

    __table_args__: Any = (
        UniqueConstraint("invoice_id", "key", name="uq_invoice_refunds_invoice_id_key"),
        CheckConstraint(f"amount BETWEEN 0.01 AND {AMOUNT_MAX}", name="amount"),
        CheckConstraint("length(key) BETWEEN 1 AND 255", name="key"),
        {"schema": SCHEMA, "comment": "Money given back on invoices."},
    )


class InvoiceDocument(Model):
    """What an issued invoice says, fixed when it was issued, and its PDF once rendered. Ours."""

    __tablename__ = "invoice_documents"

    invoice_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounting.invoices.id", ondelete="RESTRICT"),
        primary_key=True,
        comment="The invoice.",
    )
    content: Mapped[dict[str, Any]] = mapped_column(
        document(), comment="Everything the page shows, as it was at issue."
    )
    content_sha256: Mapped[bytes] = mapped_column(LargeBinary, comment="Hash of the content.")
    pdf: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, comment="The page.")
    pdf_sha256: Mapped[bytes | None] = mapped_column(
        LargeBinary, default=None, comment="Hash of the page."
    )
    rendered_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When the page was rendered."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was issued."
    )

    __table_args__: Any = (
        CheckConstraint(
            "(pdf IS NULL) = (pdf_sha256 IS NULL) AND (pdf IS NULL) = (rendered_at IS NULL)",
            name="rendered",
        ),
        CheckConstraint("pdf_sha256 = sha256(pdf)", name="pdf_sha256"),
        {"schema": SCHEMA, "comment": "Documents of issued invoices."},
    )
