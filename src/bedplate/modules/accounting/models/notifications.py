"""What customers were told about their invoices, and the audit log of it all."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel import clock
from bedplate.kernel.audit import LOG_TABLE, AuditLogged, table_args
from bedplate.kernel.columns import Identified
from bedplate.kernel.model import Model
from bedplate.kernel.types import enum_type, moment
from bedplate.modules.accounting.models.invoices import Invoice
from bedplate.modules.accounting.models.states import (
    SCHEMA,
    AuditAction,
    NotificationStatus,
    NotificationType,
)
from bedplate.modules.auth import User

RETRIES_MAX = 49
"""A mail is attempted 50 times at most."""


class InvoiceNotification(Identified, Model):
    """One message about an invoice (plan B): the mirror of an outgoing mail of `delivery`.

    Ours, beside the plan's columns: `stage`, `due_date`, `mail_id`.
    """

    __tablename__ = "invoice_notifications"

    invoice_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounting.invoices.id", ondelete="CASCADE"), comment="The invoice."
    )
    notification_type: Mapped[NotificationType] = mapped_column(
        enum_type(NotificationType, SCHEMA), comment="What it is about."
    )
    sent_to: Mapped[str] = mapped_column(comment="The address.")
    stage: Mapped[int] = mapped_column(
        default=0,
        server_default="0",
        comment="Which reminder of its type: days from the due date. Ours.",
    )
    due_date: Mapped[date | None] = mapped_column(
        default=None, comment="The due date that a reminder is of. Ours."
    )
    sent_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When the mail host took it."
    )
    is_read: Mapped[bool] = mapped_column(
        default=False, server_default=text("false"), comment="Whether it was opened."
    )
    opened_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When it was first opened."
    )
    status: Mapped[NotificationStatus] = mapped_column(
        enum_type(NotificationStatus, SCHEMA),
        default=NotificationStatus.PENDING,
        server_default=NotificationStatus.PENDING.name,
        comment="How far it came.",
    )
    failure_reason: Mapped[str | None] = mapped_column(
        default=None, comment="Why the last attempt failed."
    )
    retry_count: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="Attempts after the first."
    )
    next_retry_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When it is tried again."
    )
    mail_id: Mapped[UUID | None] = mapped_column(
        default=None, comment="The outgoing mail of `delivery`. Ours."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When the row was made."
    )

    invoice: Mapped[Invoice] = relationship(
        init=False, lazy="raise", back_populates="notifications"
    )

    __table_args__: Any = (
        UniqueConstraint(
            "invoice_id",
            "notification_type",
            "due_date",
            "stage",
            name="uq_invoice_notifications_once",
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint(
            "(notification_type IN ('PAYMENT_REMINDER', 'OVERDUE_REMINDER'))"
            " = (due_date IS NOT NULL)",
            name="due_date",
        ),
        CheckConstraint(f"retry_count BETWEEN 0 AND {RETRIES_MAX}", name="retry_count"),
        CheckConstraint("sent_at IS NOT NULL OR status <> 'SENT'", name="sent_at"),
        CheckConstraint("is_read = (opened_at IS NOT NULL)", name="opened_at"),
        Index("ix_invoice_notifications_status", "status"),
        Index("ix_invoice_notifications_sent_to", "sent_to"),
        Index("ix_invoice_notifications_created_at", "created_at"),
        Index("ix_invoice_notifications_sent_at", "sent_at"),
        Index("ix_invoice_notifications_mail_id", "mail_id"),
        {"schema": SCHEMA, "comment": "What customers were told about their invoices."},
    )


class AuditLog(AuditLogged, Model):
    """Who did what in accounting, when and from where; rows are added, never changed (plan B)."""

    __tablename__ = LOG_TABLE

    action: Mapped[AuditAction] = mapped_column(
        enum_type(AuditAction, SCHEMA), comment="What was done."
    )

    user: Mapped[User | None] = relationship(init=False, lazy="raise")

    __table_args__ = table_args(SCHEMA, users="auth.users.id")
