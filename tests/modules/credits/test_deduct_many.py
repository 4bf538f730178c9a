"""deduct_many charges what single calls would, and a naive model, in the order given."""

from __future__ import annotations

import random

import pytest

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    Refused,
    deduct,
    deduct_many,
    feature_costs,
    grant,
    refund,
    reserve,
)
from tests.modules.credits.accounts import CHAT, assert_lawful, new_account
from tests.modules.credits.random_requests import Naive, Request, batch, left, prepared, told
from tests.world import World

BATCHES = 12


@pytest.mark.parametrize("seed", range(2))
def test_batches_single_calls_and_lists_agree(world: World, seed: int) -> None:
    async def body(db: Database) -> None:
        chance = random.Random(seed)
        naive = Naive(await feature_costs(db), world.clock.freeze())
        many = await prepared(db, world, naive)
        single = await prepared(db, world, Naive(naive.costs, naive.now))
        sent: dict[tuple[int, str], Request] = {}
        for number in range(BATCHES):
            if number == BATCHES // 2:
                # From here on the grant of one day is over.
                naive.now = world.clock.advance(days=1)
            requests = batch(chance, sent)
            answers = await deduct_many(db, [request.of(many) for request in requests])
            one_by_one: list[Deducted | Refused] = []
            for request in requests:
                one = request.of(single)
                one_by_one.append(
                    await deduct(
                        db,
                        one.user_id,
                        one.operation,
                        key=one.key,
                        amount=one.amount,
                        details=one.details,
                    )
                )
            expected = [naive.deduct(request) for request in requests]
            assert [told(answer) for answer in answers] == expected
            assert [told(answer) for answer in one_by_one] == expected
            assert left(world, many) == left(world, single)
            assert [
                [(lot.remaining, lot.held) for lot in account.lots] for account in naive.accounts
            ] == left(world, many)

    world.run(body(world.db))
    assert_lawful(world)


def test_a_charge_of_a_batch_is_one_like_any_other(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        charges = [Charge(user_id=user, operation=CHAT, key=str(n), amount=10) for n in range(3)]
        answers = await deduct_many(db, charges)
        first = answers[0]
        assert isinstance(first, Deducted)
        assert await deduct(db, user, CHAT, key="0", amount=10) == first
        assert (await refund(db, first.usage_id, key="r")).balance == 80
        assert [type(each) for each in await deduct_many(db, charges[::-1])] == [Deducted] * 3

    world.run(body(world.db))
    assert_lawful(world)


def test_a_large_batch_is_one_round_trip_and_keeps_its_order(world: World) -> None:
    async def body(db: Database) -> None:
        users = [await new_account(db, 1_000) for _ in range(5)]
        charges = [
            Charge(user_id=users[n % 5], operation=CHAT, key=str(n), amount=1 + n % 3)
            for n in range(2_000)
        ]
        before = db.leaf.round_trips
        answers = await deduct_many(db, charges)
        assert db.leaf.round_trips == before + 1
        assert [(each.user_id, told(each)[2]) for each in answers] == [
            (charge.user_id, charge.amount) for charge in charges
        ]
        for user in users:
            left = 1_000
            for answer in answers:
                if answer.user_id == user:
                    assert isinstance(answer, Deducted)
                    left -= answer.credits_used
                    assert answer.balance == left

    world.run(body(world.db))
    assert_lawful(world)


def test_every_verb_is_one_round_trip(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        before = db.leaf.round_trips
        answer = await deduct(db, user, CHAT, key="k", amount=10)
        assert isinstance(answer, Deducted)
        await refund(db, answer.usage_id, key="r")
        await reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=10))
        await grant(db, user, 10, key="g")
        assert db.leaf.round_trips == before + 4

    world.run(body(world.db))


def test_what_is_refused_first_leaves_the_other_answers_in_their_places(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        amounts = [500, 600, 30, 700, 20]
        charges = [
            Charge(user_id=user, operation=CHAT, key=f"k{place}", amount=amount)
            for place, amount in enumerate(amounts)
        ]
        answers = await deduct_many(db, charges)
        assert [type(answer) for answer in answers] == [
            Refused,
            Refused,
            Deducted,
            Refused,
            Deducted,
        ]
        for charge, answer in zip(charges, answers, strict=True):
            assert charge.amount is not None
            again = await deduct(db, user, CHAT, key=charge.key, amount=charge.amount)
            assert (again, again.replayed) == (answer, True)

    world.run(body(world.db))
    assert_lawful(world)
