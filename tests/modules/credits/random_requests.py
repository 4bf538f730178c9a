"""Requests by chance, and what a naive model says of them: lists and loops, one after another."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    GrantTerms,
    OperationType,
    Refused,
    grant,
    reserve,
)
from tests.asking import ask
from tests.modules.credits.accounts import CHAT, IMAGE, new_account
from tests.modules.credits.naive_model import NEVER, Account
from tests.world import World

ACCOUNTS = 3
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
