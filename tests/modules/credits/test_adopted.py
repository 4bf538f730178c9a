"""Accounts for the users of a host: its key's type, its table's and its columns' own names."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from bedplate import Database, Project, Settings, UserId, acting, errors
from bedplate.catalog import connect
from bedplate.kernel import registry
from bedplate.modules.credits import (
    Charge,
    Deducted,
    Held,
    NotYourAccount,
    OperationType,
    Refused,
    UnknownAccount,
    UnknownUser,
    balance_of,
    capture,
    deduct,
    deduct_many,
    get_user_with_data,
    grant,
    open_account,
    refund,
    release,
    reserve,
)
from bedplate.operations import checks
from bedplate.testing import Server
from tests.journeys.adoption import HOSTS, Adopted, adopted, catalog_of

CHAT = OperationType.AI_TEXT_CHAT
ADOPTED = HOSTS[:2]
WRONG_KEYS: dict[str, Any] = {"text": 7, "bigint": "u1"}

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=ADOPTED, ids=[host.name for host in ADOPTED])
def place(
    request: pytest.FixtureRequest, bedplate_server: Server, bedplate_settings: Settings
) -> Iterator[Adopted]:
    with adopted(bedplate_server, bedplate_settings, request.param) as made:
        yield made


@pytest_asyncio.fixture
async def db(place: Adopted) -> AsyncIterator[Database]:
    async with await Project.open(settings=place.settings) as project:
        yield project.db


@pytest_asyncio.fixture
async def ada(place: Adopted, db: Database) -> UserId:
    """The host's first user, with 100 credits to spend."""
    user = place.host.keys[0]
    account = await open_account(db, user)
    if account.available < 100:
        await grant(db, user, 100 - account.available, key=new_key())
    return user


def new_key() -> str:
    return f"key-{next(_numbers)}"


def outcomes(place: Adopted) -> dict[str, checks.CheckOutcome]:
    settings = place.settings
    assert settings.database_url is not None
    modules = registry.load(settings.modules)
    found = checks.run(modules, settings.database_url, bindings=settings.bind)
    assert [each for each in found if each.problem is not None] == []
    return {each.id: each for each in found if each.id.startswith("credits.")}


def rows(place: Adopted, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
        return admin.execute(statement.encode(), values or None).fetchall()


async def test_every_column_that_names_a_user_has_the_hosts_type(place: Adopted) -> None:
    found = rows(
        place,
        "SELECT attrelid::regclass::text, format_type(atttypid, NULL) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'"
        " WHERE c.relnamespace = 'credits'::regnamespace AND attname = 'user_id'",
    )
    kind = place.host.binding.key_type
    assert sorted(found) == [
        ("credits.audit_logs", kind),
        ("credits.credit_balances", kind),
        ("credits.usage_history", kind),
    ]
    with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
        assert catalog_of(admin, place.host) == place.before


async def test_an_account_is_opened_once_and_for_users_only(
    place: Adopted, db: Database, ada: UserId
) -> None:
    again = await open_account(db, ada)
    assert (again.user_id, again.created) == (ada, False)
    with pytest.raises(UnknownUser):
        await open_account(db, place.host.new_key)
    with pytest.raises(UnknownAccount):
        await deduct(db, place.host.keys[2], CHAT, key=new_key(), amount=1)
    with pytest.raises(errors.FieldInvalid):
        await open_account(db, WRONG_KEYS[place.host.name])
    whole = await get_user_with_data(db, ada)
    assert whole is not None
    assert (whole.user.id, whole.user.email) == (ada, "ada@example.com")
    assert whole.balance is not None
    assert whole.balance.user_id == ada


async def test_a_charge_its_replay_its_conflict_and_a_kept_refusal(
    place: Adopted, db: Database, ada: UserId
) -> None:
    before = await balance_of(db, ada)
    key, refused_key = new_key(), new_key()
    with acting(ada, request_id="r-1"):
        done = await deduct(db, ada, CHAT, key=key, amount=10)
        again = await deduct(db, ada, CHAT, key=key, amount=10)
    assert isinstance(done, Deducted)
    assert again == done
    assert (done.user_id, done.balance) == (ada, before.credits - 10)
    assert [done.replayed, again.replayed] == [False, True]
    with pytest.raises(errors.IdempotencyConflict):
        await deduct(db, ada, CHAT, key=key, amount=11)
    refused = await deduct(db, ada, CHAT, key=refused_key, amount=10_000)
    assert isinstance(refused, Refused)
    await grant(db, ada, 20_000, key=new_key())
    kept = await deduct(db, ada, CHAT, key=refused_key, amount=10_000)
    assert kept == refused
    assert kept.replayed
    assert rows(
        place,
        "SELECT user_id, actor_type, request_id FROM credits.audit_logs WHERE id = %s",
        done.usage_id,
    ) == [(ada, "USER", "r-1")]


async def test_refunds_and_holds(db: Database, ada: UserId) -> None:
    before = await balance_of(db, ada)
    charge = await deduct(db, ada, CHAT, key=new_key(), amount=10)
    assert isinstance(charge, Deducted)
    back = await refund(db, charge.usage_id, key=new_key(), amount=4)
    assert back.balance == before.credits - 6
    held = await reserve(
        db,
        Charge(user_id=ada, operation=CHAT, key=new_key(), amount=20),
        expires_in=timedelta(hours=1),
    )
    assert isinstance(held, Held)
    captured = await capture(db, held.hold_id, amount=15)
    assert (captured.user_id, captured.balance) == (ada, before.credits - 21)
    freed = await reserve(db, Charge(user_id=ada, operation=CHAT, key=new_key(), amount=5))
    assert isinstance(freed, Held)
    assert (await release(db, freed.hold_id)).credits == 5
    after = await balance_of(db, ada)
    assert (after.credits, after.held) == (before.credits - 21, 0)


async def test_many_charges_of_two_of_the_hosts_users(
    place: Adopted, db: Database, ada: UserId
) -> None:
    grace = place.host.keys[1]
    await open_account(db, grace, credits=50)
    starts = {user: (await balance_of(db, user)).credits for user in (ada, grace)}
    charges = [
        Charge(user_id=user, operation=CHAT, key=f"{new_key()}-{nth}", amount=nth + 1)
        for nth in range(5)
        for user in (grace, ada)
    ]
    answers = await deduct_many(db, charges)
    assert [answer.user_id for answer in answers] == [grace, ada] * 5
    assert await deduct_many(db, charges) == answers
    for user, start in starts.items():
        assert (await balance_of(db, user)).credits == start - 15


async def test_nobody_charges_another_s_account(place: Adopted, db: Database, ada: UserId) -> None:
    grace = place.host.keys[1]
    before = rows(place, "SELECT count(*) FROM credits.usage_history")
    with acting(grace):
        with pytest.raises(NotYourAccount):
            await deduct(db, ada, CHAT, key=new_key(), amount=1)
        with pytest.raises(NotYourAccount):
            await deduct_many(db, [Charge(user_id=ada, operation=CHAT, key=new_key(), amount=1)])
        assert rows(place, "SELECT count(*) FROM credits.usage_history") == before
        adjusted = await deduct(db, ada, OperationType.ADMIN_ADJUSTMENT, key=new_key(), amount=1)
    assert isinstance(adjusted, Deducted)
    assert rows(
        place, "SELECT user_id FROM credits.audit_logs WHERE id = %s", adjusted.usage_id
    ) == [(grace,)]


async def test_raw_sql_of_the_app_moves_no_credit(
    place: Adopted, db: Database, ada: UserId
) -> None:
    assert place.settings.database_url is not None
    for statement in (
        "UPDATE credits.credit_balances SET credits_remaining = 1000000",
        "DELETE FROM credits.usage_history",
        "TRUNCATE credits.credit_grants CASCADE",
        "UPDATE credits.audit_logs SET description = ''",
        "SELECT credits.parts(gen_random_uuid(), 1, now())",
    ):
        with (
            psycopg.connect(place.settings.database_url) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute(statement.encode())


async def test_the_laws_hold_and_name_whose_account_breaks_one(
    place: Adopted, db: Database, ada: UserId
) -> None:
    await deduct(db, ada, CHAT, key=new_key(), amount=3)
    assert [each for each in outcomes(place).values() if not each.ok] == []
    change = "UPDATE credits.credit_balances SET credits_remaining = credits_remaining {} 7"
    with connect(place.admin_url, autocommit=True, purpose="adoption") as admin:
        admin.execute(change.format("+").encode())
        try:
            broken = {row["user_id"]: row for row in outcomes(place)["credits.E001"].rows}
        finally:
            admin.execute(change.format("-").encode())
    row = broken[str(ada)]
    assert row["credits_remaining"] == str(int(row["recounted"] or 0) + 7)
