"""The second wall: row-level security shows an actor its own rows, and bulk loads still work."""

from __future__ import annotations

import pytest
from sqlalchemy import Boolean, String, bindparam, column, text

from bedplate import Database, Query, assign, errors
from bedplate.kernel.model import is_guarded, table_name
from bedplate.modules.auth import User, UserPreferences, create_user, user_preferences, users
from tests.world import World

IS_GUARDED: Query[bool] = Query(
    text("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(:name)")
    .bindparams(bindparam("name", type_=String))
    .columns(column("relrowsecurity", Boolean))
)
WHO: Query[str] = Query(text("SELECT current_user::text").columns(column("who", String)))


async def two_users(db: Database) -> tuple[User, User]:
    async with db.transaction() as tx:
        return (
            await create_user(tx, User(email="own@example.com")),
            await create_user(tx, User(email="other@example.com")),
        )


def test_models_say_what_the_database_guards(world: World) -> None:
    async def body(db: Database) -> None:
        for manifest in world.project.registry.ordered:
            for model in manifest.models:
                found = await db.one(IS_GUARDED, name=table_name(model))
                assert found == is_guarded(model), model

    world.run(body(world.db))


def test_a_guarded_reader_sees_its_own_rows_and_no_others(world: World) -> None:
    async def body(db: Database) -> None:
        own, other = await two_users(db)
        async with db.read(actor=own.id, guarded=True) as reader:
            assert (await reader.one(WHO)).endswith("_guarded")
            # First that the own row is there: a wall that hides everything proves nothing.
            found = await users.get(reader, own.id, include=(User.preferences,))
            assert found.preferences is not None
            assert [user.id for user in await users.list(reader)] == [own.id]
            assert await users.find(reader, User.id == other.id) is None
            assert await user_preferences.count(reader, UserPreferences.user_id == other.id) == 0

    world.run(body(world.db))


def test_a_guarded_transaction_changes_its_own_rows_and_no_others(world: World) -> None:
    async def body(db: Database) -> None:
        own, other = await two_users(db)
        async with db.transaction(actor=own.id, guarded=True) as tx:
            assert (await users.update(tx, own.id, assign(User.name, "me"))).name == "me"
            with pytest.raises(errors.NotFound):
                await users.update(tx, other.id, assign(User.name, "me"))
        with pytest.raises(errors.PermissionDenied):
            async with db.transaction(actor=own.id, guarded=True) as tx:
                await users.create(tx, User(email="third@example.com"))
        assert (await users.get(db, other.id)).name is None

    world.run(body(world.db))


def test_without_the_guard_every_row_is_seen(world: World) -> None:
    """The guard matters: the same reads as the app's own role see both."""

    async def body(db: Database) -> None:
        own, _ = await two_users(db)
        async with db.read(actor=own.id) as reader:
            assert await users.count(reader) == 2

    world.run(body(world.db))


def test_a_guarded_table_is_loaded_whole_or_not_at_all(world: World) -> None:
    async def body(db: Database) -> None:
        rows = [(f"{number}@example.com", None) for number in range(1_500)]
        assert await users.load(db, (User.email, User.name), rows) == 1_500
        assert await users.count(db) == 1_500
        with pytest.raises(errors.FieldInvalid, match="Row 3"):
            await users.load(db, (User.email,), [("x@x.x",), ("y@x.x",), (5,)])
        with pytest.raises(errors.UniqueViolation):
            await users.load(db, (User.email,), [("z@x.x",), ("1@EXAMPLE.com",)])
        assert await users.count(db) == 1_500

    world.run(body(world.db))
