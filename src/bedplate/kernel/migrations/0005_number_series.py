"""Numbers without gaps: a counter row per series and period, locked until its transaction ends."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0005_number_series"
down_revision = "0004_jobs"

SERIES = """
CREATE TABLE bedplate.number_series (
    series text NOT NULL,
    period text NOT NULL,
    last_number bigint NOT NULL,
    CONSTRAINT pk_number_series PRIMARY KEY (series, period),
    CONSTRAINT ck_number_series_last_number CHECK (last_number > 0)
);
COMMENT ON TABLE bedplate.number_series IS 'The last number of each series without gaps.';
COMMENT ON COLUMN bedplate.number_series.series IS 'Whose numbers: accounting.invoices.';
COMMENT ON COLUMN bedplate.number_series.period IS 'What they start anew with: a day, a year.';
COMMENT ON COLUMN bedplate.number_series.last_number IS 'The newest that was given.';

CREATE FUNCTION bedplate.next_numbers(p_series text, p_period text, p_count bigint)
    RETURNS bigint
    LANGUAGE sql
    BEGIN ATOMIC
        INSERT INTO bedplate.number_series AS s (series, period, last_number)
        VALUES (p_series, p_period, p_count)
        ON CONFLICT (series, period) DO UPDATE SET last_number = s.last_number + p_count
        RETURNING last_number - p_count + 1;
    END;
COMMENT ON FUNCTION bedplate.next_numbers(text, text, bigint) IS
    'Take the next numbers of a series; returns the first. A rollback gives them back.';
REVOKE ALL ON FUNCTION bedplate.next_numbers(text, text, bigint) FROM PUBLIC;
"""


def upgrade() -> None:
    """Create the counters; only functions of modules' lines take numbers, never the app itself."""
    lines.current().execute(SERIES)
    lines.grant("number_series", privileges=("SELECT",))


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    run("DROP FUNCTION bedplate.next_numbers(text, text, bigint)")
    run("DROP TABLE bedplate.number_series")
