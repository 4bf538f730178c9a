"""Holds: credits set aside for charges to come."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel import clock
from bedplate.kernel.columns import Identified
from bedplate.kernel.model import Model
from bedplate.kernel.types import document, enum_type, moment
from bedplate.modules.credits.models.operations import SCHEMA, OperationType


class CreditHold(Identified, Model):
    """Credits set aside for a charge to come; each hold ends once.

    OPEN until it is CAPTURED (in whole or in part), RELEASED, or EXPIRED at `expires_at`.
    """

    __tablename__ = "credit_holds"

    credit_balance_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.credit_balances.id", ondelete="RESTRICT"), comment="The account."
    )
    operation_type: Mapped[OperationType] = mapped_column(
        enum_type(OperationType, SCHEMA), comment="What they are set aside for."
    )
    key: Mapped[str] = mapped_column(String(255), comment="The request's idempotency key.")
    amount: Mapped[int] = mapped_column(comment="Credits set aside.")
    expires_at: Mapped[datetime] = mapped_column(
        moment(), comment="From when it can no longer be captured."
    )
    available_after: Mapped[int] = mapped_column(comment="What could be spent right after.")
    is_priced: Mapped[bool] = mapped_column(
        default=False,
        server_default=text("false"),
        comment="Whether the amount was the feature's cost and not the caller's.",
    )
    details: Mapped[dict[str, Any] | None] = mapped_column(
        document(), default=None, comment="What the caller noted."
    )
    state: Mapped[str] = mapped_column(
        default="OPEN", server_default="OPEN", comment="OPEN, CAPTURED, RELEASED or EXPIRED."
    )
    usage_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("credits.usage_history.id", ondelete="RESTRICT"),
        default=None,
        comment="The charge that captured it.",
    )
    ended_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When it stopped being open."
    )
    balance_after: Mapped[int | None] = mapped_column(
        default=None, comment="credits_remaining right after it was released or expired."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was made."
    )

    __table_args__: Any = (
        UniqueConstraint("credit_balance_id", "key", name="uq_credit_holds_credit_balance_id_key"),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("key <> ''", name="key"),
        CheckConstraint("state IN ('OPEN', 'CAPTURED', 'RELEASED', 'EXPIRED')", name="state"),
        CheckConstraint("(state = 'OPEN') = (ended_at IS NULL)", name="ended"),
        CheckConstraint("(state = 'CAPTURED') = (usage_id IS NOT NULL)", name="captured"),
        Index(
            "ix_credit_holds_open",
            "credit_balance_id",
            "expires_at",
            postgresql_where=text("state = 'OPEN'"),
        ),
        Index(
            "ix_credit_holds_usage_id", "usage_id", postgresql_where=text("usage_id IS NOT NULL")
        ),
        {"schema": SCHEMA, "comment": "Credits set aside for charges to come."},
    )


class HoldAllocation(Model):
    """Which grants a hold's credits belong to."""

    __tablename__ = "hold_allocations"

    hold_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.credit_holds.id", ondelete="RESTRICT"),
        primary_key=True,
        comment="The hold.",
    )
    grant_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.credit_grants.id", ondelete="RESTRICT"),
        primary_key=True,
        comment="The grant.",
    )
    amount: Mapped[int] = mapped_column(comment="Credits of the grant that the hold sets aside.")

    __table_args__: Any = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_hold_allocations_grant_id", "grant_id"),
        {"schema": SCHEMA, "comment": "Which grants the credits of holds belong to."},
    )
