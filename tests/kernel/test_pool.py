"""The pool: its limits reach the server, its options its driver, its counters the caller."""

from __future__ import annotations

import os
from typing import Any

import pytest
from sqlalchemy import text

from bedplate.kernel import errors
from bedplate.kernel.database import Database
from bedplate.kernel.pool import PoolOptions, connection_options, pool_options, session_sql
from bedplate.kernel.settings import Settings
from tests.kernel.builders import new_product, products
from tests.kernel.test_failures import another_db
from tests.shop import Product
from tests.world import World

OPTIONS = PoolOptions(url="postgresql://x", session={"statement_timeout": "30000"})


def test_a_projects_limits_become_the_pools(tmp_path: Any) -> None:
    settings = Settings(
        folder=tmp_path,
        pool_size_max=3,
        pool_wait_timeout_ms=250,
        connect_timeout_ms=7_000,
        statement_timeout_ms=1,
        lock_timeout_ms=2,
        idle_in_transaction_timeout_ms=3,
        transaction_pooler=True,
    )
    options = PoolOptions.of(settings, "postgresql://x")
    assert (options.size_max, options.pooler) == (3, True)
    assert pool_options(options)["timeout"] == 0.25
    assert pool_options(options)["max_size"] == 3
    assert connection_options(options)["connect_timeout"] == 7
    assert dict(options.session) == {
        "statement_timeout": "1",
        "lock_timeout": "2",
        "idle_in_transaction_session_timeout": "3",
    }


def test_a_connection_is_autocommit_and_says_who_it_is() -> None:
    options = connection_options(OPTIONS)
    assert options["autocommit"] is True
    assert options["application_name"] == "bedplate"
    assert pool_options(OPTIONS)["open"] is False


def test_behind_a_pooler_only_what_it_follows_is_set() -> None:
    direct = session_sql(OPTIONS, False).split("; ")
    assert {"SET TIME ZONE 'UTC'", "SET statement_timeout = '30000'"} <= set(direct)
    assert session_sql(OPTIONS, True) == "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'"


def test_every_limit_reaches_the_server(world: World) -> None:
    limited = another_db(
        world, statement_timeout_ms=1_234, lock_timeout_ms=2_345, idle_in_transaction_timeout_ms=0
    )
    names = (
        *("TimeZone", "statement_timeout", "lock_timeout"),
        *("idle_in_transaction_session_timeout", "application_name"),
    )

    async def body() -> tuple[str, ...]:
        await limited.open()
        columns = ", ".join(f"current_setting('{name}')" for name in names)
        found: tuple[str, ...] = await limited.one(text(f"SELECT {columns}"))
        await limited.close()
        return found

    assert world.run(body()) == ("UTC", "1234ms", "2345ms", "0", "bedplate")


def test_no_more_connections_are_opened_than_the_limit(world: World) -> None:
    narrow = another_db(world, pool_size_max=2)

    async def body() -> None:
        await narrow.open()
        async with narrow.read() as one, narrow.read() as two:
            await products.count(one)
            await products.count(two)
            assert narrow.statistics()["pool_size"] == 2
        await narrow.close()

    world.run(body())


def test_statistics_count_what_was_done(world: World) -> None:
    async def body(db: Database) -> None:
        db.watch._slow_ns = 60_000_000_000  # whatever pauses the machine makes
        before = db.statistics()
        await new_product(db, "A")
        with pytest.raises(errors.UniqueViolation):
            await new_product(db, "A")
        await products.load(db, (Product.sku, Product.title, Product.price), [("B", "T", 1)])
        after = db.statistics()
        gained = {name: after[name] - before[name] for name in ("statements", "errors", "slow")}
        assert gained == {"statements": 1, "errors": 1, "slow": 0}
        assert after["round_trips"] - before["round_trips"] == 3
        assert after["time_ns"] > before["time_ns"]
        assert {"pool_size", "pool_available", "requests_waiting"} <= set(after)

    world.run(body(world.db))


def test_a_database_that_was_opened_before_a_fork_is_of_no_use_but_one_after_is(
    world: World,
) -> None:
    """A pool opens late, so a server that forks its workers opens the project in each of them."""
    if world.mode == "async":
        pytest.skip("servers that fork are synchronous")
    late = another_db(world)
    world.run(new_product(world.db))
    pid = os.fork()
    if pid == 0:
        try:
            world.run(late.open())
            os._exit(world.run(products.count(late)))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert world.run(products.count(world.db)) == 1
