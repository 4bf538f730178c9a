"""Who changed users and preferences; an adopted users table is left as it is."""

from __future__ import annotations

from bedplate.kernel import audit, lines
from bedplate.kernel.footprint import Footprint

revision = "0002_audit_logs"
down_revision = "0001_users"

touches = Footprint(behaviour=["auth.users", "auth.user_preferences"])


def upgrade() -> None:
    """Create the log, and record every change of the tables that are ours."""
    audit.create_log(captures=True)
    if not lines.is_bound("users"):
        audit.capture("users", redact=("password_hash",))
    audit.capture("user_preferences")


def downgrade() -> None:
    """Drop the log, and let the tables be."""
    audit.release("user_preferences")
    if not lines.is_bound("users"):
        audit.release("users")
    audit.drop_log()
