"""To be written: audit."""

from __future__ import annotations

revision = "0003_audit"
down_revision = "0002_append_only"


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
