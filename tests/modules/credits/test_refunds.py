"""Refunds: of a charge, never of more than it took, and never of a refund."""

from __future__ import annotations

from uuid import UUID

import pytest

from bedplate import Database, errors
from bedplate.kernel import ids
from bedplate.modules.credits import (
    AmountInvalid,
    Charge,
    Deducted,
    Held,
    Refunded,
    RefundRefused,
    UnknownUsage,
    capture,
    deduct,
    refund,
    reserve,
)
from tests.asking import ask
from tests.kernel.together import together
from tests.modules.credits.accounts import CHAT, assert_lawful, counted, new_account, stored
from tests.world import World


async def charged(db: Database, user: UUID, amount: int, key: str = "k") -> UUID:
    answer = await deduct(db, user, CHAT, key=key, amount=amount)
    assert isinstance(answer, Deducted)
    return answer.usage_id


def test_a_refund_is_a_negative_row_that_names_its_charge(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        usage = await charged(db, user, 30)
        answer = await refund(db, usage, key="r", amount=10, details={"why": "slow"})
        assert (answer.refund_of, answer.credits, answer.balance) == (usage, 10, 80)
        assert ask(
            world.clone,
            "SELECT credits_used, refund_of, action, user_id, operation_type::text, details"
            " FROM credits.usage_history WHERE id = %s",
            answer.usage_id,
        ) == [(-10, usage, "refund", user, CHAT.value, {"why": "slow"})]
        rest = await refund(db, usage, key="rest")
        assert (rest.credits, rest.balance) == (20, 100)

    world.run(body(world.db))
    assert_lawful(world)


def test_partial_refunds_at_once_never_exceed_the_charge(wide_world: World) -> None:
    db = wide_world.db
    user = wide_world.run(new_account(db, 1_000))
    usage = wide_world.run(charged(db, user, 100))
    outcomes = together(
        wide_world, [refund(db, usage, key=str(number), amount=7) for number in range(32)]
    )
    done = [outcome for outcome in outcomes if isinstance(outcome, Refunded)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RefundRefused)]
    assert (len(done), len(refused)) == (14, 18)
    assert stored(wide_world.clone, user) == (900 + 14 * 7, 0)
    assert wide_world.run(refund(db, usage, key="rest")).credits == 2
    assert stored(wide_world.clone, user) == (1_000, 0)
    assert_lawful(wide_world)


def test_of_many_who_refund_the_whole_charge_one_does(wide_world: World) -> None:
    db = wide_world.db
    user = wide_world.run(new_account(db, 1_000))
    usage = wide_world.run(charged(db, user, 100))
    outcomes = together(wide_world, [refund(db, usage, key=str(each)) for each in range(16)])
    assert [type(outcome) for outcome in outcomes].count(Refunded) == 1
    assert [type(outcome) for outcome in outcomes].count(RefundRefused) == 15
    assert stored(wide_world.clone, user) == (1_000, 0)


def test_what_cannot_be_refunded_is_refused_and_changes_nothing(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        usage = await charged(db, user, 30)
        done = await refund(db, usage, key="r", amount=10)
        before = counted(world.clone)
        with pytest.raises(RefundRefused):
            await refund(db, usage, key="s", amount=21)
        with pytest.raises(RefundRefused):
            await refund(db, done.usage_id, key="t", amount=1)
        with pytest.raises(UnknownUsage):
            await refund(db, ids.new(), key="u", amount=1)
        for amount in (0, -1, True, 1.0, 10**12):
            with pytest.raises(AmountInvalid):
                await refund(db, usage, key="v", amount=amount)  # type: ignore[arg-type]
        assert counted(world.clone) == before
        await refund(db, usage, key="w")
        with pytest.raises(RefundRefused):
            await refund(db, usage, key="x")
        assert stored(world.clone, user) == (100, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_a_refused_refund_leaves_the_transaction_going(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        async with db.transaction() as tx:
            answer = await deduct(tx, user, CHAT, key="k", amount=30)
            assert isinstance(answer, Deducted)
            with pytest.raises(RefundRefused):
                await refund(tx, answer.usage_id, key="r", amount=31)
            await refund(tx, answer.usage_id, key="r", amount=30)
        assert stored(world.clone, user) == (100, 0)

    world.run(body(world.db))


def test_a_captured_hold_is_refunded_like_any_charge(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        held = await reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=30))
        assert isinstance(held, Held)
        done = await capture(db, held.hold_id, amount=20)
        with pytest.raises(RefundRefused):
            await refund(db, done.usage_id, key="r", amount=21)
        assert (await refund(db, done.usage_id, key="s", amount=20)).balance == 100

    world.run(body(world.db))
    assert_lawful(world)


def test_a_user_deletes_no_history(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        usage = await charged(db, user, 30)
        for statement in (
            "DELETE FROM credits.usage_history",
            "UPDATE credits.usage_history SET credits_used = 0",
        ):
            with pytest.raises(errors.PermissionDenied):
                await db.execute((statement.encode(), ()))
        assert (await refund(db, usage, key="r")).credits == 30

    world.run(body(world.db))
