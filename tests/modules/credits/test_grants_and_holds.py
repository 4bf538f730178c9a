"""Grants burn in their order and expire at their instant; a hold ends once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate import Database
from bedplate.kernel import ids
from bedplate.modules.credits import (
    AmountInvalid,
    Charge,
    Deducted,
    GrantTerms,
    Held,
    HoldOver,
    Refused,
    UnknownHold,
    balance_of,
    capture,
    deduct,
    deduct_many,
    expire_due,
    grant,
    refund,
    release,
    reserve,
)
from bedplate.testing import Clone
from tests.asking import as_owner, ask
from tests.kernel.together import together
from tests.modules.credits.accounts import (
    CHAT,
    assert_lawful,
    counted,
    new_account,
    new_user,
    stored,
)
from tests.world import World

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


async def granted(db: Database, user: UUID, amount: int, key: str, **terms: Any) -> UUID:
    return (await grant(db, user, amount, key=key, terms=GrantTerms(**terms))).grant_id


async def held(db: Database, user: UUID, amount: int, key: str = "h", minutes: int = 15) -> UUID:
    charge = Charge(user_id=user, operation=CHAT, key=key, amount=amount)
    answer = await reserve(db, charge, expires_in=timedelta(minutes=minutes))
    assert isinstance(answer, Held)
    return answer.hold_id


async def spent(db: Database, user: UUID, amount: int, key: str) -> UUID:
    answer = await deduct(db, user, CHAT, key=key, amount=amount)
    assert isinstance(answer, Deducted)
    return answer.usage_id


def left(clone: Clone) -> dict[str, int]:
    """What is left of each grant, by its key."""
    rows = ask(clone, "SELECT key, remaining FROM credits.credit_grants")
    return {str(key): int(remaining) for key, remaining in rows}


def expired(clone: Clone) -> list[tuple[Any, ...]]:
    return ask(
        clone,
        "SELECT g.key, e.amount, e.expired_at FROM credits.credit_expirations e"
        " JOIN credits.credit_grants g ON g.id = e.grant_id ORDER BY e.created_at, e.id",
    )


@pytest.mark.parametrize("many", [False, True])
def test_grants_burn_by_priority_then_expiry_then_age(world: World, many: bool) -> None:
    async def body(db: Database) -> None:
        now = world.clock.freeze()
        user = await new_account(db, 10)
        world.clock.advance(seconds=1)
        await granted(db, user, 10, "younger, never")
        await granted(db, user, 10, "late", expires_at=now + 3 * DAY)
        await granted(db, user, 10, "last", priority=1, expires_at=now + DAY)
        world.clock.advance(seconds=1)
        await granted(db, user, 10, "late, younger", expires_at=now + 3 * DAY)
        await granted(db, user, 10, "soon", expires_at=now + 2 * DAY)
        await granted(db, user, 10, "first", priority=-1)
        order = [
            "first",
            "soon",
            "late",
            "late, younger",
            "bedplate:opening",
            "younger, never",
            "last",
        ]
        charges = [
            Charge(user_id=user, operation=CHAT, key=str(number), amount=5) for number in range(14)
        ]
        for number in range(len(charges)):
            if not many:
                await spent(db, user, 5, str(number))
            elif number % 7 == 0:
                await deduct_many(db, charges[number : number + 7])
            else:
                continue
            done = 5 * (number + (7 if many else 1))
            burned = [min(10, max(0, done - 10 * place)) for place in range(len(order))]
            assert left(world.clone) == {
                key: 10 - part for key, part in zip(order, burned, strict=True)
            }

    world.run(body(world.db))
    assert_lawful(world)


@pytest.mark.parametrize("many", [False, True])
def test_a_grant_is_gone_at_the_exact_instant(world: World, many: bool) -> None:
    async def charge(db: Database, user: UUID, amount: int, key: str) -> Deducted | Refused:
        if not many:
            return await deduct(db, user, CHAT, key=key, amount=amount)
        (answer,) = await deduct_many(
            db, [Charge(user_id=user, operation=CHAT, key=key, amount=amount)]
        )
        return answer

    async def body(db: Database) -> None:
        ends = world.clock.freeze() + DAY
        user = await new_account(db, 10)
        await granted(db, user, 100, "g", expires_at=ends)
        world.clock.set(ends - TICK)
        before = await charge(db, user, 30, "before")
        assert isinstance(before, Deducted)
        assert (await balance_of(db, user)).available == 80
        world.clock.set(ends)
        refused = await charge(db, user, 11, "at")
        assert isinstance(refused, Refused)
        assert refused.available == 10
        assert expired(world.clone) == [("g", 70, ends)]
        after = await charge(db, user, 10, "after")
        assert isinstance(after, Deducted)
        assert stored(world.clone, user) == (0, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_breakage_is_booked_once_by_whoever_comes_first(wide_world: World) -> None:
    db = wide_world.db

    async def prepared() -> list[UUID]:
        ends = wide_world.clock.freeze() + DAY
        accounts = [await new_account(db, 10) for _ in range(4)]
        for user in accounts:
            await granted(db, user, 100, "g", expires_at=ends)
        wide_world.clock.set(ends)
        return accounts

    accounts = wide_world.run(prepared())
    outcomes = together(
        wide_world,
        [expire_due(db) for _ in range(6)]
        + [deduct(db, user, CHAT, key="k", amount=1) for user in accounts],
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [row[:2] for row in expired(wide_world.clone)] == [("g", 100)] * 4
    assert sum(outcome.credits for outcome in outcomes[:6]) <= 400
    for user in accounts:
        assert stored(wide_world.clone, user) == (9, 0)
    assert_lawful(wide_world)


def test_a_refund_goes_back_to_the_grant_that_paid(world: World) -> None:
    async def body(db: Database) -> None:
        now = world.clock.freeze()
        user = await new_account(db, 50)
        await granted(db, user, 10, "soon", expires_at=now + DAY)
        await granted(db, user, 10, "late", expires_at=now + 2 * DAY)
        usage = await spent(db, user, 35, "k")
        assert left(world.clone) == {"soon": 0, "late": 0, "bedplate:opening": 35}
        await refund(db, usage, key="part", amount=20)
        given = left(world.clone)
        assert sum(given.values()) == 55
        world.clock.set(now + DAY)
        rest = await refund(db, usage, key="rest")
        assert rest.credits == 15
        # What goes back to a grant that is over expires in the same call.
        assert left(world.clone) == {"soon": 0, "late": 10, "bedplate:opening": 50}
        assert [row[:2] for row in expired(world.clone)] == [("soon", 10)]
        assert stored(world.clone, user) == (60, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_a_hold_lowers_what_is_available_and_not_the_balance(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        first = await held(db, user, 60)
        balance = await balance_of(db, user)
        assert (balance.credits, balance.held, balance.available) == (100, 60, 40)
        refused = await deduct(db, user, CHAT, key="k", amount=41)
        assert isinstance(refused, Refused)
        assert refused.available == 40
        assert isinstance(
            await reserve(db, Charge(user_id=user, operation=CHAT, key="i", amount=41)), Refused
        )
        done = await capture(db, first, amount=25)
        assert (done.credits_used, done.balance, done.available) == (25, 75, 75)
        assert stored(world.clone, user) == (75, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_a_capture_takes_no_more_than_the_hold(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        hold = await held(db, user, 60)
        before = counted(world.clone)
        for amount in (61, 0, -1, 1.5, True):
            with pytest.raises(AmountInvalid):
                await capture(db, hold, amount=amount)  # type: ignore[arg-type]
        assert counted(world.clone) == before
        assert stored(world.clone, user) == (100, 60)
        assert (await capture(db, hold)).credits_used == 60
        for unknown in (capture(db, ids.new()), release(db, ids.new())):
            with pytest.raises(UnknownHold):
                await unknown

    world.run(body(world.db))
    assert_lawful(world)


def test_a_capture_that_comes_late_is_refused_and_the_credits_are_free(world: World) -> None:
    async def body(db: Database) -> None:
        now = world.clock.freeze()
        user = await new_account(db, 100)
        in_time, late = await held(db, user, 30, "a"), await held(db, user, 60, "b")
        world.clock.set(now + timedelta(minutes=15) - TICK)
        assert (await capture(db, in_time)).balance == 70
        world.clock.set(now + timedelta(minutes=15))
        with pytest.raises(HoldOver):
            await capture(db, late)
        assert (await balance_of(db, user)).available == 70
        assert isinstance(await deduct(db, user, CHAT, key="k", amount=70), Deducted)
        assert set(ask(world.clone, "SELECT key, state FROM credits.credit_holds")) == {
            ("a", "CAPTURED"),
            ("b", "EXPIRED"),
        }

    world.run(body(world.db))
    assert_lawful(world)


def test_capture_release_and_expiry_race_and_each_hold_ends_once(wide_world: World) -> None:
    db = wide_world.db

    async def prepared() -> tuple[UUID, list[UUID]]:
        wide_world.clock.freeze()
        user = await new_account(db, 1_000)
        return user, [
            await held(db, user, 10, str(number), minutes=1 if number % 2 else 60)
            for number in range(12)
        ]

    user, holds = wide_world.run(prepared())
    wide_world.clock.advance(minutes=1)
    outcomes = together(
        wide_world,
        [capture(db, hold, amount=4) for hold in holds]
        + [release(db, hold) for hold in holds]
        + [expire_due(db) for _ in range(6)],
    )
    captured = [outcome for outcome in outcomes[:12] if isinstance(outcome, Deducted)]
    late = [outcome for outcome in outcomes[1:12:2] if isinstance(outcome, HoldOver)]
    assert len(late) == 6
    for failed in outcomes:
        assert not isinstance(failed, Exception) or isinstance(failed, HoldOver)
    assert stored(wide_world.clone, user) == (1_000 - 4 * len(captured), 0)
    assert ask(
        wide_world.clone,
        "SELECT count(*) FILTER (WHERE state = 'EXPIRED'),"
        " count(*) FILTER (WHERE state = 'CAPTURED'), count(*) FILTER (WHERE state = 'OPEN'),"
        " (SELECT count(*) FROM credits.usage_history) FROM credits.credit_holds",
    ) == [(6, len(captured), 0, len(captured))]
    assert_lawful(wide_world)


def test_held_credits_of_a_grant_that_expires_can_still_be_captured(world: World) -> None:
    """They expire when the hold ends: what was promised stays promised, and not a moment longer."""

    async def body(db: Database) -> None:
        now = world.clock.freeze()
        user = await new_account(db, 5)
        await granted(db, user, 100, "g", expires_at=now + timedelta(minutes=5))
        captured, released, over = (
            await held(db, user, 20, "c"),
            await held(db, user, 20, "r"),
            await held(db, user, 20, "o", minutes=30),
        )
        world.clock.advance(minutes=5)
        await expire_due(db)
        assert [row[:2] for row in expired(world.clone)] == [("g", 40)]
        assert (await balance_of(db, user)).available == 5
        assert (await capture(db, captured, amount=15)).credits_used == 15
        await release(db, released)
        world.clock.advance(minutes=25)
        await expire_due(db)
        with pytest.raises(HoldOver):
            await capture(db, over)
        assert sorted(row[1] for row in expired(world.clone)) == [5, 20, 20, 40]
        assert stored(world.clone, user) == (5, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_nothing_expires_twice_and_nothing_else_expires(world: World) -> None:
    async def body(db: Database) -> None:
        now = world.clock.freeze()
        user = await new_account(db, 5)
        await granted(db, user, 100, "g", expires_at=now + DAY)
        world.clock.set(now + DAY - TICK)
        assert (await expire_due(db)).credits == 0
        world.clock.set(now + DAY)
        done = await expire_due(db)
        assert (done.accounts, done.credits) == (1, 100)
        again = await expire_due(db)
        assert (again.accounts, again.credits) == (0, 0)
        world.clock.advance(days=400)
        assert (await expire_due(db)).credits == 0
        assert stored(world.clone, user) == (5, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_an_account_opened_by_plain_sql_has_a_grant_too(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_user(db)
        as_owner(
            world.clone,
            "INSERT INTO credits.credit_balances (id, user_id, credits_remaining)"
            " VALUES (gen_random_uuid(), %s, 70)",
            user,
        )
        assert isinstance(await deduct(db, user, CHAT, key="k", amount=70), Deducted)

    world.run(body(world.db))
    assert_lawful(world)
