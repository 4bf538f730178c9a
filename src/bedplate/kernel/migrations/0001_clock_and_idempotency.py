"""The clock that all SQL asks, and the answers kept under idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from bedplate.kernel import lines

revision = "0001_clock_and_idempotency"
down_revision = None

# RETURN bodies are parsed here and now, so no search_path can redirect them, and PostgreSQL inlines
# them. They are functions at all so that a test's database can replace them and let a year pass.
CLOCK = """
CREATE FUNCTION bedplate.now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN pg_catalog.now();
COMMENT ON FUNCTION bedplate.now() IS 'The start of the transaction; what column defaults use.';

CREATE FUNCTION bedplate.clock() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN pg_catalog.clock_timestamp();
COMMENT ON FUNCTION bedplate.clock() IS
    'The moment of the call; asked once a lock is held by what must be exact (expiry, leases).';
"""


def upgrade() -> None:
    """Create the clock's functions and the table of idempotency keys."""
    op.execute(CLOCK)
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Text, nullable=False, comment="Whose key: a user's key as text."),
        sa.Column("action", sa.Text, nullable=False, comment="The verb, such as credits.deduct."),
        sa.Column("key", sa.Text, nullable=False, comment="What the caller chose."),
        sa.Column(
            "request_hash",
            sa.LargeBinary,
            nullable=False,
            comment="SHA-256 of the request: another request under the key is a conflict.",
        ),
        sa.Column(
            "answer",
            postgresql.JSONB(none_as_null=True),
            comment="What is replayed, refusals included; NULL while the action runs.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("bedplate.now()"),
            comment="When the key was first used.",
        ),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="From when the key may be forgotten.",
        ),
        sa.PrimaryKeyConstraint("user_id", "action", "key", name="pk_idempotency_keys"),
        sa.CheckConstraint("expires_at > created_at", name="ck_idempotency_keys_expires_later"),
        schema="bedplate",
        comment="Answers kept under idempotency keys, unique per user and action.",
    )
    op.create_index(
        "ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], schema="bedplate"
    )
    lines.grant("idempotency_keys")


def downgrade() -> None:
    """Drop what upgrade() made."""
    op.drop_table("idempotency_keys", schema="bedplate")
    op.execute("DROP FUNCTION bedplate.now()")
    op.execute("DROP FUNCTION bedplate.clock()")
