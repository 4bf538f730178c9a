"""Charges that went together are what they would be by themselves: answers, rows, audit entries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest

from bedplate import Database, acting
from bedplate.modules.credits import (
    Deducted,
    GrantTerms,
    OperationType,
    Refused,
    deduct,
    feature_costs,
    grant,
)
from tests.asking import as_owner, ask
from tests.modules.credits.accounts import (
    CHAT,
    IMAGE,
    assert_lawful,
    new_account,
    new_user,
)
from tests.modules.credits.gathered import at_once, world
from tests.modules.credits.random_requests import Naive, batch, left, prepared, told
from tests.world import World

__all__ = ["world"]

BATCHES = 12
ADMIN = OperationType.ADMIN_ADJUSTMENT
ENTRIES = """
SELECT u.key, a.id = u.id, a.action::text, a.entity_type, a.entity_id = u.credit_balance_id::text,
       a.user_id, a.actor_type, a.request_id, a.ip_address, a.user_agent, a.description,
       (a.changes #>> '{after,credits_remaining}')::int = u.balance_after,
       (a.changes #>> '{before,credits_remaining}')::int = u.balance_after + u.credits_used
FROM credits.usage_history u JOIN credits.audit_logs a ON a.id = u.id
WHERE u.user_id = %s ORDER BY u.key
"""


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
        # Those of the administrator go by themselves.
        assert db.leaf.round_trips == before + 2 + 5
        alone = [await charge(db, other, n, admin) for n in range(20)]
        assert {told(answer)[:3] for answer in answers} == {told(answer)[:3] for answer in alone}
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


STORED = """
WITH me AS (SELECT %s::uuid AS id), grants AS (
    SELECT g.id, row_number() OVER (ORDER BY g.priority, g.expires_at, g.created_at, g.id) AS nth
    FROM credits.credit_grants g JOIN credits.credit_balances b ON b.id = g.credit_balance_id
    WHERE b.user_id = (SELECT id FROM me)
)
SELECT u.key, u.operation_type::text, u.credits_used, u.action, u.balance_after, u.available_after,
       u.is_priced, u.details, u.refund_of, u.timestamp = bedplate.clock(),
       (SELECT nth FROM grants g WHERE g.id = u.grant_id),
       (SELECT array_agg(ARRAY[g.nth, a.amount] ORDER BY g.nth)
        FROM credits.usage_allocations a JOIN grants g ON g.id = a.grant_id
        WHERE a.usage_id = u.id)
FROM credits.usage_history u WHERE u.user_id = (SELECT id FROM me)
UNION ALL
SELECT k.key, 'refused', NULL, k.action, NULL, NULL, NULL,
       k.answer || jsonb_build_object('hash', encode(k.request_hash, 'hex')), NULL,
       k.expires_at = bedplate.now() + interval '90 days', NULL, NULL
FROM bedplate.idempotency_keys k WHERE k.user_id = (SELECT id::text FROM me) ORDER BY 1
"""


def test_what_is_stored_is_what_calls_one_by_one_store(world: World) -> None:
    async def charges(db: Database, user: UUID) -> list[Awaitable[Any]]:
        await grant(db, user, 7, key="g", terms=GrantTerms(priority=-1))
        details: list[Any] = [None, {}, {"a": [1, None]}, {"b": "ü"}]
        amounts = [None, 3, 5, 4, 20, None, 60, 9, 1]
        return [
            deduct(db, user, IMAGE, key=f"{n:02}", amount=amount, details=details[n % 4])
            for n, amount in enumerate(amounts)
        ]

    async def body(db: Database) -> None:
        world.clock.freeze()
        one, other = await new_account(db, 60), await new_account(db, 60)
        together = await at_once(world, one, *await charges(db, one))
        alone = [await call for call in await charges(db, other)]
        assert [told(answer) for answer in together] == [told(answer) for answer in alone]
        assert {type(answer) for answer in together} == {Deducted, Refused}
        rows = [ask(world.clone, STORED, user) for user in (one, other)]
        assert len(rows[0]) == 9
        assert rows[0] == rows[1]
        # Some by one grant, one by two.
        assert {row[10] for row in rows[0]} == {1, 2, None}
        assert [[1, 2], [2, 1]] in [row[11] for row in rows[0]]

    world.run(body(world.db))
    assert_lawful(world)


@pytest.mark.parametrize("costs", ['{"AI_TEXT_CHAT": null}', "[]", '{"AI_TEXT_CHAT": 3}'])
def test_a_cost_is_read_alike(world: World, costs: str) -> None:
    async def body(db: Database) -> None:
        as_owner(world.clone, "UPDATE credits.admin_settings SET feature_costs = %s", costs)
        user = await new_account(db, 100)
        alone = await deduct(db, user, CHAT, key="alone")
        together = await at_once(
            world, user, *(deduct(db, user, CHAT, key=str(n)) for n in range(3))
        )
        assert isinstance(alone, Deducted)
        assert [each.credits_used for each in together] == [alone.credits_used] * 3

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
