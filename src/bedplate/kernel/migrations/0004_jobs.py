"""Work for later: jobs under leases, and when periodic ones come again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from bedplate.kernel import lines
from bedplate.kernel.leased import leased_columns, leased_rules

revision = "0004_jobs"
down_revision = "0003_audit"


def upgrade() -> None:
    """Create bedplate.jobs and bedplate.periods."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, nullable=False, comment="Key (UUIDv7)."),
        sa.Column("kind", sa.Text, nullable=False, comment="The job's name: credits.expire."),
        sa.Column("payload", postgresql.JSONB, nullable=False, comment="What the job is given."),
        *leased_columns(),
        sa.Column("progress", sa.SmallInteger, comment="Per cent, as the job itself says."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("bedplate.now()"),
            comment="When it was asked for.",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="ck_jobs_progress"),
        schema="bedplate",
        comment="Work for later, and what became of it.",
    )
    leased_rules("jobs")
    op.create_table(
        "periods",
        sa.Column("name", sa.Text, nullable=False, comment="The periodic job's name."),
        sa.Column("every", sa.Interval, nullable=False, comment="How often it comes."),
        sa.Column(
            "next_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the next period begins; whoever moves it on enqueues the job.",
        ),
        sa.PrimaryKeyConstraint("name", name="pk_periods"),
        sa.CheckConstraint("every >= interval '1 second'", name="ck_periods_every"),
        schema="bedplate",
        comment="When each periodic job comes again.",
    )
    lines.grant("jobs", "periods")


def downgrade() -> None:
    """Drop what upgrade() made."""
    op.drop_table("periods", schema="bedplate")
    op.drop_table("jobs", schema="bedplate")
