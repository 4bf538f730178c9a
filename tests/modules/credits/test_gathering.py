"""Charges of one account that would wait for one another go together, and each stays its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate import Database, acting
from bedplate.kernel.errors import ConnectionLost, IdempotencyConflict
from bedplate.kernel.gathering import TOGETHER_MAX
from bedplate.modules.credits import (
    Charge,
    CostUnknown,
    Deducted,
    GrantTerms,
    NotYourAccount,
    OperationType,
    Refused,
    balance_of,
    deduct,
    deduct_many,
    grant,
)
from bedplate.testing import Clone
from tests.asking import ask, waiting
from tests.modules.credits.accounts import (
    CHAT,
    assert_lawful,
    new_account,
    stored,
    until_somebody_waits,
)
from tests.modules.credits.gathered import POOL, at_once, kind, locked, outcome, world
from tests.world import World

__all__ = ["world"]

BATCHES = 12
ADMIN = OperationType.ADMIN_ADJUSTMENT
EXPIRED = """
SELECT user_id, request_id FROM credits.audit_logs WHERE action = 'CREDITS_EXPIRED'
"""
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def on_their_way(world: World, db: Database, user: UUID) -> list[asyncio.Task[Any]]:
    """Charges that went as one call, which waits for the account's lock."""
    first, *tasks = (
        asyncio.create_task(deduct(db, user, CHAT, key=str(n), amount=1)) for n in range(8)
    )
    await until_somebody_waits(db, world.clone)
    first.cancel()
    await asyncio.wait([first])
    await until_somebody_waits(db, world.clone)
    return tasks


async def until_nobody_waits(clone: Clone) -> None:
    for _ in range(2_000):
        if not waiting(clone):
            return
        await asyncio.sleep(0.005)
    raise AssertionError("somebody waits for a lock")


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


async def good_and_bad(db: Database, user: UUID) -> list[Awaitable[Any]]:
    """Requests of which many are refused, each for a reason of its own."""
    await deduct(db, user, CHAT, key="old", amount=5)
    await deduct(db, user, CHAT, key="too much", amount=5_000)
    return [
        deduct(db, user, CHAT, key="a", amount=1),
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
    return [
        deduct(db, user, CHAT, key="a", amount=1),
        deduct(db, user, CHAT, key="b", amount=1),
        deduct(db, user, CHAT, key="c", amount=1, details={"not JSON": object()}),
        deduct(db, user, CHAT, key="d", amount=1),
        deduct(db, user, CHAT, key="e", amount=1, details={"NUL": "\0"}),
        *(deduct(db, user, CHAT, key=str(n), amount=1) for n in range(4 * POOL)),
    ]


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
            *(Deducted, Refused, CostUnknown, IdempotencyConflict)
        }
        assert stored(world.clone, one) == stored(world.clone, other)

    world.run(body(world.db))
    assert_lawful(world)


def test_where_all_fail_for_one_they_go_one_by_one_in_their_order(world: World) -> None:
    async def body(db: Database) -> None:
        one, other = await new_account(db, 1_000), await new_account(db, 1_000)
        at_one_time = await at_once(world, one, *await sound_and_senseless(db, one))
        alone = [await outcome(call) for call in await sound_and_senseless(db, other)]
        assert [kind(each) for each in at_one_time] == [kind(each) for each in alone]
        assert [type(each) for each in alone].count(Deducted) == 3 + 4 * POOL

    world.run(body(world.db))
    assert_lawful(world)


def test_a_strangers_request_ends_nothing_in_the_account(world: World) -> None:
    async def body(db: Database) -> None:
        ends = world.clock.freeze() + timedelta(days=1)
        stranger, user = await new_account(db, 0), await new_account(db, 100)
        await grant(db, user, 50, key="g", terms=GrantTerms(expires_at=ends))
        world.clock.set(ends)

        async def by(actor: UUID, key: str) -> Any:
            with acting(actor, request_id=key):
                return await deduct(db, user, CHAT, key=key, amount=1)

        theirs = await at_once(world, user, *(by(stranger, str(n)) for n in range(POOL)))
        assert {type(each) for each in theirs} == {NotYourAccount}
        many = [
            Charge(user_id=user, operation=operation, key=operation.name, amount=1)
            for operation in (CHAT, OperationType.ADMIN_ADJUSTMENT)
        ]
        with acting(stranger), pytest.raises(NotYourAccount):
            await deduct_many(db, many)
        assert stored(world.clone, user) == (150, 0)
        await at_once(world, user, *(by(user, f"own {n}") for n in range(3)))
        expired = (
            "SELECT user_id, request_id FROM credits.audit_logs WHERE action::text ~ 'EXPIRED'"
        )
        assert ask(world.clone, expired) == [(user, "own 0")]

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


def test_a_call_of_many_that_all_of_them_left_is_undone(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        async with locked(world, user):
            tasks = await on_their_way(world, db, user)
            tasks[3].cancel()
            await asyncio.sleep(0.05)
            assert waiting(world.clone) == 1
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await until_nobody_waits(world.clone)
        assert stored(world.clone, user) == (100, 0)
        assert (await deduct(db, user, CHAT, key="next", amount=1)).available == 99

    world.run(body(world.db))
    assert_lawful(world)


def test_a_connection_that_breaks_is_told_to_all_who_may_then_ask_again(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        async with locked(world, user):
            tasks = await on_their_way(world, db, user)
            assert ask(world.clone, TERMINATE) == [(True,)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ConnectionLost}
        again = await asyncio.gather(
            *(deduct(db, user, CHAT, key=str(n), amount=1) for n in range(8))
        )
        assert sorted(answer.balance for answer in again) == list(range(92, 100))
        assert stored(world.clone, user) == (92, 0)

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
            async with asyncio.timeout(20):
                assert (await balance_of(db, other)).credits == 1_000
                assert isinstance(await deduct(db, other, CHAT, key="k"), Deducted)
            assert not any(task.done() for task in tasks)
        await asyncio.gather(*tasks)
        assert stored(world.clone, hot) == (1_000 - 10 * POOL, 0)

    world.run(body(world.db))


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
