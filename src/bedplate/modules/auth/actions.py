"""The verbs of `auth` that write."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.dialects.postgresql import insert

from bedplate.kernel import ids
from bedplate.kernel.context import UserId
from bedplate.kernel.errors import UniqueViolation
from bedplate.kernel.handle import Handle
from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth import rules
from bedplate.modules.auth.errors import ClerkIdTaken, EmailTaken
from bedplate.modules.auth.events import UserCreated
from bedplate.modules.auth.models import User, UserPreferences
from bedplate.modules.auth.repositories import WITHOUT_PREFERENCES, user_preferences, users

BACKFILL_ROWS = 1_000
"""How many users one statement of the backfill serves."""


async def create_user(tx: Transaction, user: User) -> User:
    """Create a user with its preferences; whatever else a user needs is made by who hears of it.

    Give `email`, `clerk_id` or both. Raises EmailInvalid, CredentialMissing, EmailTaken or
    ClerkIdTaken; nothing is written then, and the transaction can go on (plan D, createUser).
    """
    rules.require_findable(user.email, user.clerk_id)
    if isinstance(user.email, str):
        user.email = rules.clean_email(user.email)
    try:
        async with tx.savepoint():
            created = await users.create(tx, user)
    except UniqueViolation as taken:
        raise _taken(taken) from None
    await user_preferences.create(tx, UserPreferences(user_id=created.id))
    await tx.emit(UserCreated(user_id=created.id, clerk_id=user.clerk_id))
    return created


async def get_user_with_data(db: Handle, user_id: UserId) -> User:
    """Return a user with its preferences, in one statement; raises NotFound (plan D)."""
    return await users.get(db, user_id, include=(User.preferences,))


@dataclass(frozen=True, slots=True)
class Backfilled:
    """How many users got the preferences they lacked."""

    rows: int


async def backfill_preferences(tx: Transaction) -> Backfilled:
    """Give preferences to every user that has none; run twice it changes nothing (plan D)."""
    total = 0
    while lacking := await tx.all(WITHOUT_PREFERENCES, limit=BACKFILL_ROWS):
        rows = [
            {"id": new_id, "user_id": user_id}
            for new_id, user_id in zip(ids.many(len(lacking)), lacking, strict=True)
        ]
        # Another backfill may run at the same time: whoever comes second finds the row there.
        total += await tx.run(insert(UserPreferences).values(rows).on_conflict_do_nothing())
    return Backfilled(total)


def _taken(violation: UniqueViolation) -> Exception:
    if violation.constraint == "uq_users_email":
        return EmailTaken("A user already has this e-mail address.")
    if violation.constraint == "uq_users_clerk_id":
        return ClerkIdTaken("A user already has this Clerk id.")
    return violation
