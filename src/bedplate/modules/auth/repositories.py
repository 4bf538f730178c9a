"""The named reads of `auth`."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select

from bedplate.kernel.handle import Handle
from bedplate.kernel.query import Query
from bedplate.kernel.repository import Repository
from bedplate.modules.auth.models import User, UserPreferences

BY_EMAIL = Query(
    select(User).where(
        func.lower(User.email) == func.lower(bindparam("email", type_=User.email.type))
    )
)
BY_CLERK_ID = Query(select(User).where(User.clerk_id == bindparam("clerk_id")))
WITHOUT_PREFERENCES = Query(
    select(User.id)
    .where(~select(UserPreferences.id).where(UserPreferences.user_id == User.id).exists())
    # In one order, so that two backfills at a time never wait for each other in a circle.
    .order_by(User.id)
    .limit(bindparam("limit"))
)


class UserRepository(Repository[User]):
    """Plain reads and writes of users, and the reads that have a name."""

    async def by_email(self, db: Handle, email: str) -> User | None:
        """Return the living user with this address, whatever its case."""
        return await db.first(BY_EMAIL, email=email.strip())

    async def by_clerk_id(self, db: Handle, clerk_id: str) -> User | None:
        """Return the living user with this Clerk id."""
        return await db.first(BY_CLERK_ID, clerk_id=clerk_id)


users = UserRepository(User)
user_preferences = Repository(UserPreferences)
