"""What only real, parallel connections can show: locks, deadlocks, lost and missing servers."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import select, text

from bedplate.integrations.blocking import BlockingLeaf
from bedplate.kernel.database import Database
from bedplate.kernel.errors import (
    ConnectionLost,
    DatabaseError,
    DatabaseUnreachable,
    Deadlock,
    HandleClosed,
    LockTimeout,
    PoolTimeout,
    SerializationFailure,
    StatementTimeout,
)
from bedplate.kernel.fields import assign
from bedplate.kernel.pool import AsyncLeaf
from bedplate.project import database
from tests.kernel.builders import new_product, products
from tests.kernel.together import Meeting, together
from tests.shop import Product
from tests.world import World

SERIALIZABLE = text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
PID = text("SELECT pg_backend_pid()")


def another_db(world: World, url: str | None = None, **limits: Any) -> Database:
    """A Database on the world's clone with other limits; it is not open yet."""
    leaf = AsyncLeaf if world.mode == "async" else BlockingLeaf
    settings = replace(world.project.settings, **limits)
    return database(settings, world.project.registry, url or world.clone.url, leaf)


def terminate(world: World, pid: int) -> None:
    """End a server process, as an operator or a crash would."""
    with closing(psycopg.connect(world.clone.url, autocommit=True)) as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])


def test_a_lock_that_is_not_granted_in_time_is_a_lock_timeout(world: World) -> None:
    impatient = another_db(world, lock_timeout_ms=50)

    async def body(db: Database) -> None:
        product = await new_product(db)
        await impatient.open()
        async with db.transaction() as tx:
            await products.update(tx, product.id, assign(Product.title, "held"))
            with pytest.raises(LockTimeout, match="find the transaction that holds the lock"):
                await products.update(impatient, product.id, assign(Product.title, "x"))
        assert (await products.update(impatient, product.id, assign(Product.title, "y"))).title
        await impatient.close()

    world.run(body(world.db))


def test_a_statement_that_runs_too_long_is_a_statement_timeout(world: World) -> None:
    hasty = another_db(world, statement_timeout_ms=1_000)

    async def body() -> None:
        await hasty.open()
        with pytest.raises(StatementTimeout, match="statement_timeout_ms"):
            await hasty.run(text("SELECT pg_sleep(25)"))
        assert await products.count(hasty) == 0
        await hasty.close()

    world.run(body())


def test_two_that_wait_for_one_another_are_a_deadlock_for_one(world: World) -> None:
    both = Meeting(world, 2)

    async def body(db: Database, first: Product, second: Product) -> str:
        async with db.transaction() as tx:
            await products.update(tx, first.id, assign(Product.title, "mine"))
            await both.join()
            await products.update(tx, second.id, assign(Product.title, "mine"))
        return "done"

    one, other = (world.run(new_product(world.db, sku)) for sku in ("A", "B"))
    outcomes = together(world, [body(world.db, one, other), body(world.db, other, one)])
    (loser,) = (each for each in outcomes if each != "done")
    assert isinstance(loser, Deadlock)
    assert "db.retry()" in str(loser)


def test_transactions_that_cannot_be_ordered_are_a_serialization_failure(world: World) -> None:
    both = Meeting(world, 2)

    async def body(db: Database, sku: str) -> str:
        async with db.transaction() as tx:
            await tx.run(SERIALIZABLE)
            count = await products.count(tx)
            await both.join()
            await new_product(tx, sku, title=str(count))
        return "done"

    outcomes = together(world, [body(world.db, "A"), body(world.db, "B")])
    assert sum(outcome == "done" for outcome in outcomes) == 1
    assert sum(isinstance(outcome, SerializationFailure) for outcome in outcomes) == 1


def test_a_pool_whose_connections_are_all_busy_is_a_pool_timeout(world: World) -> None:
    narrow = another_db(world, pool_size_max=1)

    async def body() -> None:
        await narrow.open()
        async with narrow.transaction() as tx:
            await products.count(tx)
            # Only now: on a busy machine the first connection itself may take longer.
            cast("Any", narrow.leaf)._pool.timeout = 0.05
            with pytest.raises(PoolTimeout, match="pool_size_max"):
                await products.count(narrow)
            with pytest.raises(PoolTimeout):
                async with narrow.read() as reader:
                    await products.count(reader)
        assert await products.count(narrow) == 0
        await narrow.close()

    world.run(body())


def test_a_connection_that_is_cut_in_a_transaction_loses_it_and_the_pool_recovers(
    world: World,
) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            terminate(world, (await tx.one(PID))[0])
            await new_product(tx, "B")

    with pytest.raises(ConnectionLost, match="idempotency key"):
        world.run(body(world.db))
    for _ in range(12):
        assert world.run(products.count(world.db)) == 0


def test_a_connection_that_is_cut_before_the_commit_is_no_success(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            terminate(world, (await tx.one(PID))[0])

    with pytest.raises(ConnectionLost):
        world.run(body(world.db))
    assert world.run(products.count(world.db)) == 0


def test_a_caller_who_swallows_the_loss_is_told_again_at_the_end(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await new_product(tx, "A")
            terminate(world, (await tx.one(PID))[0])
            with pytest.raises(ConnectionLost):
                await products.count(tx)

    with pytest.raises(ConnectionLost):
        world.run(body(world.db))


def test_idle_connections_that_were_cut_cost_at_most_one_failure_each(world: World) -> None:
    async def pids(db: Database) -> list[int]:
        async with db.read() as one, db.read() as two:
            return [(await handle.one(PID))[0] for handle in (one, two)]

    cut = world.run(pids(world.db))
    for pid in cut:
        terminate(world, pid)
    failures = 0
    for _ in range(20):
        try:
            assert world.run(products.count(world.db)) == 0
        except ConnectionLost:
            failures += 1
    assert failures <= len(cut)
    assert world.run(products.count(world.db)) == 0


def test_a_failing_stream_and_a_failing_copy_give_their_connection_back(world: World) -> None:
    narrow = another_db(world, pool_size_max=1, pool_wait_timeout_ms=30_000)

    async def body() -> None:
        await narrow.open()
        await new_product(narrow)
        fields = (Product.sku, Product.title, Product.price)
        for _ in range(3):
            with pytest.raises(DatabaseError):
                async for _row in narrow.stream(select(1 / (Product.version - 1))):
                    pass
            with pytest.raises(DatabaseError):
                await products.load(narrow, fields, [("A-1", "T", 1)])
        assert await products.count(narrow) == 1
        await narrow.close()

    world.run(body())


def test_a_stream_that_is_left_early_gives_its_connection_back(world: World) -> None:
    narrow = another_db(world, pool_size_max=1, pool_wait_timeout_ms=30_000)

    async def body() -> None:
        await narrow.open()
        rows = [(f"S{n}", "T", 1) for n in range(2_500)]
        await products.load(narrow, (Product.sku, Product.title, Product.price), rows)
        async for _row in products.stream(narrow):
            break
        assert await products.count(narrow) == 2_500
        await narrow.close()

    world.run(body())


def test_a_server_that_is_not_there_is_unreachable(world: World) -> None:
    nowhere = another_db(world, "postgresql://ada@127.0.0.1:1/none", connect_timeout_ms=2_000)
    with pytest.raises(DatabaseUnreachable, match="DATABASE_URL"):
        world.run(nowhere.open())


def test_a_database_that_is_not_open_says_so(world: World) -> None:
    closed = another_db(world)
    with pytest.raises(HandleClosed, match="not open"):
        world.run(products.count(closed))
    world.run(closed.open())
    assert world.run(products.count(closed)) == 0
    world.run(closed.close())
    with pytest.raises(HandleClosed):
        world.run(products.count(closed))
