"""What refuses to change rows that are history."""

from __future__ import annotations

from alembic import op

revision = "0002_append_only"
down_revision = "0001_clock_and_idempotency"

REFUSE_CHANGE = """
CREATE FUNCTION bedplate.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: its rows are history.',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'BP001', HINT = 'Correct it with a new row.',
              SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END
$$;
COMMENT ON FUNCTION bedplate.refuse_change() IS
    'Refuses UPDATE, DELETE and TRUNCATE of append-only tables, whoever asks.';
"""


def upgrade() -> None:
    """Create the trigger function that append-only tables share."""
    op.execute(REFUSE_CHANGE)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP FUNCTION bedplate.refuse_change()")
