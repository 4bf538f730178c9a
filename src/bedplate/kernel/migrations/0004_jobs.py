"""To be written: jobs."""

from __future__ import annotations

revision = "0004_jobs"
down_revision = "0003_audit"


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
