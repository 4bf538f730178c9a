"""Templates of monthly invoices, and what a miner costs each customer."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel.columns import Identified, Timestamped
from bedplate.kernel.model import GUARDED, Model
from bedplate.kernel.types import document, moment, money, user_key
from bedplate.modules.accounting.models.people import Attributed
from bedplate.modules.accounting.models.states import PRICE_MAX, SCHEMA
from bedplate.modules.auth import User


class RecurringInvoice(Identified, Attributed, Timestamped, Model):
    """A template: one invoice for a customer's miners every month (plan B).

    Bills on `day_of_month` (1 to 28), or on the month's last day, in the billing time zone, from
    `start_date` to `end_date` inclusive, once a month at most. `is_active` false is a pause: its
    days are not billed later unless resuming asks for it. `deleted_at` ends it for good.

    Ours, beside the plan's columns: `last_day_of_month`, `due_days`, `deleted_at`.
    """

    __tablename__ = "recurring_invoices"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="RESTRICT"), comment="The customer."
    )
    day_of_month: Mapped[int] = mapped_column(comment="The day that is billed, 1 to 28.")
    start_date: Mapped[date] = mapped_column(comment="No day before it is billed.")
    unit_price: Mapped[Decimal | None] = mapped_column(
        money(10, 2), default=None, comment="Price of one miner; NULL: the customer's price."
    )
    end_date: Mapped[date | None] = mapped_column(
        default=None, comment="No day after it is billed; NULL: never ends."
    )
    is_active: Mapped[bool] = mapped_column(
        default=True, server_default=text("true"), comment="False while it is paused."
    )
    last_generated_date: Mapped[date | None] = mapped_column(
        init=False, default=None, comment="The last day that was billed."
    )
    last_day_of_month: Mapped[bool] = mapped_column(
        default=False,
        server_default=text("false"),
        comment="Bill the month's last day instead of day_of_month. Ours.",
    )
    due_days: Mapped[int] = mapped_column(
        default=14, server_default="14", comment="Days from issue to the due date. Ours."
    )
    deleted_at: Mapped[datetime | None] = mapped_column(
        moment(), init=False, default=None, comment="When it was ended for good. Ours."
    )

    user: Mapped[User] = relationship(
        init=False, lazy="raise", foreign_keys="RecurringInvoice.user_id"
    )

    __table_args__: Any = (
        CheckConstraint("day_of_month BETWEEN 1 AND 28", name="day_of_month"),
        # Any other year is a slip of the hand, and has centuries of months to bill.
        CheckConstraint("start_date BETWEEN '2000-01-01' AND '2199-12-31'", name="start_date"),
        CheckConstraint("end_date >= start_date", name="end_date"),
        CheckConstraint(f"unit_price BETWEEN 0.01 AND {PRICE_MAX}", name="unit_price"),
        CheckConstraint("due_days BETWEEN 0 AND 365", name="due_days"),
        CheckConstraint("deleted_at IS NULL OR NOT is_active", name="deleted_at"),
        Index("ix_recurring_invoices_user_id", "user_id"),
        Index("ix_recurring_invoices_is_active", "is_active"),
        Index("ix_recurring_invoices_day_of_month", "day_of_month"),
        Index("ix_recurring_invoices_start_date", "start_date"),
        Index("ix_recurring_invoices_created_by", "created_by"),
        Index("ix_recurring_invoices_updated_by", "updated_by"),
        {
            "schema": SCHEMA,
            "comment": "Templates of monthly invoices.",
            "info": {GUARDED: "user_id"},
        },
    )


class TemplatePause(Model):
    """One pause of a template, from a day until before another; kept by the database. Ours."""

    __tablename__ = "template_pauses"

    id: Mapped[UUID] = mapped_column(
        primary_key=True, server_default=text("bedplate.uuid7()"), comment="Key (UUIDv7)."
    )
    recurring_invoice_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounting.recurring_invoices.id", ondelete="RESTRICT"),
        comment="The template.",
    )
    paused_on: Mapped[date] = mapped_column(comment="The first day of the pause.")
    resumed_on: Mapped[date | None] = mapped_column(
        default=None, comment="The first day it is over; NULL while it lasts."
    )
    billed: Mapped[bool] = mapped_column(
        default=False,
        server_default=text("false"),
        comment="Whether its days are billed after all.",
    )

    __table_args__: Any = (
        CheckConstraint("resumed_on >= paused_on", name="resumed_on"),
        Index("ix_template_pauses_recurring_invoice_id", "recurring_invoice_id"),
        Index(
            "uq_template_pauses_open",
            "recurring_invoice_id",
            unique=True,
            postgresql_where=text("resumed_on IS NULL"),
        ),
        {"schema": SCHEMA, "comment": "When templates were paused."},
    )


class CustomerPricingConfig(Identified, Attributed, Timestamped, Model):
    """What a miner costs one customer from a day on (plan B); never deleted.

    `effective_to` is the first day of the next price. No two prices of a customer overlap: the
    database locks the customer and refuses it (ExclusionViolation), raw SQL and parallel writers
    included. Gaps are allowed.
    """

    __tablename__ = "customer_pricing_config"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="RESTRICT"), comment="The customer."
    )
    default_unit_price: Mapped[Decimal] = mapped_column(
        money(10, 2), comment="Price of one miner per month."
    )
    effective_from: Mapped[date] = mapped_column(comment="The first day of the price.")
    effective_to: Mapped[date | None] = mapped_column(
        default=None, comment="The first day it is over; NULL: open."
    )

    user: Mapped[User] = relationship(
        init=False, lazy="raise", foreign_keys="CustomerPricingConfig.user_id"
    )

    __table_args__: Any = (
        UniqueConstraint(
            "user_id", "effective_from", name="uq_customer_pricing_config_user_id_effective_from"
        ),
        CheckConstraint("effective_to > effective_from", name="effective_to"),
        CheckConstraint(
            f"default_unit_price BETWEEN 0.01 AND {PRICE_MAX}", name="default_unit_price"
        ),
        Index("ix_customer_pricing_config_effective_from", "effective_from"),
        Index("ix_customer_pricing_config_effective_to", "effective_to"),
        Index("ix_customer_pricing_config_created_by", "created_by"),
        Index("ix_customer_pricing_config_updated_by", "updated_by"),
        {
            "schema": SCHEMA,
            "comment": "Prices of customers over time.",
            "info": {GUARDED: "user_id"},
        },
    )


class BilledCustomer(Model):
    """Stands for a customer, whom we may only read, where changes must go one by one. Ours.

    Every change of a customer's prices changes this row, so that two at once cannot both find the
    same days free, whatever their isolation.
    """

    __tablename__ = "billed_customers"

    user_id: Mapped[UUID] = mapped_column(
        user_key(),
        ForeignKey("auth.users.id", ondelete="RESTRICT"),
        primary_key=True,
        comment="The customer.",
    )
    price_changes: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="Counts the changes of its prices."
    )

    __table_args__: Any = (
        {"schema": SCHEMA, "comment": "Customers, as far as changes wait for one another."},
    )


class BillingSettings(Timestamped, Model):
    """What all invoices share; one row. Ours."""

    __tablename__ = "billing_settings"

    id: Mapped[str] = mapped_column(
        primary_key=True,
        default="singleton",
        server_default="singleton",
        comment="Always 'singleton'.",
    )
    time_zone: Mapped[str] = mapped_column(
        default="UTC",
        server_default="UTC",
        comment="Where a billing day begins and ends, as in Europe/Reykjavik.",
    )
    catch_up_months: Mapped[int] = mapped_column(
        default=24,
        server_default="24",
        comment="How many months a template may be behind and still be billed by itself.",
    )
    seller: Mapped[str] = mapped_column(
        default="",
        server_default="",
        comment="Who bills: name, address and account, one a line;"
        " for invoices issued from now on.",
    )
    currency: Mapped[str] = mapped_column(
        default="",
        server_default="",
        comment="What amounts are in, as in EUR, or nothing; for invoices issued from now on.",
    )
    reminder_days: Mapped[list[int]] = mapped_column(
        document(),
        default_factory=lambda: [-3, 1, 7, 14],
        server_default=text("'[-3, 1, 7, 14]'"),
        comment="Days from the due date on which customers are reminded.",
    )
    mail_invoices: Mapped[bool] = mapped_column(
        default=False,
        server_default=text("false"),
        comment="Whether every issued invoice is mailed to its customer.",
    )
    mail_receipts: Mapped[bool] = mapped_column(
        default=False,
        server_default=text("false"),
        comment="Whether customers are told that an invoice is paid.",
    )
    mail_invoices_from: Mapped[datetime | None] = mapped_column(
        moment(),
        init=False,
        default=None,
        comment="Invoices issued from then on are mailed; kept by the database.",
    )
    mail_receipts_from: Mapped[datetime | None] = mapped_column(
        moment(),
        init=False,
        default=None,
        comment="Payments made from then on are confirmed; kept by the database.",
    )

    __table_args__: Any = (
        CheckConstraint("id = 'singleton'", name="singleton"),
        CheckConstraint("catch_up_months BETWEEN 1 AND 1200", name="catch_up_months"),
        CheckConstraint("length(seller) <= 1000", name="seller"),
        CheckConstraint("currency ~ '^([A-Z]{3})?$'", name="currency"),
        # PostgreSQL raises an error of its own (22023) for a zone that it does not know.
        CheckConstraint(
            "timestamp '2000-01-01' AT TIME ZONE time_zone IS NOT NULL", name="time_zone"
        ),
        CheckConstraint(
            "jsonb_typeof(reminder_days) = 'array' AND NOT reminder_days @?"
            " 'strict $[*] ? (@.type() != \"number\" || @.floor() != @ || @.abs() > 365)'",
            name="reminder_days",
        ),
        {"schema": SCHEMA, "comment": "What all invoices share."},
    )
