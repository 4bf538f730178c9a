"""Sample users: for a first look, for seeds and for tests."""

from __future__ import annotations

from uuid import UUID

from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth.actions import create_user
from bedplate.modules.auth.models import Role, User
from bedplate.modules.auth.repositories import users

PEOPLE = (
    ("Ada Lovelace", Role.ADMIN),
    ("Grace Hopper", Role.INSTRUCTOR),
    ("Edsger Dijkstra", Role.INSTRUCTOR),
    ("Barbara Liskov", Role.STUDENT),
    ("Donald Knuth", Role.STUDENT),
    ("Margaret Hamilton", Role.STUDENT),
    ("Tony Hoare", Role.STUDENT),
    ("Frances Allen", Role.STUDENT),
)


def sample_users() -> list[User]:
    """Return the sample users, the same ids every time, not yet stored."""
    return [
        User(
            id=UUID(int=0x0198_0000_0000_7000_8000_0000_0000_0000 + number),
            email=f"{name.split()[0].lower()}@example.com",
            name=name,
            role=role,
        )
        for number, (name, role) in enumerate(PEOPLE, start=1)
    ]


async def load(tx: Transaction) -> int:
    """Create the sample users that are not there yet; return how many were created."""
    created = 0
    for user in sample_users():
        # Deleted ones count as there: whoever deleted a sample does not want it back.
        if not await users.with_deleted().exists(tx, User.id == user.id):
            await create_user(tx, user)
            created += 1
    return created
