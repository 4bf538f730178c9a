"""What breaks, is cancelled or does not let us in: a typed error, and a pool that recovers."""

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
from sqlalchemy import text

from bedplate import errors
from bedplate.integrations.blocking import BlockingLeaf
from bedplate.kernel.database import Database
from bedplate.kernel.pool import AsyncLeaf
from bedplate.modules.auth import User, create_user, users
from bedplate.project import database
from bedplate.testing import Server
from tests.kernel.builders import a_product, new_product, products
from tests.kernel.pools import whole
from tests.world import World


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


def test_a_cancelled_verb_gives_its_connection_back(world: World) -> None:
    if world.mode == "sync":
        pytest.skip("there are no tasks without an event loop")

    async def body(db: Database) -> None:
        await db.open()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(db.run(text("SELECT pg_sleep(60)")), 0.1)
        assert await products.count(db) == 0

    with limited(world, pool_size_max=1, pool_wait_timeout_ms=30_000) as db:
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

    with limited(world, pool_size_max=1, pool_wait_timeout_ms=30_000) as db:
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
        await whole(db)

    world.run(body(world.db))
