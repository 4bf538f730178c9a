"""The users of a product, and what they prefer."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel import ids
from bedplate.kernel.audit import LOG_TABLE, AuditLogged, table_args
from bedplate.kernel.columns import Identified, SoftDeleted, Timestamped
from bedplate.kernel.model import GUARDED, Model
from bedplate.kernel.types import enum_type, moment, user_key

SCHEMA = "auth"


class Role(enum.Enum):
    """What a user is in the product (plan E)."""

    ADMIN = "ADMIN"
    INSTRUCTOR = "INSTRUCTOR"
    STUDENT = "STUDENT"


class AuditAction(enum.Enum):
    """What the audit log of `auth` records."""

    ROW_INSERTED = "ROW_INSERTED"
    ROW_UPDATED = "ROW_UPDATED"
    ROW_DELETED = "ROW_DELETED"
    TABLE_TRUNCATED = "TABLE_TRUNCATED"


class User(Timestamped, SoftDeleted, Model):
    """One person. The one users table of every module; a project may bind it to a host's.

    The union of the plans' User models (A 004, D, E). The address is unique without regard to
    case among living users, so a deleted user frees it; `clerk_id` is there for those who sign in
    with Clerk. Users of other identity providers have no password.
    """

    __tablename__ = "users"

    # The key's type is the project's: a host's users may have text or bigint keys.
    id: Mapped[UUID] = mapped_column(
        user_key(),
        primary_key=True,
        sort_order=-100,
        default_factory=ids.new,
        comment="Key (UUIDv7).",
    )
    email: Mapped[str | None] = mapped_column(
        default=None, comment="Address; unique among living users, whatever its case."
    )
    name: Mapped[str | None] = mapped_column(default=None, comment="What the user is called.")
    clerk_id: Mapped[str | None] = mapped_column(
        default=None, comment="Key at Clerk, for those who sign in there."
    )
    legacy_id: Mapped[str | None] = mapped_column(
        default=None, comment="Key in the system the user was imported from (cuid, ObjectId)."
    )
    password_hash: Mapped[str | None] = mapped_column(
        default=None, comment="Hash of the password; NULL for users of other identity providers."
    )
    role: Mapped[Role] = mapped_column(
        enum_type(Role, SCHEMA),
        default=Role.STUDENT,
        server_default=Role.STUDENT.name,
        comment="What the user is in the product.",
    )
    is_active: Mapped[bool] = mapped_column(
        default=True, server_default=text("true"), comment="Whether the user may sign in."
    )
    email_verified_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When the address was proven."
    )
    failed_login_count: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="Wrong passwords since the last right one."
    )
    locked_until: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="Until when signing in is refused."
    )
    password_changed_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When the password was last set."
    )
    last_login_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When the user last signed in."
    )

    preferences: Mapped[UserPreferences | None] = relationship(
        init=False, back_populates="user", lazy="raise"
    )

    __table_args__ = (
        CheckConstraint("email = btrim(email) AND position('@' in email) > 1", name="email_shape"),
        CheckConstraint("failed_login_count >= 0", name="failed_login_count"),
        UniqueConstraint("id", "clerk_id", name="uq_users_id_clerk_id"),
        Index("uq_users_clerk_id", "clerk_id", unique=True),
        Index("uq_users_legacy_id", "legacy_id", unique=True),
        Index("ix_users_created_at", "created_at", "id"),
        {
            "schema": SCHEMA,
            "comment": "The people who use the product.",
            "info": {GUARDED: "id"},
        },
    )


class UserPreferences(Identified, Timestamped, Model):
    """What one user prefers; exactly one row per user, made with the user (plan D)."""

    __tablename__ = "user_preferences"

    user_id: Mapped[UUID] = mapped_column(
        user_key(),
        ForeignKey("auth.users.id", ondelete="CASCADE"),
        comment="Whose preferences these are.",
    )
    last_workspace_id: Mapped[str | None] = mapped_column(
        default=None, comment="The workspace the user had open last."
    )

    user: Mapped[User] = relationship(init=False, back_populates="preferences", lazy="raise")

    __table_args__: Any = (
        UniqueConstraint("user_id", name="uq_user_preferences_user_id"),
        {
            "schema": SCHEMA,
            "comment": "What each user prefers.",
            "info": {GUARDED: "user_id"},
        },
    )


class AuditLog(AuditLogged, Model):
    """Who changed users and preferences; append-only."""

    __tablename__ = LOG_TABLE

    action: Mapped[AuditAction] = mapped_column(
        enum_type(AuditAction, SCHEMA), comment="What was done."
    )

    __table_args__ = table_args(SCHEMA, users="auth.users.id")


# Said after the class, because an expression needs the columns themselves.
Index(
    "uq_users_email",
    func.lower(User.email),
    unique=True,
    postgresql_where=User.deleted_at.is_(None),
)
