"""What credits were used for, and which grants paid."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel import clock
from bedplate.kernel.columns import Identified
from bedplate.kernel.model import GUARDED, Model
from bedplate.kernel.types import document, enum_type, moment, user_key
from bedplate.modules.auth import User
from bedplate.modules.credits.models.accounts import CreditBalance
from bedplate.modules.credits.models.operations import SCHEMA, OperationType


class UsageHistory(Identified, Model):
    """One charge or refund, for good (plan D): rows are added, never changed.

    `credits_used` is negative on a refund. `key` stays unique for good, so that a replay, however
    late, never charges twice.
    """

    __tablename__ = "usage_history"

    user_id: Mapped[UUID] = mapped_column(user_key(), comment="Whose credits.")
    credit_balance_id: Mapped[UUID] = mapped_column(comment="The account.")
    operation_type: Mapped[OperationType] = mapped_column(
        enum_type(OperationType, SCHEMA), comment="What they were spent on."
    )
    credits_used: Mapped[int] = mapped_column(comment="Credits used; negative on a refund.")
    action: Mapped[str] = mapped_column(comment="The verb: deduct, capture or refund.")
    key: Mapped[str] = mapped_column(String(255), comment="The request's idempotency key.")
    balance_after: Mapped[int] = mapped_column(comment="credits_remaining right after.")
    available_after: Mapped[int] = mapped_column(comment="What could be spent right after.")
    is_priced: Mapped[bool] = mapped_column(
        default=False,
        server_default=text("false"),
        comment="Whether the amount was the feature's cost and not the caller's.",
    )
    refund_of: Mapped[UUID | None] = mapped_column(
        ForeignKey("credits.usage_history.id", ondelete="RESTRICT"),
        default=None,
        comment="The charge that this refunds.",
    )
    grant_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("credits.credit_grants.id", ondelete="RESTRICT"),
        default=None,
        comment="The grant that paid a charge whole; usage_allocations has the others.",
    )
    details: Mapped[dict[str, Any] | None] = mapped_column(
        document(), default=None, comment="What the caller noted."
    )
    timestamp: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it happened."
    )

    credit_balance: Mapped[CreditBalance] = relationship(init=False, lazy="raise")
    user: Mapped[User] = relationship(
        init=False,
        lazy="raise",
        primaryjoin="foreign(UsageHistory.user_id) == User.id",
        viewonly=True,
    )

    __table_args__: Any = (
        # The account's user, so never another one: the account has the key to users.
        ForeignKeyConstraint(
            ["credit_balance_id", "user_id"],
            ["credits.credit_balances.id", "credits.credit_balances.user_id"],
            name="fk_usage_history_credit_balance_id_user_id_credit_balances",
            ondelete="RESTRICT",
        ),
        UniqueConstraint(
            "credit_balance_id", "action", "key", name="uq_usage_history_credit_balance_id_key"
        ),
        CheckConstraint("action IN ('deduct', 'capture', 'refund')", name="action"),
        CheckConstraint("key <> ''", name="key"),
        CheckConstraint(
            "(action = 'refund') = (refund_of IS NOT NULL)"
            " AND (credits_used < 0) = (refund_of IS NOT NULL)",
            name="sign",
        ),
        CheckConstraint("available_after BETWEEN 0 AND balance_after", name="balance_after"),
        # Of this alone: one that had the account too would be taken, in small tables, for a key's.
        Index("ix_usage_history_grant_id", "grant_id"),
        Index("ix_usage_history_user_id", "user_id", "timestamp", "id"),
        Index(
            "ix_usage_history_refund_of",
            "refund_of",
            postgresql_where=text("refund_of IS NOT NULL"),
        ),
        {"schema": SCHEMA, "comment": "Charges and refunds.", "info": {GUARDED: "user_id"}},
    )


class UsageAllocation(Model):
    """Which grant paid how much of a charge that names none; negative on a refund.

    A charge of `deduct` or `deduct_many` that one grant paid whole names it in its own row; a
    capture never does. The view `credits.payments` has both.
    """

    __tablename__ = "usage_allocations"

    usage_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.usage_history.id", ondelete="RESTRICT"),
        primary_key=True,
        comment="The charge or refund.",
    )
    grant_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.credit_grants.id", ondelete="RESTRICT"),
        primary_key=True,
        comment="The grant that paid, or got back.",
    )
    amount: Mapped[int] = mapped_column(comment="Credits; negative on a refund.")

    __table_args__: Any = (
        CheckConstraint("amount <> 0", name="amount"),
        Index("ix_usage_allocations_grant_id", "grant_id"),
        {
            "schema": SCHEMA,
            "comment": "Which grants paid for charges that name none, and got refunds back.",
        },
    )
