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

# A key is taken without an answer and is given it once, in the transaction of the work. Before it
# expires it does not go: the request under it, a refused one too, would be done anew.
KEPT_ANSWERS = """
CREATE FUNCTION bedplate.keep_answer() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% of a key in %.% is refused: its answer is kept until it expires.',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'BP001', HINT = 'Ask anew under another key.',
              SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END
$$;
COMMENT ON FUNCTION bedplate.keep_answer() IS
    'Refuses to change or delete an answer under an idempotency key, whoever asks.';

CREATE TRIGGER tr_idempotency_keys_kept BEFORE DELETE ON bedplate.idempotency_keys
    FOR EACH ROW WHEN (OLD.expires_at > bedplate.now())
    EXECUTE FUNCTION bedplate.keep_answer();
CREATE TRIGGER tr_idempotency_keys_answered BEFORE UPDATE ON bedplate.idempotency_keys
    FOR EACH ROW WHEN (
        OLD.answer IS NOT NULL
        OR OLD.user_id IS DISTINCT FROM NEW.user_id
        OR OLD.action IS DISTINCT FROM NEW.action
        OR OLD.key IS DISTINCT FROM NEW.key
        OR OLD.request_hash IS DISTINCT FROM NEW.request_hash
        OR OLD.created_at IS DISTINCT FROM NEW.created_at
        OR OLD.expires_at IS DISTINCT FROM NEW.expires_at
    ) EXECUTE FUNCTION bedplate.keep_answer();
"""
TAKING = """
GRANT INSERT (user_id, action, key, request_hash, expires_at), UPDATE (answer)
    ON bedplate.idempotency_keys TO {role:app}
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
    op.execute(KEPT_ANSWERS)
    lines.grant("idempotency_keys", privileges=("SELECT", "DELETE"))
    lines.execute(TAKING)


def downgrade() -> None:
    """Drop what upgrade() made."""
    op.drop_table("idempotency_keys", schema="bedplate")
    op.execute("DROP FUNCTION bedplate.keep_answer()")
    op.execute("DROP FUNCTION bedplate.now()")
    op.execute("DROP FUNCTION bedplate.clock()")
