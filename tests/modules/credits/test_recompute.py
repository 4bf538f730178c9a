"""History alone says what an account has, and had: the same as a naive model of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    GrantTerms,
    Held,
    HoldOver,
    Refunded,
    RefundRefused,
    balance_of,
    capture,
    deduct,
    expire_due,
    grant,
    refund,
    release,
    reserve,
    statement,
)
from tests.asking import ask
from tests.modules.credits.accounts import CHAT, assert_lawful, new_account, stored
from tests.modules.credits.naive_model import NEVER, Account
from tests.world import World

OPENING = 50
RECOUNTED = """
SELECT (SELECT coalesce(sum(amount), 0) FROM credits.credit_grants WHERE credit_balance_id = b.id)
     - (SELECT coalesce(sum(credits_used), 0) FROM credits.usage_history
        WHERE credit_balance_id = b.id)
     - (SELECT coalesce(sum(amount), 0) FROM credits.credit_expirations
        WHERE credit_balance_id = b.id)
FROM credits.credit_balances b WHERE user_id = %s
"""

amounts = st.integers(1, 40)
hours = st.integers(1, 40)
places = st.integers(0, 20)
verbs = st.one_of(
    st.tuples(st.just("grant"), amounts, st.none() | hours, st.integers(0, 2)),
    st.tuples(st.just("deduct"), amounts),
    st.tuples(st.just("refund"), st.none() | amounts, places),
    st.tuples(st.just("reserve"), amounts, hours),
    st.tuples(st.just("capture"), st.none() | amounts, places),
    st.tuples(st.just("release"), places),
    st.tuples(st.just("expire")),
)
# Mostly little time passes, so that much is alive at once; now and then much does.
pauses = st.sampled_from([0, 0, 0, 1, 1, 5, 20, 60])


@dataclass
class Both:
    """The real account and the model of it, led through the same verbs."""

    world: World
    user: UUID
    model: Account = field(default_factory=Account)
    usages: list[UUID] = field(default_factory=list[UUID])
    holds: list[UUID] = field(default_factory=list[UUID])
    asked: int = 0

    @property
    def db(self) -> Database:
        return self.world.db

    async def do(self, verb: tuple[Any, ...]) -> None:
        """Do it to both; they must agree on whether it is done."""
        self.asked += 1
        await getattr(self, verb[0])(self.world.clock.now, f"key {self.asked}", *verb[1:])

    async def grant(
        self, now: datetime, key: str, amount: int, after: int | None, priority: int
    ) -> None:
        expires = None if after is None else now + timedelta(hours=after)
        terms = GrantTerms(priority=priority, expires_at=expires)
        await grant(self.db, self.user, amount, key=key, terms=terms)
        self.model.grant(now, amount, priority, expires or NEVER)

    async def deduct(self, now: datetime, key: str, amount: int) -> None:
        answer = await deduct(self.db, self.user, CHAT, key=key, amount=amount)
        assert isinstance(answer, Deducted) is self.model.deduct(now, amount), answer
        if isinstance(answer, Deducted):
            self.usages.append(answer.usage_id)

    async def refund(self, now: datetime, key: str, amount: int | None, place: int) -> None:
        if not self.usages:
            return
        place %= len(self.usages)
        usage = self.model.usages[place]
        done = self.model.refund(now, usage, amount or sum(usage.parts.values()))
        try:
            answer = await refund(self.db, self.usages[place], key=key, amount=amount)
        except RefundRefused:
            assert not done
        else:
            assert isinstance(answer, Refunded)
            assert done

    async def reserve(self, now: datetime, key: str, amount: int, after: int) -> None:
        charge = Charge(user_id=self.user, operation=CHAT, key=key, amount=amount)
        lasting = timedelta(hours=after)
        answer = await reserve(self.db, charge, expires_in=lasting)
        assert isinstance(answer, Held) is self.model.reserve(now, amount, now + lasting), answer
        if isinstance(answer, Held):
            self.holds.append(answer.hold_id)

    async def capture(self, now: datetime, key: str, amount: int | None, place: int) -> None:
        if not self.holds:
            return
        place %= len(self.holds)
        hold = self.model.holds[place]
        whole = sum(part for _, part in hold.parts)
        if not hold.is_open:
            return  # Replays and conflicts are tried elsewhere.
        amount = None if amount is None else min(amount, whole)
        done = self.model.capture(now, hold, amount or whole)
        try:
            answer = await capture(self.db, self.holds[place], amount=amount)
        except HoldOver:
            assert not done
        else:
            assert done
            self.usages.append(answer.usage_id)

    async def release(self, now: datetime, key: str, place: int) -> None:
        if self.holds and self.model.holds[place % len(self.holds)].is_open:
            place %= len(self.holds)
            self.model.release(now, self.model.holds[place])
            await release(self.db, self.holds[place])

    async def expire(self, now: datetime, key: str) -> None:
        await expire_due(self.db)
        self.model.settle(now)


async def compare(both: Both, moments: list[datetime]) -> None:
    """What is stored, what history says and what the model says are one."""
    world, user, model = both.world, both.user, both.model
    assert stored(world.clone, user) == (model.credits, model.held)
    assert ask(world.clone, RECOUNTED, user)[0][0] == model.credits
    now = await balance_of(both.db, user)
    assert (now.credits, now.held) == (model.credits, model.held)
    assert now.available == model.credits - model.held
    for moment in moments:
        then = await balance_of(both.db, user, at=moment)
        assert then.credits == model.credits_at(moment), moment


async def halve(both: Both, moments: list[datetime]) -> None:
    """A statement of two halves is the statement of the whole, wherever it is cut."""
    since, until = moments[0], moments[-1]
    whole = await statement(both.db, both.user, since=since, until=until)
    assert whole.opening + sum(each.amount for each in whole.entries) == whole.closing
    for cut in moments:
        first = await statement(both.db, both.user, since=since, until=cut)
        second = await statement(both.db, both.user, since=cut, until=until)
        assert (first.opening, second.closing) == (whole.opening, whole.closing)
        assert first.closing == second.opening
        assert (*first.entries, *second.entries) == tuple(whole.entries)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    # Every example has an account of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.tuples(pauses, verbs), min_size=1, max_size=20))
def test_history_alone_says_what_an_account_has_and_had(
    world: World, steps: list[tuple[int, tuple[Any, ...]]]
) -> None:
    clock = world.clock
    if clock.now < datetime(2100, 1, 1, tzinfo=UTC):
        clock.set(datetime(2100, 1, 1, tzinfo=UTC))

    async def body() -> None:
        both = Both(world, await new_account(both_db, OPENING))
        both.model.grant(clock.now, OPENING, 0, NEVER)
        moments = [clock.now]
        for pause, verb in steps:
            # No two happen at one moment, so that "as of" has one answer.
            clock.advance(hours=pause, seconds=1)
            await both.do(verb)
            moments += [clock.now, clock.now + timedelta(milliseconds=500)]
        clock.advance(hours=1)
        both.model.settle(clock.now)
        await expire_due(both.db)
        moments.append(clock.now)
        await compare(both, moments)
        await halve(both, moments[:: max(1, len(moments) // 8)] + moments[-1:])

    both_db = world.db
    world.run(body())
    assert_lawful(world)
