"""The users and their preferences; an adopted users table is left as it is."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from bedplate.kernel import lines

revision = "0001_users"
down_revision = None

ROLE: Any = postgresql.ENUM(
    "ADMIN", "INSTRUCTOR", "STUDENT", name="role", schema="auth", create_type=False
)
NOW = sa.text("bedplate.now()")


def upgrade() -> None:
    """Create the users table, unless the project adopts a host's, and the preferences."""
    if not lines.is_bound("users"):
        _create_users()
    op.create_table(
        "user_preferences",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Key (UUIDv7)."),
        sa.Column(
            "user_id",
            lines.user_key_type(),
            sa.ForeignKey(
                lines.users_reference(),
                ondelete="CASCADE",
                name="fk_user_preferences_user_id_users",
            ),
            nullable=False,
            comment="Whose preferences these are.",
        ),
        sa.Column("last_workspace_id", sa.String, comment="The workspace the user had open last."),
        _moment("created_at", "When the row was made.", server_default=NOW, nullable=False),
        _moment("updated_at", "When the row was last changed.", server_default=NOW, nullable=False),
        sa.UniqueConstraint("user_id", name="uq_user_preferences_user_id"),
        schema="auth",
        comment="What each user prefers.",
    )
    lines.grant("user_preferences")
    lines.guard("user_preferences", "user_id")


def downgrade() -> None:
    """Drop what upgrade() made."""
    op.drop_table("user_preferences", schema="auth")
    if not lines.is_bound("users"):
        op.drop_table("users", schema="auth")
        op.execute("DROP TYPE auth.role")


def _create_users() -> None:
    op.execute("CREATE TYPE auth.role AS ENUM ('ADMIN', 'INSTRUCTOR', 'STUDENT')")
    op.execute("COMMENT ON TYPE auth.role IS 'What a user is in the product.'")
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Key (UUIDv7)."),
        *_identity(),
        sa.Column(
            "role",
            ROLE,
            nullable=False,
            server_default="STUDENT",
            comment="What the user is in the product.",
        ),
        sa.Column(
            "is_active",
            sa.Boolean,
            nullable=False,
            server_default=sa.text("true"),
            comment="Whether the user may sign in.",
        ),
        *_signing_in(),
        _moment("created_at", "When the row was made.", server_default=NOW, nullable=False),
        _moment("updated_at", "When the row was last changed.", server_default=NOW, nullable=False),
        _moment("deleted_at", "When the row was deleted; NULL while it lives."),
        sa.CheckConstraint(
            "email = btrim(email) AND position('@' in email) > 1", name="ck_users_email_shape"
        ),
        sa.CheckConstraint("failed_login_count >= 0", name="ck_users_failed_login_count"),
        sa.UniqueConstraint("id", "clerk_id", name="uq_users_id_clerk_id"),
        schema="auth",
        comment="The people who use the product.",
    )
    op.create_index(
        "uq_users_email",
        "users",
        [sa.text("lower(email)")],
        unique=True,
        schema="auth",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("uq_users_clerk_id", "users", ["clerk_id"], unique=True, schema="auth")
    op.create_index("uq_users_legacy_id", "users", ["legacy_id"], unique=True, schema="auth")
    op.create_index("ix_users_created_at", "users", ["created_at", "id"], schema="auth")
    lines.grant("users")
    lines.guard("users", "id")


def _identity() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column(
            "email", sa.String, comment="Address; unique among living users, whatever its case."
        ),
        sa.Column("name", sa.String, comment="What the user is called."),
        sa.Column("clerk_id", sa.String, comment="Key at Clerk, for those who sign in there."),
        sa.Column(
            "legacy_id",
            sa.String,
            comment="Key in the system the user was imported from (cuid, ObjectId).",
        ),
        sa.Column(
            "password_hash",
            sa.String,
            comment="Hash of the password; NULL for users of other identity providers.",
        ),
    )


def _signing_in() -> tuple[sa.Column[Any], ...]:
    return (
        _moment("email_verified_at", "When the address was proven."),
        sa.Column(
            "failed_login_count",
            sa.Integer,
            nullable=False,
            server_default="0",
            comment="Wrong passwords since the last right one.",
        ),
        _moment("locked_until", "Until when signing in is refused."),
        _moment("password_changed_at", "When the password was last set."),
        _moment("last_login_at", "When the user last signed in."),
    )


def _moment(
    name: str, comment: str, *, server_default: sa.TextClause | None = None, nullable: bool = True
) -> sa.Column[Any]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        server_default=server_default,
        nullable=nullable,
        comment=comment,
    )
