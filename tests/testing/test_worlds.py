"""One source, two worlds: with an event loop, and without."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from bedplate.kernel.database import Database
from bedplate.modules.auth import User, create_user, users
from tests.world import World


def test_both_worlds_run_the_same_source(world: World) -> None:
    async def body(db: Database) -> str | None:
        async with db.transaction() as tx:
            user = await create_user(tx, User(email="ada@example.com"))
        return (await users.get(db, user.id)).email

    assert world.run(body(world.db)) == "ada@example.com"


def test_each_test_begins_with_an_empty_database(world: World) -> None:
    assert world.run(users.count(world.db)) == 0


def test_the_clock_stops_on_every_connection(world: World) -> None:
    async def both(db: Database) -> tuple[object, ...]:
        row: tuple[object, ...] = await db.one(text("SELECT bedplate.now(), bedplate.clock()"))
        return row

    moment = world.clock.set(datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC))
    for db in (world.db, world.other_db()):
        assert world.run(both(db)) == (moment, moment)
    world.clock.advance(days=365)
    assert world.run(both(world.db))[0] == datetime(2032, 5, 5, 7, 8, 9, 123456, tzinfo=UTC)
