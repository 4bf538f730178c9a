"""What must hold whatever comes, as scenarios that tell what they saw instead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from bedplate import Database, acting
from bedplate.kernel import ids
from bedplate.kernel.errors import IdempotencyConflict
from bedplate.modules.credits import (
    Charge,
    Deducted,
    GrantInvalid,
    GrantTerms,
    Held,
    HoldOver,
    NotYourAccount,
    RefundRefused,
    Refused,
    capture,
    deduct,
    deduct_many,
    grant,
    refund,
    release,
    reserve,
)
from tests.asking import as_owner, ask
from tests.modules.credits.accounts import (
    CHAT,
    IMAGE,
    broken,
    new_account,
    new_user,
    stored,
    until_somebody_waits,
)
from tests.world import World

Scenario = Callable[[World], Awaitable[set[str]]]
"""Runs, and returns what it saw that must never be; nothing where every promise is kept."""


async def charged(db: Database, user: UUID, amount: int, key: str = "k") -> UUID:
    answer = await deduct(db, user, CHAT, key=key, amount=amount)
    assert isinstance(answer, Deducted)
    return answer.usage_id


async def kind(work: Awaitable[Any]) -> str:
    """What came of it: the class of the answer or of the error."""
    try:
        return type(await work).__name__
    except Exception as error:
        return type(error).__name__


async def unless(wanted: type, work: Awaitable[Any]) -> set[str]:
    seen = await kind(work)
    return set() if seen == wanted.__name__ else {seen}


def lawless(world: World) -> set[str]:
    return set(broken(world.clone, world))


async def two_charges_at_once(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    async with db.transaction() as tx:
        await deduct(tx, user, CHAT, key="a", amount=30)
        waiting = asyncio.create_task(deduct(db, user, CHAT, key="b", amount=30))
        await until_somebody_waits(db, world.clone)
    await waiting
    seen = lawless(world)
    return seen if stored(world.clone, user) == (40, 0) else {*seen, "lost update"}


async def a_replay_at_once(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    async with db.transaction() as tx:
        first = await deduct(tx, user, CHAT, key="k", amount=30)
        waiting = asyncio.create_task(deduct(db, user, CHAT, key="k", amount=30))
        await until_somebody_waits(db, world.clone)
    try:
        second = await waiting
    except Exception as error:
        return {type(error).__name__}
    return lawless(world) if second == first else {*lawless(world), "charged twice"}


async def a_replay(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    await charged(db, user, 30)
    seen = await unless(Deducted, deduct(db, user, CHAT, key="k", amount=30))
    return seen if stored(world.clone, user) == (70, 0) else {*seen, "charged twice"}


async def a_key_of_another_operation(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    await charged(db, user, 30)
    return await unless(IdempotencyConflict, deduct(db, user, IMAGE, key="k", amount=30))


async def a_key_of_another_amount(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    await charged(db, user, 30)
    return await unless(IdempotencyConflict, deduct(db, user, CHAT, key="k", amount=31))


async def a_charge_of_nothing(world: World) -> set[str]:
    """By raw SQL: the verb itself refuses to ask."""
    user = await new_account(world.db, 100)
    call = "SELECT FROM credits.deduct({}, '{}', 'AI_TEXT_CHAT', 'n', 0, NULL, NULL, NULL)"
    return accepted(world, call.format("gen_random_uuid()", user), app=True)


async def batch(world: World, user: UUID, *keys: str) -> str:
    """What came of charges of 10 under these keys: how many were deducted, or the error."""
    charges = [Charge(user_id=user, operation=CHAT, key=key, amount=10) for key in keys]
    try:
        answers = await deduct_many(world.db, charges)
    except Exception as error:
        return type(error).__name__
    return f"{sum(isinstance(each, Deducted) for each in answers)} deducted"


async def a_replay_in_a_batch(world: World) -> set[str]:
    user = await new_account(world.db, 100)
    await charged(world.db, user, 10)
    seen = {await batch(world, user, "k")} - {"1 deducted"}
    return seen if stored(world.clone, user) == (90, 0) else {*seen, "charged twice"}


async def a_refused_key_in_a_batch(world: World) -> set[str]:
    user = await new_account(world.db, 5)
    await deduct(world.db, user, CHAT, key="k", amount=10)
    await grant(world.db, user, 100, key="g")
    return {await batch(world, user, "k")} - {"0 deducted"}


async def one_key_twice_in_a_batch(world: World) -> set[str]:
    user = await new_account(world.db, 100)
    seen = {await batch(world, user, "k", "k")} - {"2 deducted"}
    return seen if stored(world.clone, user) == (90, 0) else {*seen, "charged twice"}


async def a_hold_asked_for_again(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    asked = Charge(user_id=user, operation=CHAT, key="h", amount=10)
    await reserve(db, asked)
    seen = await unless(Held, reserve(db, asked))
    return seen if stored(world.clone, user) == (100, 10) else {*seen, "held twice"}


async def a_hold_beyond_the_balance(world: World) -> set[str]:
    user = await new_account(world.db, 100)
    asked = Charge(user_id=user, operation=CHAT, key="h", amount=101)
    return await unless(Refused, reserve(world.db, asked))


async def a_grant_asked_for_again(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    first = await grant(db, user, 10, key="g")
    seen = await unless(type(first), grant(db, user, 10, key="g"))
    return seen if stored(world.clone, user) == (110, 0) else {*seen, "granted twice"}


async def a_grant_that_is_over(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    terms = GrantTerms(expires_at=world.clock.freeze() - timedelta(days=1))
    return await unless(GrantInvalid, grant(db, user, 10, key="g", terms=terms))


async def a_refund_asked_for_again(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    usage = await charged(db, user, 30)
    first = await refund(db, usage, key="r", amount=10)
    seen = await unless(type(first), refund(db, usage, key="r", amount=10))
    return seen if stored(world.clone, user) == (80, 0) else {*seen, "refunded twice"}


async def a_charge_beyond_the_balance(world: World) -> set[str]:
    user = await new_account(world.db, 100)
    return await unless(Refused, deduct(world.db, user, CHAT, key="k", amount=101))


async def a_batch_beyond_the_balance(world: World) -> set[str]:
    user = await new_account(world.db, 100)
    charges = [Charge(user_id=user, operation=CHAT, key=key, amount=60) for key in "ab"]
    try:
        answers = await deduct_many(world.db, charges)
    except Exception as error:
        return {type(error).__name__}
    return set() if isinstance(answers[1], Refused) else {"charged"}


async def a_charge_of_what_is_held(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    await reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=60))
    return await unless(Refused, deduct(db, user, CHAT, key="k", amount=60))


async def a_retry_after_a_top_up(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 5)
    await deduct(db, user, CHAT, key="k", amount=10)
    await grant(db, user, 100, key="g")
    return await unless(Refused, deduct(db, user, CHAT, key="k", amount=10))


async def a_refund_of_too_much(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    usage = await charged(db, user, 30)
    await refund(db, usage, key="r", amount=20)
    seen = await unless(RefundRefused, refund(db, usage, key="s", amount=20))
    return seen | lawless(world)


async def refunds_at_once(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    usage = await charged(db, user, 30)
    async with db.transaction() as tx:
        await refund(tx, usage, key="a", amount=20)
        waiting = asyncio.create_task(kind(refund(db, usage, key="b", amount=20)))
        await until_somebody_waits(db, world.clone)
    seen = await waiting
    return lawless(world) | (set() if seen == RefundRefused.__name__ else {seen})


async def a_hold_that_ends_twice(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    held = await reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=60))
    assert isinstance(held, Held)
    await release(db, held.hold_id)
    return await unless(HoldOver, capture(db, held.hold_id)) | lawless(world)


async def a_capture_of_more_than_is_held(world: World) -> set[str]:
    db = world.db
    user = await new_account(db, 100)
    held = await reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=60))
    assert isinstance(held, Held)
    seen = await kind(capture(db, held.hold_id, amount=70))
    return lawless(world) | (set() if seen == "AmountInvalid" else {seen})


async def an_expired_grant(world: World) -> set[str]:
    db = world.db
    ends = world.clock.freeze() + timedelta(days=1)
    user = await new_account(db, 0)
    await grant(db, user, 100, key="g", terms=GrantTerms(expires_at=ends))
    world.clock.set(ends)
    return await unless(Refused, deduct(db, user, CHAT, key="k", amount=10))


async def another_s_account(world: World) -> set[str]:
    ada, grace = await new_account(world.db, 100), await new_account(world.db, 100)
    with acting(ada):
        return await unless(NotYourAccount, deduct(world.db, grace, CHAT, key="k", amount=10))


TOGETHER = """
SELECT outcome FROM credits.deduct_many(
    ARRAY[gen_random_uuid(), gen_random_uuid()], ARRAY[%s, %s]::uuid[],
    '{AI_TEXT_CHAT,AI_TEXT_CHAT}', '{a,b}', '{1,1}', NULL, '{}', %s, %s) ORDER BY place
"""


async def another_s_account_among_its_own_charges(world: World) -> set[str]:
    ada, grace = await new_account(world.db, 100), await new_account(world.db, 100)
    contexts = [{"actor": str(grace)}, {"actor": str(ada)}]
    first, second = ask(world.clone, TOGETHER, grace, grace, Jsonb(contexts[0]), Jsonb(contexts))
    assert first == ("DEDUCTED",)
    return {*second} - {"NOT_YOURS"}


async def batches_in_opposite_orders(world: World) -> set[str]:
    db = world.db
    accounts = [await new_account(db, 100) for _ in range(2)]

    def charges(key: str, users: list[UUID]) -> list[Charge]:
        return [Charge(user_id=user, operation=CHAT, key=key, amount=1) for user in users]

    outcomes = await asyncio.gather(
        kind(deduct_many(db, charges("a", accounts))),
        kind(deduct_many(db, charges("b", accounts[::-1]))),
    )
    return set(outcomes) - {"list"}


def accepted(world: World, statement: str, *, app: bool = False) -> set[str]:
    """Whether the database took a statement that it must refuse."""
    url = world.clone.url if app else world.clone.owner_url
    try:
        with psycopg.connect(url) as connection:
            connection.execute(statement.encode())
    except psycopg.Error:
        return set()
    return {"accepted"}


async def lived(world: World) -> UUID:
    user = await new_account(world.db, 100)
    await charged(world.db, user, 30)
    return user


async def a_negative_balance(world: World) -> set[str]:
    await lived(world)
    seen = accepted(world, "UPDATE credits.credit_balances SET credits_remaining = -1")
    return seen | lawless(world)


async def a_grant_that_is_overdrawn(world: World) -> set[str]:
    await lived(world)
    return accepted(world, "UPDATE credits.credit_grants SET remaining = -1") | lawless(world)


async def history_rewritten(world: World) -> set[str]:
    await lived(world)
    seen = accepted(world, "UPDATE credits.usage_history SET credits_used = 1")
    return seen | lawless(world)


async def a_balance_set_by_the_app(world: World) -> set[str]:
    await lived(world)
    statement = "UPDATE credits.credit_balances SET credits_remaining = 1000"
    return accepted(world, statement, app=True) | lawless(world)


async def a_second_row_under_a_key(world: World) -> set[str]:
    await lived(world)
    statement = (
        "INSERT INTO credits.usage_history SELECT (json_populate_record(h,"
        " json_build_object('id', gen_random_uuid()))).* FROM credits.usage_history h"
    )
    return accepted(world, statement) | lawless(world)


async def a_refund_by_raw_sql(world: World) -> set[str]:
    await lived(world)
    statement = (
        "INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type,"
        " credits_used, action, key, balance_after, available_after, refund_of)"
        " SELECT gen_random_uuid(), user_id, credit_balance_id, operation_type, -31, 'refund',"
        " 'r', 1, 1, id FROM credits.usage_history"
    )
    return accepted(world, statement) | lawless(world)


async def an_account_without_a_grant(world: World) -> set[str]:
    user = await new_user(world.db)
    as_owner(
        world.clone,
        "INSERT INTO credits.credit_balances (id, user_id, credits_remaining) VALUES (%s, %s, 9)",
        ids.new(),
        user,
    )
    return lawless(world)
