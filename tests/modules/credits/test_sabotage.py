"""Each guard matters: with it a scenario holds; taken away, the same scenario breaks, and is seen.

The guards overlap on purpose. Where two stand behind one another, the second still stops the harm
when the first is gone, and what is seen is that the answer is no longer the one that was promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate import Database, acting
from bedplate.kernel import ids
from bedplate.modules.credits import (
    Charge,
    Deducted,
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
from bedplate.testing import Clone
from tests.modules.credits.accounts import (
    CHAT,
    as_owner,
    ask,
    broken,
    new_account,
    new_user,
    stored,
    until_somebody_waits,
)
from tests.world import World

Scenario = Callable[[World], Awaitable[set[str]]]
"""Runs, and returns what it saw that must never be; nothing where every promise is kept."""


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the guards are the server's."""
    return world


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


async def batches_in_opposite_orders(world: World) -> set[str]:
    db = world.db
    accounts = [await new_account(db, 100) for _ in range(2)]

    def batch(key: str, users: list[UUID]) -> list[Charge]:
        return [Charge(user_id=user, operation=CHAT, key=key, amount=1) for user in users]

    outcomes = await asyncio.gather(
        kind(deduct_many(db, batch("a", accounts))),
        kind(deduct_many(db, batch("b", accounts[::-1]))),
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


@dataclass(frozen=True)
class Guard:
    """What is taken away: a statement, or a part of a function; and what then breaks."""

    scenario: Scenario
    seen: str
    statement: str = ""
    function: str = ""
    part: str = ""
    instead: str = ""
    slower: str = ""
    """After what in the function a moment passes, so that the race is sure to be lost."""

    def take_away(self, clone: Clone) -> None:
        statement = self.statement
        if self.function:
            ((text,),) = ask(
                clone,
                "SELECT pg_get_functiondef(p.oid) FROM pg_proc p"
                " WHERE p.pronamespace = 'credits'::regnamespace AND p.proname = %s",
                self.function,
            )
            assert self.part in text
            text = text.replace(self.part, self.instead)
            if self.slower:
                assert self.slower in text
                text = text.replace(self.slower, f"{self.slower} PERFORM pg_sleep(0.3);")
            statement = f"{self.statement};{text}"
        with psycopg.connect(clone.owner_url) as owner:
            owner.execute(statement.encode())


ALTER = "ALTER TABLE credits.{} DROP CONSTRAINT {}"
NO_KEY = ALTER.format("usage_history", "uq_usage_history_credit_balance_id_key")
NO_LAW = "DROP TRIGGER tr_usage_history_refundable ON credits.usage_history"
UNLOCKED = {"function": "lock_account", "part": " FOR NO KEY UPDATE", "instead": ""}
FORGETFUL = {"function": "deduct", "part": "h.key = p_key", "instead": "false"}
GENEROUS = {
    "function": "refund",
    "part": "credits < 1 OR credits > v_left",
    "instead": "false",
}

GUARDS: dict[str, Guard] = {
    "the account's lock, for charges": Guard(two_charges_at_once, "lost update", **UNLOCKED),
    "the account's lock, for replays": Guard(a_replay_at_once, "UniqueViolation", **UNLOCKED),
    "the account's lock and the key": Guard(
        a_replay_at_once, "charged twice", statement=NO_KEY, **UNLOCKED
    ),
    "the account's lock, for refunds": Guard(refunds_at_once, "CheckViolation", **UNLOCKED),
    "the account's lock and the law of refunds": Guard(
        refunds_at_once, "credits.E006", statement=NO_LAW, **UNLOCKED
    ),
    "looking the key up": Guard(a_replay, "UniqueViolation", **FORGETFUL),
    "looking the key up, and the key": Guard(
        a_replay, "charged twice", statement=NO_KEY, **FORGETFUL
    ),
    "the key": Guard(a_second_row_under_a_key, "credits.E001", statement=NO_KEY),
    "the funds": Guard(
        a_charge_beyond_the_balance,
        "CheckViolation",
        function="deduct",
        part="available < credits",
        instead="false",
    ),
    "the funds of a batch": Guard(
        a_batch_beyond_the_balance,
        "CheckViolation",
        function="deduct_many",
        part="a_free[r.n] < v_cost",
        instead="false",
    ),
    "what is held": Guard(
        a_charge_of_what_is_held,
        "CheckViolation",
        function="deduct",
        part="available := v_account.remaining - v_account.held",
        instead="available := v_account.remaining",
    ),
    "keeping a refusal": Guard(
        a_retry_after_a_top_up,
        "Deducted",
        function="refuse",
        part="VALUES (p_user_id, p_action, p_key,",
        instead="VALUES (p_user_id, p_action, gen_random_uuid()::text,",
    ),
    "what is left to refund": Guard(a_refund_of_too_much, "CheckViolation", **GENEROUS),
    "what is left to refund, and the law": Guard(
        a_refund_of_too_much, "credits.E006", statement=NO_LAW, **GENEROUS
    ),
    "the law of refunds": Guard(a_refund_by_raw_sql, "credits.E006", statement=NO_LAW),
    "a hold's end": Guard(
        a_hold_that_ends_twice,
        "CheckViolation",
        function="capture",
        part="v_hold.state <> 'OPEN' OR v_hold.expires_at <= v_account.at",
        instead="false",
    ),
    "a hold's amount": Guard(
        a_capture_of_more_than_is_held,
        "credits.E005",
        function="capture",
        part="credits < 1 OR credits > v_hold.amount",
        instead="false",
    ),
    "the instant of expiry": Guard(
        an_expired_grant,
        "CheckViolation",
        function="lock_account",
        part="v_due <= at",
        instead="false",
    ),
    "whose account it is": Guard(
        another_s_account,
        "Deducted",
        function="lock_account",
        part="bedplate.context('actor') <> p_user_id::text",
        instead="false",
    ),
    "the order of the locks": Guard(
        batches_in_opposite_orders,
        "Deadlock",
        function="deduct_many",
        part="SELECT DISTINCT q.user_id FROM jsonb_to_recordset(p_requests) AS q (user_id UUID)\n"
        "        ORDER BY q.user_id\n",
        instead="SELECT (q.value ->> 'user_id')::uuid AS user_id"
        " FROM jsonb_array_elements(p_requests) WITH ORDINALITY AS q (value, place)"
        " ORDER BY q.place\n",
        slower="n := n + 1;",
    ),
    "the balance's rule": Guard(
        a_negative_balance,
        "credits.E001",
        statement=";".join(
            ALTER.format("credit_balances", f"ck_credit_balances_{rule}")
            for rule in ("remaining", "held")
        ),
    ),
    "a grant's rule": Guard(
        a_grant_that_is_overdrawn,
        "credits.E003",
        statement=";".join(
            ALTER.format("credit_grants", f"ck_credit_grants_{rule}")
            for rule in ("remaining", "held")
        ),
    ),
    "append only": Guard(
        history_rewritten,
        "credits.E001",
        statement="DROP TRIGGER tr_usage_history_append_only ON credits.usage_history",
    ),
    "the app's privileges": Guard(
        a_balance_set_by_the_app,
        "credits.E001",
        statement="GRANT UPDATE ON credits.credit_balances TO PUBLIC",
    ),
    "the opening's grant": Guard(
        an_account_without_a_grant,
        "credits.E001",
        statement="DROP TRIGGER tr_credit_balances_opening ON credits.credit_balances",
    ),
}


@pytest.mark.parametrize("scenario", {guard.scenario: None for guard in GUARDS.values()})
def test_with_every_guard_the_scenario_holds(world: World, scenario: Scenario) -> None:
    assert world.run(scenario(world)) == set()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GUARDS)
def test_without_the_guard_it_breaks_and_is_seen(world: World, name: str) -> None:
    guard = GUARDS[name]
    guard.take_away(world.clone)
    assert guard.seen in world.run(guard.scenario(world))  # type: ignore[arg-type]
