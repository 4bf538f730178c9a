"""deduct_many charges what single calls would, and a naive model, in the order given."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    GrantTerms,
    OperationType,
    Refused,
    deduct,
    deduct_many,
    feature_costs,
    grant,
    refund,
    reserve,
)
from tests.asking import ask
from tests.modules.credits.accounts import CHAT, IMAGE, assert_lawful, new_account
from tests.modules.credits.naive_model import NEVER, Account
from tests.world import World

ACCOUNTS = 3
BATCHES = 12
OPERATIONS = (CHAT, IMAGE, OperationType.PROJECT_CREATION)

Told = tuple[bool, bool, int, int]
"""Whether charged, whether replayed, of how much, and what is available then."""


@dataclass(frozen=True)
class Request:
    account: int
    operation: OperationType
    key: str
    amount: int | None

    def of(self, users: list[UUID]) -> Charge:
        return Charge(
            user_id=users[self.account],
            operation=self.operation,
            key=self.key,
            amount=self.amount,
            details={"n": self.key},
        )


@dataclass
class Naive:
    """The accounts as lists and loops, and the answers that were given under each key."""

    costs: dict[OperationType, int]
    now: datetime
    accounts: list[Account] = field(default_factory=lambda: [Account() for _ in range(ACCOUNTS)])
    answers: dict[tuple[int, str], Told] = field(default_factory=dict[tuple[int, str], Told])

    def deduct(self, request: Request) -> Told:
        place = (request.account, request.key)
        if place in self.answers:
            charged, _, amount, available = self.answers[place]
            return charged, True, amount, available
        account = self.accounts[request.account]
        amount = request.amount or self.costs[request.operation]
        charged = account.deduct(self.now, amount)
        self.answers[place] = (charged, False, amount, account.credits - account.held)
        return self.answers[place]


def told(answer: Deducted | Refused) -> Told:
    if isinstance(answer, Deducted):
        return True, answer.replayed, answer.credits_used, answer.available
    return False, answer.replayed, answer.needed, answer.available


def batch(chance: random.Random, sent: dict[tuple[int, str], Request]) -> list[Request]:
    """Some requests: new ones, ones that were sent before, and the same ones twice."""
    made: list[Request] = []
    for _ in range(chance.randint(1, 12)):
        request = Request(
            account=chance.randrange(ACCOUNTS),
            operation=chance.choice(OPERATIONS),
            key=str(chance.randrange(60)),
            amount=chance.choice([None, 1, 7, 30]),
        )
        made.append(sent.setdefault((request.account, request.key), request))
    return made


async def prepared(db: Database, world: World, naive: Naive) -> list[UUID]:
    """Accounts alike to the model's, with grants, a hold and a grant that is over."""
    users: list[UUID] = []
    for account in naive.accounts:
        user = await new_account(db, 100)
        account.grant(naive.now, 100, 0, NEVER)
        for number, (amount, priority, days) in enumerate(((40, 1, 5), (30, -1, 9), (20, 0, 1))):
            ends = naive.now + timedelta(days=days)
            terms = GrantTerms(priority=priority, expires_at=ends)
            await grant(db, user, amount, key=str(number), terms=terms)
            account.grant(naive.now, amount, priority, ends)
        await reserve(
            db,
            Charge(user_id=user, operation=CHAT, key="h", amount=35),
            expires_in=timedelta(days=30),
        )
        account.reserve(naive.now, 35, naive.now + timedelta(days=30))
        users.append(user)
    return users


def left(world: World, users: list[UUID]) -> list[Any]:
    """What the accounts and their grants have left, in burn order."""
    return [
        ask(
            world.clone,
            "SELECT g.remaining, g.held FROM credits.credit_grants g"
            " JOIN credits.credit_balances b ON b.id = g.credit_balance_id WHERE b.user_id = %s"
            " ORDER BY g.priority, g.expires_at, g.created_at, g.id",
            user,
        )
        for user in users
    ]


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
