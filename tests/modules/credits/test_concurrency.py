"""Many clients at once: no credit is spent twice, none is lost, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    HoldOver,
    InsufficientCredits,
    Refused,
    balance_of,
    capture,
    deduct,
    deduct_many,
    deduct_or_raise,
    grant,
    refund,
    release,
    reserve,
)
from tests.asking import ask
from tests.kernel.together import together
from tests.modules.credits.accounts import (
    CHAT,
    IMAGE,
    assert_lawful,
    counted,
    new_account,
    stored,
    until_somebody_waits,
)
from tests.world import CLIENTS, World

COST = 10


@pytest.mark.parametrize("tries", [400, pytest.param(10_000, marks=pytest.mark.full)])
def test_of_the_tries_of_32_clients_exactly_those_succeed_that_the_balance_allows(
    wide_world: World, tries: int
) -> None:
    user = wide_world.run(new_account(wide_world.db, 1_000))
    databases = [wide_world.db, wide_world.other_db()]
    seen: list[int] = []

    async def client(number: int) -> list[Deducted | Refused]:
        db = databases[number % 2]
        return [
            await deduct(db, user, CHAT, key=f"{number}-{each}", amount=COST)
            for each in range(number, tries, CLIENTS)
        ]

    async def onlooker(db: Database) -> None:
        for _ in range(50):
            seen.append((await balance_of(db, user)).credits)

    *outcomes, _ = together(
        wide_world, [*(client(number) for number in range(CLIENTS)), onlooker(databases[1])]
    )
    answers = [answer for outcome in outcomes for answer in outcome]
    charged = [answer for answer in answers if isinstance(answer, Deducted)]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert (len(charged), len(refused)) == (100, tries - 100)
    assert sorted(answer.balance for answer in charged) == list(range(0, 1_000, COST))
    assert {(answer.needed, answer.available) for answer in refused} == {(COST, 0)}
    assert stored(wide_world.clone, user) == (0, 0)
    assert min(seen, default=0) >= 0
    assert seen == sorted(seen, reverse=True)
    assert_lawful(wide_world)


def test_who_is_refused_can_have_it_raised(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 25)
        assert (await deduct_or_raise(db, user, CHAT, key="1", amount=20)).balance == 5
        with pytest.raises(InsufficientCredits) as refused:
            await deduct_or_raise(db, user, CHAT, key="2", amount=20)
        assert (refused.value.balance, refused.value.needed) == (5, 20)
        assert stored(world.clone, user) == (5, 0)

    world.run(body(world.db))


@pytest.mark.parametrize("commits", [True, False])
def test_a_charge_that_waits_sees_the_grant_that_was_made_meanwhile(
    world: World, commits: bool
) -> None:
    user = world.run(new_account(world.db, 5))
    other = world.other_db()
    locked: list[bool] = []

    async def grantor(db: Database) -> None:
        tx = db.transaction()
        try:
            async with tx:
                await grant(tx, user, 1, key="first")
                locked.append(True)
                await until_somebody_waits(db, world.clone)
                await grant(tx, user, 100, key="second")
                if not commits:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass

    async def spender(db: Database) -> Deducted | Refused:
        while not locked:
            await db.leaf.sleep(0.005)
        return await deduct(db, user, CHAT, key="k", amount=50)

    _, answer = together(world, [grantor(world.db), spender(other)])
    if commits:
        assert isinstance(answer, Deducted)
        assert answer.balance == 56
    else:
        assert isinstance(answer, Refused)
        assert answer.available == 5
    assert_lawful(world)


def test_batches_over_the_same_accounts_in_opposite_orders_never_block_one_another(
    wide_world: World,
) -> None:
    async def made(db: Database) -> list[UUID]:
        return [await new_account(db, 1_000) for _ in range(6)]

    accounts = wide_world.run(made(wide_world.db))

    async def client(number: int) -> list[Deducted | Refused]:
        answers: list[Deducted | Refused] = []
        for turn in range(5):
            order = accounts if (number + turn) % 2 else accounts[::-1]
            charges = [
                Charge(user_id=user, operation=CHAT, key=f"{number}-{turn}-{place}", amount=2)
                for place, user in enumerate([*order, *order])
            ]
            answers += await deduct_many(wide_world.db, charges)
        return answers

    outcomes = together(wide_world, [client(number) for number in range(8)])
    assert [type(outcome) for outcome in outcomes] == [list] * 8
    assert {type(answer) for outcome in outcomes for answer in outcome} == {Deducted}
    for user in accounts:
        assert stored(wide_world.clone, user) == (1_000 - 8 * 5 * 2 * 2, 0)
    assert_lawful(wide_world)


def test_batches_and_single_charges_share_one_balance(wide_world: World) -> None:
    user = wide_world.run(new_account(wide_world.db, 500))

    async def batch(number: int) -> list[Deducted | Refused]:
        return await deduct_many(
            wide_world.db,
            [
                Charge(user_id=user, operation=CHAT, key=f"b{number}-{each}", amount=3)
                for each in range(30)
            ],
        )

    async def single(number: int) -> list[Deducted | Refused]:
        return [
            await deduct(wide_world.db, user, IMAGE, key=f"s{number}-{each}", amount=7)
            for each in range(15)
        ]

    outcomes = together(wide_world, [*map(batch, range(6)), *map(single, range(6))])
    charged = [
        answer.credits_used
        for outcome in outcomes
        for answer in outcome
        if isinstance(answer, Deducted)
    ]
    assert stored(wide_world.clone, user) == (500 - sum(charged), 0)
    assert sum(charged) > 500 - 7
    assert_lawful(wide_world)


def test_a_batch_charges_what_single_calls_would(world: World) -> None:
    """The same requests, all at once and one by one: equal answers, equal rows."""
    requests = [
        (0, 40, "a"),
        (1, 30, "a"),
        (0, 70, "b"),  # refused: 60 are left
        (0, 40, "a"),  # a replay within the batch
        (1, 70, "b"),
        (1, 1, "c"),  # refused: nothing is left
        (0, 60, "c"),
        (0, 70, "b"),  # the replay of a refusal
    ]

    def charge(users: list[UUID], request: tuple[int, int, str]) -> Charge:
        place, amount, key = request
        return Charge(user_id=users[place], operation=CHAT, key=key, amount=amount)

    def told(users: list[UUID], answers: list[Deducted | Refused]) -> list[Any]:
        return [
            (
                users.index(answer.user_id),
                answer.replayed,
                answer.available,
                (answer.credits_used, answer.balance)
                if isinstance(answer, Deducted)
                else answer.needed,
            )
            for answer in answers
        ]

    async def body(db: Database) -> None:
        batch = [await new_account(db, 100), await new_account(db, 100)]
        alone = [await new_account(db, 100), await new_account(db, 100)]
        before = counted(world.clone)
        at_once = await deduct_many(db, [charge(batch, request) for request in requests])
        between = counted(world.clone)
        one_by_one = [
            await deduct(db, one.user_id, one.operation, key=one.key, amount=one.amount)
            for one in (charge(alone, request) for request in requests)
        ]
        after = counted(world.clone)
        assert told(batch, at_once) == told(alone, one_by_one)
        assert [answer.replayed for answer in at_once] == [False] * 3 + [True] + [False] * 3 + [
            True
        ]
        # How a batch is told in the audit log is its own; what it stores is not.
        for table in between.keys() - {"credits.audit_logs"}:
            once, twice = between[table] - before[table], after[table] - between[table]
            assert once == twice, table
        again = await deduct_many(db, [charge(batch, request) for request in requests])
        assert again == at_once
        assert all(answer.replayed for answer in again)
        assert counted(world.clone) == after

    world.run(body(world.db))
    assert_lawful(world)


def test_all_verbs_at_once_leave_every_law_standing(wide_world: World) -> None:
    users = [wide_world.run(new_account(wide_world.db, 200)) for _ in range(3)]
    db = wide_world.db

    async def charging(user: UUID, name: str) -> None:
        for number in range(8):
            answer = await deduct(db, user, CHAT, key=f"{name}-{number}", amount=7)
            if isinstance(answer, Deducted) and number % 2:
                await refund(db, answer.usage_id, key=f"{name}-{number}", amount=3)

    async def holding(user: UUID, name: str) -> None:
        for number in range(8):
            held = await reserve(
                db,
                Charge(user_id=user, operation=IMAGE, key=f"{name}-{number}", amount=9),
                expires_in=timedelta(minutes=1),
            )
            if isinstance(held, Refused):
                continue
            await (capture(db, held.hold_id, amount=5) if number % 2 else release(db, held.hold_id))

    async def granting(user: UUID, name: str) -> None:
        for number in range(8):
            await grant(db, user, 2, key=f"{name}-{number}")

    kinds: list[Callable[[UUID, str], Coroutine[Any, Any, None]]] = [charging, holding, granting]
    outcomes = together(
        wide_world,
        [kind(user, f"{each}") for user in users for kind in kinds for each in range(3)],
    )
    # Two of a kind share their keys' names between kinds, never within one: nothing may fail.
    assert [outcome for outcome in outcomes if outcome is not None] == []
    assert_lawful(wide_world)
    for user in users:
        assert stored(wide_world.clone, user)[1] == 0


def test_each_hold_ends_once_whoever_races_for_it(wide_world: World) -> None:
    user = wide_world.run(new_account(wide_world.db, 1_000))
    db = wide_world.db

    async def held(number: int) -> UUID:
        answer = await reserve(db, Charge(user_id=user, operation=CHAT, key=str(number), amount=10))
        assert not isinstance(answer, Refused)
        return answer.hold_id

    holds = [wide_world.run(held(number)) for number in range(12)]
    assert stored(wide_world.clone, user) == (1_000, 120)
    outcomes = together(
        wide_world,
        [
            end
            for number, hold in enumerate(holds)
            for end in (release(db, hold), capture(db, hold, amount=1 + number % 10))
        ],
    )
    for released, captured in zip(outcomes[::2], outcomes[1::2], strict=True):
        assert [type(released), type(captured)].count(HoldOver) == 1
    used = sum(each.credits_used for each in outcomes if isinstance(each, Deducted))
    assert stored(wide_world.clone, user) == (1_000 - used, 0)
    states = ask(wide_world.clone, "SELECT state, usage_id IS NULL FROM credits.credit_holds")
    assert set(states) <= {("RELEASED", True), ("CAPTURED", False)}
    assert_lawful(wide_world)
