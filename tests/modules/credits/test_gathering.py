"""Charges of one account that would wait for one another go together, and each stays its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate import Database, acting
from bedplate.kernel.errors import IdempotencyConflict
from bedplate.kernel.gathering import TOGETHER_MAX
from bedplate.modules.credits import (
    CostUnknown,
    Deducted,
    NotYourAccount,
    OperationType,
    Refused,
    balance_of,
    deduct,
    feature_costs,
    grant,
)
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.credits.accounts import (
    CHAT,
    IMAGE,
    assert_lawful,
    new_account,
    new_user,
    stored,
    until_somebody_waits,
)
from tests.modules.credits.random_requests import Naive, batch, left, prepared, told
from tests.world import World, opened

POOL = 3
BATCHES = 12
ADMIN = OperationType.ADMIN_ADJUSTMENT
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
ENTRIES = """
SELECT u.key, a.id = u.id, a.action::text, a.entity_type, a.entity_id = u.credit_balance_id::text,
       a.user_id, a.actor_type, a.request_id, a.ip_address, a.user_agent, a.changes, a.description
FROM credits.usage_history u JOIN credits.audit_logs a ON a.id = u.id
WHERE u.user_id = %s ORDER BY u.key
"""


@pytest.fixture(params=["async"])
def world(request: Any, bedplate_clone: Clone, bedplate_clock: FrozenClock) -> Iterator[World]:
    """With few connections; without an event loop nobody waits here, but each in its thread."""
    yield from opened(request.param, bedplate_clone, bedplate_clock, pool_size_max=POOL)


@asynccontextmanager
async def locked(world: World, user: UUID) -> AsyncIterator[None]:
    """Hold the account's lock, so that whoever comes has to wait."""
    async with await psycopg.AsyncConnection.connect(world.clone.owner_url) as other:
        await other.execute(
            "SELECT FROM credits.credit_balances WHERE user_id = %s FOR UPDATE", [user]
        )
        yield


async def at_once(world: World, user: UUID, *calls: Awaitable[Any]) -> list[Any]:
    """What each call returned or raised, all of them made while the account is locked."""
    async with locked(world, user):
        tasks = [asyncio.ensure_future(call) for call in calls]
        await until_somebody_waits(world.db, world.clone)
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_those_who_wait_are_charged_by_one_statement_in_their_order(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 1_000)
        before = db.leaf.round_trips
        answers = await at_once(
            world, user, *(deduct(db, user, CHAT, key=str(n), amount=10) for n in range(40))
        )
        assert [answer.balance for answer in answers] == list(range(990, 590, -10))
        assert db.leaf.round_trips == before + 2
        assert stored(world.clone, user) == (600, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_no_call_takes_more_than_so_many(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 1_000)
        before = db.leaf.round_trips
        many = 2 * TOGETHER_MAX + 2
        answers = await at_once(
            world, user, *(deduct(db, user, CHAT, key=str(n), amount=1) for n in range(many))
        )
        assert {type(answer) for answer in answers} == {Deducted}
        assert db.leaf.round_trips == before + 1 + 3

    world.run(body(world.db))
    assert_lawful(world)


async def charge(db: Database, user: UUID, number: int, admin: UUID) -> Deducted | Refused:
    """By its owner, by an administrator, by the system; with more or less that is known."""
    key = f"{number:02}"
    match number % 4:
        case 0:
            with acting(user, request_id=key, ip="192.0.2.7", user_agent='A "b" \\ ü'):
                return await deduct(db, user, CHAT, key=key)
        case 1:
            with acting(admin, request_id=key):
                return await deduct(db, user, ADMIN, key=key, amount=3)
        case 2:
            with acting(user):
                return await deduct(db, user, IMAGE, key=key, details={"n": number})
        case _:
            return await deduct(db, user, CHAT, key=key, amount=2)


def test_each_acts_as_itself_and_the_audit_log_tells_it_so(world: World) -> None:
    async def body(db: Database) -> None:
        admin = await new_user(db)
        one, other = await new_account(db, 100), await new_account(db, 100)
        before = db.leaf.round_trips
        answers = await at_once(world, one, *(charge(db, one, n, admin) for n in range(20)))
        assert db.leaf.round_trips == before + 2
        alone = [await charge(db, other, n, admin) for n in range(20)]
        assert [told(answer) for answer in answers] == [told(answer) for answer in alone]
        together, by_itself = (
            [
                tuple("owner" if value == user else value for value in row)
                for row in ask(world.clone, ENTRIES, user)
            ]
            for user in (one, other)
        )
        assert len(together) == 20
        assert together == by_itself

    world.run(body(world.db))
    assert_lawful(world)


async def good_and_bad(db: Database, user: UUID) -> list[Awaitable[Any]]:
    """Requests of which many are refused, each for a reason of its own."""
    stranger = await new_account(db, 0)

    async def as_stranger() -> Any:
        with acting(stranger):
            return await deduct(db, user, CHAT, key="theirs", amount=1)

    await deduct(db, user, CHAT, key="old", amount=5)
    await deduct(db, user, CHAT, key="too much", amount=5_000)
    return [
        deduct(db, user, CHAT, key="a", amount=1),
        as_stranger(),
        deduct(db, user, CHAT, key="b", amount=1),
        deduct(db, user, CHAT, key="old", amount=6),
        deduct(db, user, CHAT, key="old", amount=5),
        deduct(db, user, ADMIN, key="c"),
        deduct(db, user, CHAT, key="d", amount=1),
        deduct(db, user, CHAT, key="too much", amount=5_001),
        deduct(db, user, CHAT, key="too much", amount=5_000),
        deduct(db, user, CHAT, key="e", amount=5_000),
        deduct(db, user, CHAT, key="f", amount=1),
    ]


async def sound_and_senseless(db: Database, user: UUID) -> list[Awaitable[Any]]:
    """Requests of which some cannot be sent at all, or break the statement that they are in."""

    async def as_nobody() -> Any:
        with acting("nobody's key"):
            return await deduct(db, user, ADMIN, key="nobody", amount=1)

    return [
        deduct(db, user, CHAT, key="a", amount=1),
        deduct(db, user, CHAT, key="b", amount=1),
        as_nobody(),
        deduct(db, user, CHAT, key="c", amount=1, details={"not JSON": object()}),
        deduct(db, user, CHAT, key="d", amount=1),
        deduct(db, user, CHAT, key="e", amount=1, details={"NUL": "\0"}),
    ]


async def outcome(call: Awaitable[Any]) -> Any:
    (ended,) = await asyncio.gather(call, return_exceptions=True)
    return ended


def kind(ended: Any) -> Any:
    return type(ended) if isinstance(ended, Exception) else told(ended)


def test_a_bad_one_spoils_nobody_elses(world: World) -> None:
    async def body(db: Database) -> None:
        one, other = await new_account(db, 1_000), await new_account(db, 1_000)
        calls = await good_and_bad(db, one)
        before = db.leaf.round_trips
        at_one_time = await at_once(world, one, *calls)
        # Two keys come twice, and go once in a statement.
        assert db.leaf.round_trips == before + 4
        alone = [await outcome(call) for call in await good_and_bad(db, other)]
        assert [kind(each) for each in at_one_time] == [kind(each) for each in alone]
        assert {type(each) for each in at_one_time} == {
            *(Deducted, Refused, CostUnknown, IdempotencyConflict, NotYourAccount)
        }
        assert stored(world.clone, one) == stored(world.clone, other)

    world.run(body(world.db))
    assert_lawful(world)


def test_where_all_fail_for_one_the_others_ask_again_by_themselves(world: World) -> None:
    async def body(db: Database) -> None:
        one, other = await new_account(db, 1_000), await new_account(db, 1_000)
        at_one_time = await at_once(world, one, *await sound_and_senseless(db, one))
        alone = [await outcome(call) for call in await sound_and_senseless(db, other)]
        assert [type(each) for each in at_one_time] == [type(each) for each in alone]
        assert [type(each) for each in alone].count(Deducted) == 3
        assert stored(world.clone, one) == stored(world.clone, other) == (997, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_who_leaves_is_not_charged_and_holds_nobody_up(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        async with locked(world, user):
            tasks = [
                asyncio.create_task(deduct(db, user, CHAT, key=str(n), amount=1)) for n in range(6)
            ]
            await until_somebody_waits(db, world.clone)
            # The one that is on its way, and two that wait.
            for number in (0, 2, 3):
                tasks[number].cancel()
            await asyncio.wait([tasks[0]])
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [
            *(asyncio.CancelledError, Deducted, asyncio.CancelledError),
            *(asyncio.CancelledError, Deducted, Deducted),
        ]
        assert stored(world.clone, user) == (97, 0)
        assert (await deduct(db, user, CHAT, key="next", amount=1)).available == 96

    world.run(body(world.db))
    assert_lawful(world)


def test_a_connection_that_breaks_under_many_charges_each_of_them_once(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        async with locked(world, user):
            tasks = [
                asyncio.create_task(deduct(db, user, CHAT, key=str(n), amount=1)) for n in range(8)
            ]
            await until_somebody_waits(db, world.clone)
            tasks[0].cancel()
            await asyncio.wait([tasks[0]])
            await until_somebody_waits(db, world.clone)
            assert ask(world.clone, TERMINATE) == [(True,)]
        outcomes = await asyncio.gather(*tasks[1:])
        assert {type(outcome) for outcome in outcomes} == {Deducted}
        assert sorted(outcome.balance for outcome in outcomes) == list(range(93, 100))
        assert stored(world.clone, user) == (93, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_a_hot_account_leaves_the_others_their_connections(world: World) -> None:
    async def body(db: Database) -> None:
        hot, other = await new_account(db, 1_000), await new_account(db, 1_000)
        async with locked(world, hot):
            tasks = [
                asyncio.create_task(deduct(db, hot, CHAT, key=str(n), amount=1))
                for n in range(10 * POOL)
            ]
            await until_somebody_waits(db, world.clone)
            async with asyncio.timeout(5):
                assert (await balance_of(db, other)).credits == 1_000
                assert isinstance(await deduct(db, other, CHAT, key="k"), Deducted)
            assert not any(task.done() for task in tasks)
        await asyncio.gather(*tasks)
        assert stored(world.clone, hot) == (1_000 - 10 * POOL, 0)

    world.run(body(world.db))


@pytest.mark.parametrize("seed", range(2))
def test_calls_made_at_once_and_lists_agree(world: World, seed: int) -> None:
    async def body(db: Database) -> None:
        chance = random.Random(seed)
        naive = Naive(await feature_costs(db), world.clock.freeze())
        users = await prepared(db, world, naive)
        sent: dict[tuple[int, str], Any] = {}
        for number in range(BATCHES):
            if number == BATCHES // 2:
                naive.now = world.clock.advance(days=1)
            requests = batch(chance, sent)
            charges = [request.of(users) for request in requests]
            answers = await asyncio.gather(
                *(
                    deduct(
                        db,
                        one.user_id,
                        one.operation,
                        key=one.key,
                        amount=one.amount,
                        details=one.details,
                    )
                    for one in charges
                )
            )
            assert [told(answer) for answer in answers] == [naive.deduct(each) for each in requests]
            assert left(world, users) == [
                [(lot.remaining, lot.held) for lot in account.lots] for account in naive.accounts
            ]

    world.run(body(world.db))
    assert_lawful(world)


def test_a_grant_between_them_is_seen_by_those_who_still_wait(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 5)
        async with db.transaction() as tx:
            await grant(tx, user, 100, key="g")
            tasks = [
                asyncio.create_task(deduct(db, user, CHAT, key=str(n), amount=20)) for n in range(7)
            ]
            await until_somebody_waits(db, world.clone)
        answers = await asyncio.gather(*tasks)
        assert [type(answer) for answer in answers] == [Deducted] * 5 + [Refused] * 2

    world.run(body(world.db))
    assert_lawful(world)
