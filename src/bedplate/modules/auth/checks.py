"""The laws of `auth`."""

from __future__ import annotations

from bedplate.kernel.checks import Check

CHECKS = (
    Check(
        id="auth.E001",
        title="every living user has preferences",
        query="""
            SELECT u.id FROM auth.users u
            WHERE u.deleted_at IS NULL
              AND NOT EXISTS (SELECT FROM auth.user_preferences p WHERE p.user_id = u.id)
        """,
        next_step="Run backfill_preferences; users inserted by raw SQL have none.",
    ),
    Check(
        id="auth.E002",
        title="no two living users share an address, whatever its case",
        query="""
            SELECT lower(email) AS email, count(*) AS users FROM auth.users
            WHERE deleted_at IS NULL AND email IS NOT NULL
            GROUP BY lower(email) HAVING count(*) > 1
        """,
        next_step="Recreate the unique index uq_users_email, after merging the users named here.",
    ),
)
