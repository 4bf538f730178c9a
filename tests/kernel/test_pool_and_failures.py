"""What waits too long, breaks or is not there: a typed error, and a pool that recovers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import String, bindparam, column, text

from bedplate import Query, Transaction, assign, errors
from bedplate.integrations.blocking import BlockingLeaf
from bedplate.kernel.database import Database
from bedplate.kernel.pool import AsyncLeaf
from bedplate.modules.auth import User, create_user, users
from bedplate.project import database
from bedplate.testing import Server
from tests.kernel.builders import a_product, new_product, products
from tests.kernel.together import together
from tests.shop import Product
from tests.world import World

REPEATABLE_READ = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
SETTING: Query[str] = Query(
    text("SELECT current_setting(:name)")
    .bindparams(bindparam("name", type_=String))
    .columns(column("value", String))
)


class Oops(Exception):
    """What a caller's own code raises."""


@contextmanager
def limited(world: World, url: str | None = None, **settings: Any) -> Iterator[Database]:
    """Another Database on the world's clone, with limits of its own."""
    project = world.project
    leaf = AsyncLeaf if world.mode == "async" else BlockingLeaf
    limits = replace(project.settings, **settings)
    db = database(limits, project.registry, url or world.clone.url, leaf)
    yield db
    world.run(db.close())


async def add_ones(tx: Transaction, ids: list[Any]) -> None:
    for key in ids:
        price = (await products.get(tx, key)).price
        await products.update(tx, key, assign(Product.price, price + 1))


def all_came_back(db: Database) -> bool:
    pool = db.leaf.statistics()
    return pool["pool_available"] == pool["pool_size"]


def test_the_limits_of_the_settings_are_the_sessions(world: World) -> None:
    async def body(db: Database) -> None:
        await db.open()
        for name, value in {
            "statement_timeout": "1234ms",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "3s",
            "TimeZone": "UTC",
            "application_name": "bedplate",
        }.items():
            assert await db.one(SETTING, name=name) == value

    with limited(
        world,
        statement_timeout_ms=1_234,
        lock_timeout_ms=2_000,
        idle_in_transaction_timeout_ms=3_000,
    ) as db:
        world.run(body(db))


def test_a_lock_that_is_not_granted_in_time_is_told(world: World) -> None:
    other = world.other_db()

    async def body(db: Database) -> None:
        await db.open()
        product = await new_product(other)
        async with other.transaction() as holder:
            await products.update(holder, product.id, assign(Product.title, "held"))
            with pytest.raises(errors.LockTimeout, match="holds the lock") as told:
                await products.update(db, product.id, assign(Product.title, "mine"))
            assert told.value.sqlstate == "55P03"
        assert (await products.update(db, product.id, assign(Product.title, "mine"))).version == 3

    with limited(world, lock_timeout_ms=100) as db:
        world.run(body(db))


def test_a_statement_that_runs_too_long_is_ended(world: World) -> None:
    async def body(db: Database) -> None:
        await db.open()
        with pytest.raises(errors.StatementTimeout, match="statement_timeout_ms"):
            await db.run(text("SELECT pg_sleep(60)"))
        async with db.transaction() as tx:
            await new_product(tx)
            with pytest.raises(errors.StatementTimeout):
                async with tx.savepoint():
                    await tx.run(text("SELECT pg_sleep(60)"))
        assert await products.count(db) == 1
        assert all_came_back(db)

    with limited(world, statement_timeout_ms=100) as db:
        world.run(body(db))


def test_a_transaction_that_idles_too_long_loses_its_connection(world: World) -> None:
    async def body(db: Database) -> None:
        await db.open()
        with pytest.raises(errors.ConnectionLost):  # noqa: PT012
            async with db.transaction() as tx:
                await new_product(tx)
                await db.leaf.sleep(0.5)
                await products.count(tx)
        assert await products.count(db) == 0

    with limited(world, idle_in_transaction_timeout_ms=100) as db:
        world.run(body(db))


def test_who_waits_too_long_for_a_connection_is_told(world: World) -> None:
    async def body(db: Database) -> None:
        with pytest.raises(errors.HandleClosed, match="not open"):
            await products.count(db)
        await db.open()
        async with db.read() as reader:
            await products.count(reader)
            for use in (products.count(db), new_product(db)):
                with pytest.raises(errors.PoolTimeout, match="pool_size_max"):
                    await use
            with pytest.raises(errors.PoolTimeout):
                async with db.transaction() as tx:
                    await new_product(tx)
            assert await products.count(reader) == 0
        await new_product(db)
        assert db.statistics()["requests_errors"] == 3

    with limited(world, pool_size_max=1, pool_wait_timeout_ms=100) as db:
        world.run(body(db))


def test_a_circle_of_locks_is_broken_and_retry_does_both(world: World) -> None:
    first, second = (world.run(new_product(world.db, sku)).id for sku in "AB")
    arrived: set[str] = set()

    def crossing(db: Database, name: str, keys: list[Any]) -> Any:
        async def work(tx: Transaction) -> None:
            await add_ones(tx, keys[:1])
            arrived.add(name)
            while len(arrived) < 2:
                await db.leaf.sleep(0.005)
            await add_ones(tx, keys[1:])

        return work

    def both(retried: bool) -> list[Any]:
        arrived.clear()
        bodies = []
        for db, name, keys in (
            (world.db, "one", [first, second]),
            (world.other_db(), "other", [second, first]),
        ):
            work = crossing(db, name, keys)
            bodies.append(db.retry(work) if retried else once(db, work))
        return together(world, bodies)

    async def once(db: Database, work: Any) -> None:
        async with db.transaction() as tx:
            await work(tx)

    outcomes = both(retried=False)
    (deadlock,) = [each for each in outcomes if each is not None]
    assert type(deadlock) is errors.Deadlock
    assert deadlock.sqlstate == "40P01"
    assert both(retried=True) == [None, None]
    for key in (first, second):
        # One of two, then both of two, on 9.99.
        assert str(world.run(products.get(world.db, key)).price) == "12.99"


def test_transactions_that_cannot_be_ordered_are_told_and_retried(world: World) -> None:
    other = world.other_db()
    tries: list[int] = []

    async def body(db: Database) -> None:
        product = await new_product(db)

        async def work(tx: Transaction) -> str:
            tries.append(len(tries))
            await tx.run(REPEATABLE_READ)
            await products.get(tx, product.id)
            if len(tries) < 3:
                await products.update(other, product.id, assign(Product.title, "theirs"))
            return (await products.update(tx, product.id, assign(Product.title, "ours"))).title

        assert await db.retry(work) == "ours"
        assert len(tries) == 3
        tries.clear()
        with pytest.raises(errors.SerializationFailure, match=r"db\.retry\(\)") as told:
            await db.retry(work, attempts=2)
        assert told.value.sqlstate == "40001"
        assert len(tries) == 2

    world.run(body(world.db))


@pytest.mark.parametrize("failure", [Oops, errors.ConnectionLost, errors.UniqueViolation])
def test_what_is_not_known_to_be_safe_is_not_run_again(
    world: World, failure: type[Exception]
) -> None:
    tries: list[int] = []

    async def work(tx: Transaction) -> None:
        tries.append(1)
        await new_product(tx)
        raise failure("No.")

    with pytest.raises(failure):
        world.run(world.db.retry(work))
    assert tries == [1]
    with pytest.raises(errors.UsageError, match="attempts >= 1"):
        world.run(world.db.retry(work, attempts=0))
    assert world.run(products.count(world.db)) == 0


def kill(server: Server, *pids: int) -> None:
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        for pid in pids:
            # With a timeout it waits until the backend is really gone.
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


async def pid_of(handle: Any) -> int:
    pid: int = (await handle.one(text("SELECT pg_backend_pid()")))[0]
    return pid


def test_a_transaction_whose_connection_is_cut_is_lost_and_the_pool_recovers(
    world: World, bedplate_server: Server
) -> None:
    told: list[str] = []

    async def cut_before_a_statement(db: Database) -> None:
        async with db.transaction() as tx:
            tx.after_commit(lambda: told.append("committed"))
            await new_product(tx, "A")
            kill(bedplate_server, await pid_of(tx))
            await new_product(tx, "B")

    async def cut_before_the_commit(db: Database) -> None:
        async with db.transaction() as tx:
            tx.after_commit(lambda: told.append("committed"))
            await new_product(tx, "A")
            kill(bedplate_server, await pid_of(tx))

    async def cut_and_failed(db: Database) -> None:
        async with db.transaction() as tx:
            kill(bedplate_server, await pid_of(tx))
            raise Oops

    async def cut_in_a_savepoint(db: Database) -> None:
        async with db.transaction() as tx, tx.savepoint():
            kill(bedplate_server, await pid_of(tx))
            await new_product(tx, "A")

    for work, kind in (
        (cut_before_a_statement, errors.ConnectionLost),
        (cut_before_the_commit, errors.ConnectionLost),
        (cut_and_failed, Oops),
        (cut_in_a_savepoint, errors.ConnectionLost),
    ):
        with pytest.raises(kind) as lost:
            world.run(work(world.db))
        assert type(lost.value) is kind
        assert world.run(products.count(world.db)) == 0
    assert told == []
    world.run(new_product(world.db))


def test_connections_cut_while_they_idle_cost_one_error_each_at_most(
    world: World, bedplate_server: Server
) -> None:
    async def body(db: Database) -> None:
        await db.open()
        async with db.read() as one, db.read() as two:
            pids = [await pid_of(one), await pid_of(two)]
        kill(bedplate_server, *pids)
        failures = 0
        for _ in range(20):
            try:
                assert await products.count(db) == 0
            except errors.ConnectionLost:
                failures += 1
        assert 1 <= failures <= 2
        assert await products.count(db) == 0

    with limited(world, pool_size_max=2) as db:
        world.run(body(db))


def test_a_cancelled_verb_gives_its_connection_back(world: World) -> None:
    if world.mode == "sync":
        pytest.skip("there are no tasks without an event loop")

    async def body(db: Database) -> None:
        await db.open()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(db.run(text("SELECT pg_sleep(60)")), 0.1)
        assert await products.count(db) == 0

    with limited(world, pool_size_max=1, pool_wait_timeout_ms=2_000) as db:
        world.run(body(db))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"password": "wrong-secret"}, errors.AuthenticationFailed),
        ({"user": "nobody_of_that_name", "password": "wrong-secret"}, errors.AuthenticationFailed),
        ({"dbname": "no_such_database"}, errors.AuthenticationFailed),
        ({"host": "127.0.0.1", "port": "1"}, errors.DatabaseUnreachable),
        ({"host": "nowhere.invalid"}, errors.DatabaseUnreachable),
    ],
)
def test_a_database_that_does_not_let_us_in_is_told_at_once(
    world: World, change: dict[str, str], kind: type[errors.BedplateError]
) -> None:
    with limited(world, make_conninfo(world.clone.url, **change)) as db:
        with pytest.raises(kind) as told:
            world.run(db.open())
        assert type(told.value) is kind
        assert "DATABASE_URL" in str(told.value)
        assert "wrong-secret" not in repr(told.value) + str(told.value)
        with pytest.raises(errors.HandleClosed):
            world.run(products.count(db))


def test_a_closed_database_says_so(world: World) -> None:
    async def use(db: Database) -> None:
        async with db.transaction() as tx:
            await new_product(tx)

    db = world.other_db()
    world.run(products.count(db))
    world.run(db.close())
    for work in (products.count(db), use(db), new_product(db)):
        with pytest.raises(errors.HandleClosed, match="Open the project again"):
            world.run(work)
    world.run(db.close())


def test_every_failure_gives_its_connection_back(world: World) -> None:
    async def body(db: Database) -> None:
        await db.open()
        await new_product(db, "A")
        for _ in range(3):
            for failing in (
                new_product(db, "A"),
                products.create_many(db, [a_product("B"), a_product("A")]),
                db.run(text("SELECT 1 / 0")),
                db.one(text("SELECT FROM shop.nowhere")),
            ):
                with pytest.raises(errors.DatabaseError):
                    await failing
            async for _product in products.stream(db):
                break
        assert await products.count(db) == 1

    with limited(world, pool_size_max=1, pool_wait_timeout_ms=2_000) as db:
        world.run(body(db))


def test_text_that_utf8_does_not_have_is_refused_like_other_wrong_values(world: World) -> None:
    """JSON can bring in half of a surrogate pair; the driver fails on it in Python's codec."""
    name = json.loads(r'"secret-\ud800"')

    async def body(db: Database) -> None:
        async def in_a_transaction() -> None:
            async with db.transaction() as tx:
                await create_user(tx, User(email="ada@example.com", name=name))

        for use in (
            users.create(db, User(email="ada@example.com", name=name)),
            users.find(db, User.name == name),
            products.create_many(db, [a_product("A", title=name)]),
            users.load(db, (User.name,), [(name,)]),
            in_a_transaction(),
        ):
            with pytest.raises(errors.DataError) as refused:
                await use
            assert "secret" not in repr(refused.value)
        async with db.transaction() as tx:
            with pytest.raises(errors.DataError):
                await users.find(tx, User.name == name)
            await create_user(tx, User(email="grace@example.com"))
        assert await users.count(db) == 1
        assert all_came_back(db)

    world.run(body(world.db))
