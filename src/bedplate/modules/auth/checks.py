"""The laws of `auth`; of an adopted users table too, where it has the fields."""

from __future__ import annotations

from sqlalchemy import func, select

from bedplate.kernel.checks import Check
from bedplate.modules.auth.models import User, UserPreferences

ADDRESS = func.lower(User.email)

CHECKS = (
    Check(
        id="auth.E001",
        title="every living user has preferences",
        query=select(User.id).where(
            ~select(UserPreferences.id).where(UserPreferences.user_id == User.id).exists()
        ),
        next_step="Run backfill_preferences; users inserted by raw SQL have none.",
    ),
    Check(
        id="auth.E002",
        title="no two living users share an address, whatever its case",
        query=select(ADDRESS.label("email"), func.count().label("users"))
        .where(User.email.is_not(None))
        .group_by(ADDRESS)
        .having(func.count() > 1),
        next_step="Merge the users named here; a unique index on lower(email) prevents others.",
    ),
)
