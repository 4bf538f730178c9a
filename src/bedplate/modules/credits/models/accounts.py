"""Accounts: what a user has, where it came from, what expired."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel import clock
from bedplate.kernel.columns import Identified, Timestamped
from bedplate.kernel.model import GUARDED, Model
from bedplate.kernel.types import document, moment, user_key
from bedplate.modules.auth import User
from bedplate.modules.credits.models.operations import SCHEMA


class CreditBalance(Identified, Timestamped, Model):
    """One user's account (plan D). Locked first by every verb, so its verbs run one by one.

    `credits_remaining` counts held credits too; what can be spent is
    `credits_remaining - credits_held`. Both in whole credits.
    """

    __tablename__ = "credit_balances"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="RESTRICT"), comment="Whose account."
    )
    clerk_user_id: Mapped[str | None] = mapped_column(
        default=None,
        comment="The user's key at Clerk; follows auth.users.clerk_id, NULL beside a host's users.",
    )
    credits_remaining: Mapped[int] = mapped_column(
        default=100, server_default="100", comment="Credits of the account, held ones included."
    )
    credits_held: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="Credits set aside by open holds."
    )
    next_expiry: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When the next grant or hold of the account expires."
    )
    last_synced_at: Mapped[datetime] = mapped_column(
        moment(),
        init=False,
        server_default=clock.sql_now(),
        comment="When the balance last changed.",
    )

    user: Mapped[User] = relationship(init=False, lazy="raise", foreign_keys=[user_id])

    __table_args__: Any = (
        UniqueConstraint("user_id", name="uq_credit_balances_user_id"),
        UniqueConstraint("id", "user_id", name="uq_credit_balances_id_user_id"),
        UniqueConstraint("clerk_user_id", name="uq_credit_balances_clerk_user_id"),
        ForeignKeyConstraint(
            ["user_id", "clerk_user_id"],
            ["auth.users.id", "auth.users.clerk_id"],
            name="fk_credit_balances_user_id_clerk_user_id_users",
            onupdate="CASCADE",
        ),
        CheckConstraint("credits_remaining >= 0", name="remaining"),
        CheckConstraint("credits_held BETWEEN 0 AND credits_remaining", name="held"),
        Index(
            "ix_credit_balances_next_expiry",
            "next_expiry",
            "id",
            postgresql_where=text("next_expiry IS NOT NULL"),
        ),
        {"schema": SCHEMA, "comment": "Accounts of credits.", "info": {GUARDED: "user_id"}},
    )


class CreditGrant(Identified, Model):
    """Credits that came into an account, and what is left of them.

    Burned by priority (lowest first), then earliest expiry, then earliest creation. Of `remaining`,
    `held` belongs to open holds and does not expire before they end.
    """

    __tablename__ = "credit_grants"

    credit_balance_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.credit_balances.id", ondelete="RESTRICT"),
        comment="The account that got them.",
    )
    key: Mapped[str] = mapped_column(
        String(255), comment="The request that granted them; unique per account."
    )
    source: Mapped[str] = mapped_column(comment="Where they came from: opening, purchase, plan …")
    amount: Mapped[int] = mapped_column(comment="Credits granted.")
    remaining: Mapped[int] = mapped_column(comment="Credits neither used nor expired.")
    balance_after: Mapped[int] = mapped_column(comment="credits_remaining right after.")
    held: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="Credits of the remaining ones in open holds."
    )
    priority: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="Lower is burned first."
    )
    expires_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="From when they cannot be used; NULL: never."
    )
    details: Mapped[dict[str, Any] | None] = mapped_column(
        document(), default=None, comment="What the caller noted."
    )
    # A column of its own, because an index on `remaining` would have to follow every charge.
    is_open: Mapped[bool] = mapped_column(
        Computed("remaining > 0", persisted=True), init=False, comment="Whether any is left."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When they were granted."
    )

    __table_args__: Any = (
        UniqueConstraint("credit_balance_id", "key", name="uq_credit_grants_credit_balance_id_key"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
        CheckConstraint("held BETWEEN 0 AND remaining", name="held"),
        CheckConstraint("key <> ''", name="key"),
        Index(
            "ix_credit_grants_burn_order",
            "credit_balance_id",
            "priority",
            "expires_at",
            "created_at",
            "id",
            postgresql_where=text("is_open"),
        ),
        {"schema": SCHEMA, "comment": "Credits that came into accounts."},
    )


class CreditExpiration(Identified, Model):
    """Breakage: credits of a grant that expired unused."""

    __tablename__ = "credit_expirations"

    credit_balance_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.credit_balances.id", ondelete="RESTRICT"), comment="The account."
    )
    grant_id: Mapped[UUID] = mapped_column(
        ForeignKey("credits.credit_grants.id", ondelete="RESTRICT"), comment="The grant."
    )
    amount: Mapped[int] = mapped_column(comment="Credits that expired.")
    expired_at: Mapped[datetime] = mapped_column(
        moment(), comment="The instant from which they could not be used."
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was booked."
    )

    __table_args__: Any = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_credit_expirations_credit_balance_id", "credit_balance_id", "expired_at"),
        Index("ix_credit_expirations_grant_id", "grant_id"),
        {"schema": SCHEMA, "comment": "Credits that expired unused."},
    )
