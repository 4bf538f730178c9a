"""What mends and fills: preferences for those who lack them, samples, and the laws."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text

from bedplate import Database
from bedplate.kernel import registry
from bedplate.modules.auth import (
    Backfilled,
    User,
    actions,
    backfill_preferences,
    create_user,
    samples,
    user_preferences,
    users,
)
from bedplate.operations import checks
from bedplate.testing import Clone
from tests.kernel.together import together
from tests.world import World

BARE = (
    "INSERT INTO auth.users (id, email)"
    " SELECT gen_random_uuid(), n || '@example.com' FROM generate_series(1, {}) n"
)


async def backfill(db: Database) -> Backfilled:
    async with db.transaction() as tx:
        return await backfill_preferences(tx)


def test_a_backfill_serves_everybody_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "BACKFILL_ROWS", 100)

    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            kept = await create_user(tx, User(email="ada@example.com"))
        await db.run(text(BARE.format(250)))
        gone = await users.create(db, User(email="gone@example.com"))
        await users.delete(db, gone.id)
        assert await backfill(db) == Backfilled(250)
        assert await user_preferences.count(db) == 251
        assert await backfill(db) == Backfilled(0)
        assert await user_preferences.count(db) == 251
        before = await users.get(db, kept.id, include=(User.preferences,))
        assert before.preferences is not None

    world.run(body(world.db))


def test_backfills_at_the_same_time_serve_each_user_once_and_count_no_more(world: World) -> None:
    world.run(world.db.run(text(BARE.format(3_000))))
    arrived: list[Database] = []

    async def one(db: Database) -> Backfilled:
        async with db.transaction() as tx:
            await users.count(tx)
            arrived.append(db)
            while len(arrived) < 2:
                await db.leaf.sleep(0.005)
            return await backfill_preferences(tx)

    outcomes = together(world, [one(world.db), one(world.other_db())])
    assert all(isinstance(each, Backfilled) for each in outcomes), outcomes
    assert sum(each.rows for each in outcomes) == 3_000
    assert world.run(user_preferences.count(world.db)) == 3_000


def test_a_backfill_that_is_rolled_back_leaves_nothing(world: World) -> None:
    async def body(db: Database) -> None:
        await db.run(text(BARE.format(5)))
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with db.transaction() as tx:
                assert await backfill_preferences(tx) == Backfilled(5)
                raise ZeroDivisionError
        assert await user_preferences.count(db) == 0

    world.run(body(world.db))


def test_samples_are_loaded_once_and_a_deleted_one_stays_deleted(world: World) -> None:
    async def load(db: Database) -> int:
        async with db.transaction() as tx:
            return await samples.load(tx)

    async def body(db: Database) -> None:
        people = len(samples.PEOPLE)
        assert await load(db) == people
        assert await load(db) == 0
        first = samples.sample_users()[0]
        assert first.id == samples.sample_users()[0].id
        await users.delete(db, first.id)
        assert await load(db) == 0
        assert await users.count(db) == people - 1
        assert await user_preferences.count(db) == people

    world.run(body(world.db))
    assert failed(world.clone) == {}


def failed(clone: Clone) -> dict[str, tuple[dict[str, str | None], ...]]:
    outcomes = checks.run(registry.load(["auth"]), clone.url)
    assert {"auth.E001", "auth.E002"} <= {each.id for each in outcomes}
    assert all(each.problem is None for each in outcomes)
    return {each.id: each.rows for each in outcomes if not each.ok and each.id.startswith("auth")}


def test_a_living_user_without_preferences_is_found(bedplate_clone: Clone) -> None:
    with psycopg.connect(bedplate_clone.url) as app:
        app.execute(BARE.format(2).encode())
        app.execute("UPDATE auth.users SET deleted_at = bedplate.now() WHERE email LIKE '1@%'")
        row = app.execute("SELECT id::text FROM auth.users WHERE deleted_at IS NULL").fetchone()
    assert row is not None
    assert failed(bedplate_clone) == {"auth.E001": ({"id": row[0]},)}


def test_users_who_share_an_address_are_found(bedplate_clone: Clone) -> None:
    with psycopg.connect(bedplate_clone.owner_url, autocommit=True) as owner:
        owner.execute("DROP INDEX auth.uq_users_email")
    with psycopg.connect(bedplate_clone.url) as app:
        for email, deleted_at in (
            ("ada@example.com", "NULL"),
            ("ADA@example.com", "NULL"),
            ("grace@example.com", "NULL"),
            ("Grace@example.com", "bedplate.now()"),
        ):
            app.execute(
                "INSERT INTO auth.users (id, email, deleted_at)"
                f" VALUES (gen_random_uuid(), '{email}', {deleted_at})".encode()
            )
        app.execute(
            "INSERT INTO auth.user_preferences (id, user_id)"
            " SELECT gen_random_uuid(), id FROM auth.users"
        )
    assert failed(bedplate_clone) == {"auth.E002": ({"email": "ada@example.com", "users": "2"},)}
