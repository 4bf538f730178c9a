"""create_user: what it takes, what it refuses, and that a refusal leaves nothing behind."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bedplate import Database, Event, Subscription, Transaction, assign, errors
from bedplate.kernel import ids
from bedplate.kernel.events import Subscriptions
from bedplate.modules.auth import (
    ClerkIdTaken,
    CredentialMissing,
    EmailInvalid,
    EmailTaken,
    Role,
    User,
    UserCreated,
    create_user,
    get_user_with_data,
    user_preferences,
    users,
)
from bedplate.testing import Clone
from tests.kernel.together import together
from tests.world import World

AT_ONCE = 20


class Oops(Exception):
    """What a caller's own code raises."""


async def registered(db: Database, **fields: Any) -> User:
    async with db.transaction() as tx:
        return await create_user(tx, User(**fields))


async def stored(db: Database) -> tuple[int, int]:
    return await users.with_deleted().count(db), await user_preferences.count(db)


def test_blanks_go_and_the_case_stays(world: World) -> None:
    async def body(db: Database) -> None:
        user = await registered(db, email=" \tAda.Lovelace@Example.com\n", name="Ada")
        assert user.email == "Ada.Lovelace@Example.com"
        assert (user.name, user.role, user.is_active) == ("Ada", Role.STUDENT, True)
        for written in ("ada.lovelace@example.com", " ADA.LOVELACE@EXAMPLE.COM "):
            found = await users.by_email(db, written)
            assert found is not None
            assert found.id == user.id
        assert await users.by_email(db, "grace@example.com") is None

    world.run(body(world.db))


@pytest.mark.parametrize(
    "email",
    [
        "",
        "   ",
        "ada",
        "@example.com",
        "ada@",
        "@",
        "ada lovelace@example.com",
        "ada@example.com\nbcc: all@example.com",
        "ada\u00a0@example.com",
        "ada\x00@example.com",
        "ada@" + "x" * 251,
    ],
)
def test_what_is_no_address_is_refused_and_not_quoted(world: World, email: str) -> None:
    async def body(db: Database) -> None:
        with pytest.raises(EmailInvalid) as refused:
            await registered(db, email=email)
        assert str(refused.value) == (
            "The e-mail address is not one. Pass an address such as ada@example.com."
        )
        assert await stored(db) == (0, 0)

    world.run(body(world.db))


@pytest.mark.parametrize(
    "email",
    [
        "a@b",
        "ada+tag@example.com",
        "Ünïcode@exämple.com",
        '"a@b"@example.com',
        "a" * 242 + "@example.com",
    ],
)
def test_what_may_be_an_address_is_taken(world: World, email: str) -> None:
    async def body(db: Database) -> None:
        assert (await registered(db, email=email)).email == email

    world.run(body(world.db))


def test_a_value_of_another_type_is_refused_by_its_field(world: World) -> None:
    with pytest.raises(errors.FieldInvalid, match=r"email takes str, not int"):
        world.run(registered(world.db, email=5))


def test_a_user_needs_an_address_or_a_clerk_id(world: World) -> None:
    async def body(db: Database) -> None:
        with pytest.raises(CredentialMissing, match="email=, clerk_id=, or both"):
            await registered(db, name="Nobody")
        assert await stored(db) == (0, 0)
        by_clerk = await registered(db, clerk_id="user_1")
        assert by_clerk.email is None
        assert by_clerk.password_hash is None
        both = await registered(db, email="ada@example.com", clerk_id="user_2")
        found = await users.by_clerk_id(db, "user_2")
        assert found is not None
        assert found.id == both.id
        await registered(db, clerk_id="user_3")
        assert await stored(db) == (3, 3)

    world.run(body(world.db))


def test_a_taken_address_is_refused_whatever_its_case_and_the_transaction_goes_on(
    world: World,
) -> None:
    async def body(db: Database) -> None:
        await registered(db, email="ada@example.com")
        async with db.transaction() as tx:
            with pytest.raises(EmailTaken) as taken:
                await create_user(tx, User(email="ADA@Example.com"))
            assert "example" not in str(taken.value).lower()
            assert taken.value.__cause__ is None
            await create_user(tx, User(email="grace@example.com"))
        assert await stored(db) == (2, 2)

    world.run(body(world.db))


def test_a_taken_clerk_id_is_refused(world: World) -> None:
    async def body(db: Database) -> None:
        await registered(db, clerk_id="user_1")
        with pytest.raises(ClerkIdTaken):
            await registered(db, email="ada@example.com", clerk_id="user_1")
        assert await stored(db) == (1, 1)

    world.run(body(world.db))


def test_another_unique_rule_is_told_as_what_it_is(world: World) -> None:
    async def body(db: Database) -> None:
        await registered(db, email="ada@example.com", legacy_id="c1")
        with pytest.raises(errors.UniqueViolation) as refused:
            await registered(db, email="grace@example.com", legacy_id="c1")
        assert refused.value.constraint == "uq_users_legacy_id"

    world.run(body(world.db))


def test_a_deleted_user_frees_its_address_but_not_its_clerk_id(world: World) -> None:
    async def body(db: Database) -> None:
        first = await registered(db, email="ada@example.com", clerk_id="user_1")
        await users.delete(db, first.id)
        assert await users.by_email(db, "ada@example.com") is None
        assert await users.by_clerk_id(db, "user_1") is None
        with pytest.raises(ClerkIdTaken):
            await registered(db, clerk_id="user_1")
        second = await registered(db, email="Ada@example.com")
        assert second.id != first.id
        with pytest.raises(errors.UniqueViolation) as taken:
            await users.restore(db, first.id)
        assert taken.value.constraint == "uq_users_email"
        await users.delete(db, second.id)
        assert (await users.restore(db, first.id)).clerk_id == "user_1"

    world.run(body(world.db))


def test_a_change_of_address_meets_the_same_rule(world: World) -> None:
    async def body(db: Database) -> None:
        await registered(db, email="ada@example.com")
        grace = await registered(db, email="grace@example.com")
        with pytest.raises(errors.UniqueViolation):
            await users.update(db, grace.id, assign(User.email, "Ada@Example.com"))
        with pytest.raises(errors.CheckViolation) as refused:
            await users.update(db, grace.id, assign(User.email, " grace@example.com"))
        assert refused.value.constraint == "ck_users_email_shape"
        # Its own address in another case is no clash with itself.
        await users.update(db, grace.id, assign(User.email, "Grace@example.com"))

    world.run(body(world.db))


def test_the_preferences_come_and_go_with_the_user(world: World) -> None:
    async def body(db: Database) -> None:
        user = await registered(db, email="ada@example.com")
        (preferences,) = await user_preferences.list(db)
        assert preferences.user_id == user.id
        with pytest.raises(Oops):  # noqa: PT012
            async with db.transaction() as tx:
                await create_user(tx, User(email="grace@example.com"))
                assert await user_preferences.count(tx) == 2
                raise Oops
        assert await stored(db) == (1, 1)
        with pytest.raises(errors.UniqueViolation):
            await user_preferences.create(db, type(preferences)(user_id=user.id))
        await users.delete(db, user.id, hard=True)
        assert await stored(db) == (0, 0)

    world.run(body(world.db))


def test_a_user_and_its_preferences_come_in_one_round_trip(world: World) -> None:
    async def body(db: Database) -> None:
        user = await registered(db, email="ada@example.com")
        before = db.leaf.round_trips
        found = await get_user_with_data(db, user.id)
        assert db.leaf.round_trips - before == 1
        assert found.preferences is not None
        assert found.preferences.user_id == found.id == user.id
        with pytest.raises(errors.NotFound):
            await get_user_with_data(db, ids.new())
        with pytest.raises(errors.RelationNotLoaded):
            _ = (await users.get(db, user.id)).preferences
        bare = await users.create(db, User(email="bare@example.com"))
        assert (await get_user_with_data(db, bare.id)).preferences is None

    world.run(body(world.db))


def test_who_hears_of_a_user_is_told_inside_the_transaction(world: World) -> None:
    heard: list[UserCreated] = []

    async def hear(tx: Transaction, event: Event) -> None:
        assert isinstance(event, UserCreated)
        found = await get_user_with_data(tx, event.user_id)
        assert found.preferences is not None
        heard.append(event)
        if event.clerk_id == "user_2":
            raise Oops

    async def body(db: Database) -> None:
        db.subscriptions = Subscriptions([Subscription(UserCreated, hear)])
        user = await registered(db, email="ada@example.com")
        assert heard == [UserCreated(user_id=user.id, clerk_id=None)]
        with pytest.raises(Oops):
            await registered(db, clerk_id="user_2")
        assert len(heard) == 2
        assert await stored(db) == (1, 1)

    world.run(body(world.db))


def test_of_many_who_register_one_address_at_once_one_wins(wide_world: World) -> None:
    db = wide_world.db
    arrived: set[int] = set()

    async def register(number: int) -> User:
        letters = "ada.lovelace@example.com"
        cased = "".join(
            letter.upper() if number >> (place % 5) & 1 else letter
            for place, letter in enumerate(letters)
        )
        async with db.transaction() as tx:
            arrived.add((await tx.connection()).info.backend_pid)
            while len(arrived) < AT_ONCE:
                await db.leaf.sleep(0.005)
            return await create_user(tx, User(email=cased, name=str(number)))

    outcomes = together(wide_world, [register(number) for number in range(AT_ONCE)])
    assert len(arrived) == AT_ONCE
    winners = [each for each in outcomes if isinstance(each, User)]
    losers = [each for each in outcomes if isinstance(each, EmailTaken)]
    assert (len(winners), len(losers)) == (1, AT_ONCE - 1)
    assert wide_world.run(stored(db)) == (1, 1)
    assert wide_world.run(registered(db, email="grace@example.com")).email == "grace@example.com"


RAW = "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), {})"


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        (RAW.format("' ada@example.com'"), "ck_users_email_shape"),
        (RAW.format("'ada@example.com '"), "ck_users_email_shape"),
        (RAW.format("'ada'"), "ck_users_email_shape"),
        (RAW.format("'@example.com'"), "ck_users_email_shape"),
        (RAW.format("''"), "ck_users_email_shape"),
        (RAW.format("'TAKEN@example.com'"), "uq_users_email"),
        (
            "UPDATE auth.users SET email = 'Taken@example.com' WHERE clerk_id = 'user_2'",
            "uq_users_email",
        ),
        (
            "UPDATE auth.users SET clerk_id = 'user_2' WHERE clerk_id = 'user_1'",
            "uq_users_clerk_id",
        ),
        ("UPDATE auth.users SET legacy_id = 'same'", "uq_users_legacy_id"),
        ("UPDATE auth.users SET failed_login_count = -1", "ck_users_failed_login_count"),
        (
            "INSERT INTO auth.user_preferences (id, user_id)"
            " SELECT gen_random_uuid(), id FROM auth.users WHERE clerk_id = 'user_1'",
            "uq_user_preferences_user_id",
        ),
        (
            "INSERT INTO auth.user_preferences (id, user_id)"
            " VALUES (gen_random_uuid(), gen_random_uuid())",
            "fk_user_preferences_user_id_users",
        ),
    ],
)
def test_raw_sql_of_the_app_s_role_cannot_break_a_rule(
    bedplate_clone: Clone, statement: str, rule: str
) -> None:
    """The rules stand in the database; whoever writes past the verbs meets them too."""
    with psycopg.connect(bedplate_clone.url, autocommit=True) as app:
        app.execute(
            "INSERT INTO auth.users (id, email, clerk_id) VALUES"
            " (gen_random_uuid(), 'taken@example.com', 'user_1'),"
            " (gen_random_uuid(), 'other@example.com', 'user_2');"
            "INSERT INTO auth.user_preferences (id, user_id)"
            " SELECT gen_random_uuid(), id FROM auth.users"
        )
        with pytest.raises(psycopg.errors.IntegrityError) as refused:
            app.execute(statement.encode())
        assert refused.value.diag.constraint_name == rule


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE auth.users DROP CONSTRAINT ck_users_email_shape",
        "DROP INDEX auth.uq_users_email",
        "TRUNCATE auth.users CASCADE",
        "ALTER TABLE auth.users DISABLE ROW LEVEL SECURITY",
        "UPDATE auth.schema_version SET version_num = '9999'",
    ],
)
def test_the_app_s_role_cannot_take_a_rule_away(bedplate_clone: Clone, statement: str) -> None:
    with (
        psycopg.connect(bedplate_clone.url) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute(statement.encode())
