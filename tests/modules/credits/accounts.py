"""Accounts for tests of credits, what lies in their tables, and whether the laws hold."""

from __future__ import annotations

import itertools
from uuid import UUID

from bedplate import Database
from bedplate.kernel.database import Writer
from bedplate.modules.auth import User, users
from bedplate.modules.credits import OperationType, open_account
from bedplate.operations import checks
from bedplate.testing import Clone
from tests.asking import ask, waiting
from tests.world import World

WAIT_S = 60.0

CHAT = OperationType.AI_TEXT_CHAT
IMAGE = OperationType.AI_IMAGE_GENERATION

LEDGER = (
    "credits.credit_balances",
    "credits.credit_grants",
    "credits.usage_history",
    "credits.usage_allocations",
    "credits.credit_expirations",
    "credits.credit_holds",
    "credits.hold_allocations",
    "credits.audit_logs",
    "bedplate.idempotency_keys",
)

_numbers = itertools.count(1)


async def new_user(db: Writer) -> UUID:
    """A user without an account: stored by the repository, which tells nobody."""
    email = f"user-{next(_numbers)}@example.com"
    return (await users.create(db, User(email=email))).id


async def new_account(db: Writer, credits: int = 1_000) -> UUID:
    """A user with an account of so many credits."""
    user_id = await new_user(db)
    await open_account(db, user_id, credits=credits)
    return user_id


def counted(clone: Clone) -> dict[str, int]:
    """How many rows each table of the ledger has: what a refused request must leave as it was."""
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in LEDGER)
    (row,) = ask(clone, f"SELECT {counts}")
    return dict(zip(LEDGER, row, strict=True))


def stored(clone: Clone, user_id: UUID) -> tuple[int, int]:
    """The account's balance, and how much of it is held."""
    (row,) = ask(
        clone,
        "SELECT credits_remaining, credits_held FROM credits.credit_balances WHERE user_id = %s",
        user_id,
    )
    return row[0], row[1]


def broken(clone: Clone, world: World) -> dict[str, tuple[dict[str, str | None], ...]]:
    """The laws of credits that do not hold, with the rows that break them."""
    outcomes = checks.run(world.project.registry, clone.url)
    ours = [each for each in outcomes if each.id.startswith("credits.")]
    assert ours
    assert [each for each in ours if each.problem is not None] == []
    return {each.id: each.rows for each in ours if not each.ok}


def assert_lawful(world: World) -> None:
    assert broken(world.clone, world) == {}


async def until_somebody_waits(db: Database, clone: Clone, many: int = 1) -> None:
    """Return once so many sessions of this database wait for a lock."""
    for _ in range(int(WAIT_S / 0.01)):
        if waiting(clone) >= many:
            return
        await db.leaf.sleep(0.01)
    raise AssertionError("nobody waits for a lock")
