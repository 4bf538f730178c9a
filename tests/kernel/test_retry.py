"""db.retry(): again after what PostgreSQL itself rolled back, and after nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from bedplate.kernel import errors
from bedplate.kernel.database import Database
from bedplate.kernel.fields import assign
from bedplate.kernel.retry import ATTEMPTS
from bedplate.kernel.transaction import Transaction
from tests.kernel.builders import new_product, products
from tests.kernel.together import Meeting, together
from tests.shop import Product
from tests.world import World


def failing(times: int, make: Callable[[], Exception]) -> tuple[Any, list[int]]:
    """Work that writes, then fails so often, then succeeds; and how often it was begun."""
    begun: list[int] = []

    async def work(tx: Transaction) -> str:
        begun.append(len(begun))
        await new_product(tx, f"A-{len(begun)}")
        tx.after_commit(lambda: begun.append(100))
        if len(begun) <= times:
            raise make()
        return "done"

    return work, begun


@pytest.fixture
def waits(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted instead of waited."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(world.db.leaf, "sleep", note)
    return noted


@pytest.mark.parametrize("kind", [errors.SerializationFailure, errors.Deadlock])
def test_work_is_done_again_from_its_start(
    world: World, waits: list[float], kind: type[Exception]
) -> None:
    work, begun = failing(2, lambda: kind("Again."))
    assert world.run(world.db.retry(work)) == "done"
    # Only the last attempt is stored, and only its hook ran.
    assert begun == [0, 1, 2, 100]
    assert world.run(products.count(world.db)) == 1
    assert len(waits) == 2


@pytest.mark.parametrize(
    "kind",
    [
        errors.UniqueViolation,
        errors.ConnectionLost,
        errors.LockTimeout,
        errors.StatementTimeout,
        errors.PoolTimeout,
        errors.StaleVersion,
        errors.DatabaseError,
        ValueError,
    ],
)
def test_what_may_have_happened_or_would_happen_again_is_not_retried(
    world: World, waits: list[float], kind: type[Exception]
) -> None:
    work, begun = failing(1, lambda: kind("Once."))
    with pytest.raises(kind):
        world.run(world.db.retry(work))
    assert (begun, waits) == ([0], [])
    assert world.run(products.count(world.db)) == 0


def test_the_last_failure_is_raised_after_the_stated_attempts(
    world: World, waits: list[float]
) -> None:
    work, begun = failing(99, lambda: errors.Deadlock("Again."))
    with pytest.raises(errors.Deadlock):
        world.run(world.db.retry(work))
    assert (len(begun), len(waits)) == (ATTEMPTS, ATTEMPTS - 1)
    with pytest.raises(errors.Deadlock):
        world.run(world.db.retry(work, attempts=1))
    assert len(begun) == ATTEMPTS + 1
    with pytest.raises(errors.UsageError, match="at least once"):
        world.run(world.db.retry(work, attempts=0))


def test_waits_are_random_and_never_long(world: World, waits: list[float]) -> None:
    work, _ = failing(99, lambda: errors.Deadlock("Again."))
    with pytest.raises(errors.Deadlock):
        world.run(world.db.retry(work, attempts=20))
    assert len(set(waits)) == len(waits)
    assert 0 <= min(waits) <= max(waits) <= 1.0


def test_a_failure_that_shows_only_at_commit_is_retried_too(world: World) -> None:
    """Of two that read what the other writes, PostgreSQL may refuse one as late as at COMMIT."""
    begun: list[str] = []
    first_attempts = Meeting(world, 3)

    async def add(db: Database, name: str) -> int:
        async def work(tx: Transaction) -> int:
            is_first = name not in begun
            begun.append(name)
            await tx.run(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
            count = await products.count(tx)
            await new_product(tx, f"{name}-{len(begun)}")
            if is_first:
                await first_attempts.join()
            return count

        return await db.retry(work)

    counts = together(world, [add(world.db, name) for name in ("A", "B", "C")])
    # Each saw what the ones before it had done: as if they had run one after the other.
    assert sorted(counts) == [0, 1, 2]
    assert len(begun) > 3


def test_without_retry_the_losers_work_would_be_lost(world: World) -> None:
    three = Meeting(world, 3)

    async def add(db: Database, name: str) -> int:
        async with db.transaction() as tx:
            await tx.run(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
            count = await products.count(tx)
            await new_product(tx, name)
            await three.join()
            return count

    outcomes = together(world, [add(world.db, name) for name in ("A", "B", "C")])
    assert any(isinstance(outcome, errors.SerializationFailure) for outcome in outcomes)


def test_a_real_deadlock_is_resolved_and_both_changes_are_there(world: World) -> None:
    async def change(db: Database, first: Product, second: Product) -> None:
        async def work(tx: Transaction) -> None:
            await products.update(tx, first.id, assign(Product.is_listed, False))
            await tx.run(text("SELECT pg_sleep(0.2)"))
            await products.update(tx, second.id, assign(Product.is_listed, False))

        await db.retry(work)

    one, other = (world.run(new_product(world.db, sku)) for sku in ("A", "B"))
    assert together(world, [change(world.db, one, other), change(world.db, other, one)]) == [
        None,
        None,
    ]
    versions = world.run(products.list(world.db, select=(Product.version,)))
    assert versions == [(3,), (3,)]
