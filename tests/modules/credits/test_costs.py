"""What a charge costs is read inside the call and stored: changes never touch what is charged."""

from __future__ import annotations

from typing import Any

import pytest

from bedplate import Database, errors
from bedplate.modules.credits import (
    AmountInvalid,
    Charge,
    CostUnknown,
    Deducted,
    Held,
    OperationType,
    RefundRefused,
    Refused,
    capture,
    deduct,
    deduct_many,
    feature_costs,
    refund,
    release,
    reserve,
    set_feature_costs,
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
from tests.world import World


def test_a_configured_cost_overrides_the_code_s_and_is_stored(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 1_000)
        defaults = await feature_costs(db)
        first = await deduct(db, user, CHAT, key="1")
        assert isinstance(first, Deducted)
        assert first.credits_used == defaults[CHAT]
        await set_feature_costs(db, {CHAT: 17})
        assert await feature_costs(db) == {**defaults, CHAT: 17}
        second = await deduct(db, user, CHAT, key="2")
        (third,) = await deduct_many(db, [Charge(user_id=user, operation=CHAT, key="3")])
        held = await reserve(db, Charge(user_id=user, operation=CHAT, key="4"))
        assert isinstance(second, Deducted)
        assert isinstance(third, Deducted)
        assert isinstance(held, Held)
        assert (second.credits_used, third.credits_used, held.amount) == (17, 17, 17)
        await set_feature_costs(db, {CHAT: 40})
        # What is already priced keeps its price: a replay, a capture, a refund.
        assert await deduct(db, user, CHAT, key="2") == second
        assert (await capture(db, held.hold_id)).credits_used == 17
        assert (await refund(db, second.usage_id, key="r")).credits == 17
        assert sorted(ask(world.clone, "SELECT credits_used FROM credits.usage_history")) == sorted(
            [(defaults[CHAT],), (17,), (17,), (17,), (-17,)]
        )

    world.run(body(world.db))
    assert_lawful(world)


def test_a_charge_that_waits_is_priced_when_its_turn_comes(world: World) -> None:
    """The cost is read under the account's lock: one charge has one price, old or new."""
    user = world.run(new_account(world.db, 1_000))
    other = world.other_db()
    locked: list[bool] = []

    async def admin(db: Database) -> None:
        await set_feature_costs(db, {CHAT: 10})
        async with db.transaction() as tx:
            await deduct(tx, user, IMAGE, key="lock", amount=1)
            locked.append(True)
            await until_somebody_waits(db, world.clone)
            await set_feature_costs(tx, {CHAT: 30})

    async def spender(db: Database) -> Any:
        while not locked:
            await db.leaf.sleep(0.005)
        return await deduct(db, user, CHAT, key="k")

    failed, answer = together(world, [admin(world.db), spender(other)])
    assert failed is None
    assert isinstance(answer, Deducted)
    assert answer.credits_used == 30
    assert ask(
        world.clone, "SELECT credits_used, is_priced FROM credits.usage_history WHERE key = 'k'"
    ) == [(30, True)]
    assert stored(world.clone, user) == (969, 0)


def test_costs_that_change_under_way_leave_each_row_with_one_price(wide_world: World) -> None:
    db = wide_world.db
    user = wide_world.run(new_account(db, 10_000))

    async def admin() -> None:
        for number in range(20):
            await set_feature_costs(db, {CHAT: 10 if number % 2 else 20})

    async def client(number: int) -> list[Deducted | Refused]:
        return [await deduct(db, user, CHAT, key=f"{number}-{each}") for each in range(15)]

    wide_world.run(set_feature_costs(db, {CHAT: 10}))
    _, *outcomes = together(wide_world, [admin(), *map(client, range(8))])
    answers = [answer for outcome in outcomes for answer in outcome]
    assert {answer.credits_used for answer in answers} <= {10, 20}
    assert stored(wide_world.clone, user) == (
        10_000 - sum(answer.credits_used for answer in answers),
        0,
    )
    assert_lawful(wide_world)


def test_an_operation_without_a_cost_needs_an_amount(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        without = [each for each in OperationType if each not in await feature_costs(db)]
        assert OperationType.ADMIN_ADJUSTMENT in without
        before = counted(world.clone)
        for operation in without:
            charge = Charge(user_id=user, operation=operation, key="k")
            for asked in (
                deduct(db, user, operation, key="k"),
                deduct_many(db, [charge]),
                reserve(db, charge),
            ):
                with pytest.raises(CostUnknown):
                    await asked
        assert counted(world.clone) == before
        done = await deduct(db, user, OperationType.ADMIN_ADJUSTMENT, key="k", amount=3)
        assert isinstance(done, Deducted)

    world.run(body(world.db))


def test_a_free_operation_is_reserved_captured_and_released(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 0)
        await set_feature_costs(db, {CHAT: 0})
        charged = await deduct(db, user, CHAT, key="k")
        assert isinstance(charged, Deducted)
        holds = []
        for key in ("taken", "freed"):
            held = await reserve(db, Charge(user_id=user, operation=CHAT, key=key))
            assert isinstance(held, Held)
            assert (held.amount, held.available) == (0, 0)
            holds.append(held.hold_id)
        with pytest.raises(AmountInvalid):
            await capture(db, holds[0], amount=1)
        taken = await capture(db, holds[0])
        assert (taken.credits_used, taken.balance) == (0, 0)
        assert await capture(db, holds[0]) == taken
        freed = await release(db, holds[1])
        assert (freed.credits, freed.balance) == (0, 0)
        with pytest.raises(RefundRefused):
            await refund(db, taken.usage_id, key="r")
        assert stored(world.clone, user) == (0, 0)

    world.run(body(world.db))
    assert_lawful(world)


@pytest.mark.parametrize("cost", [-1, True, 1.5, "7", None, 10**10])
def test_a_cost_that_is_none_is_refused(world: World, cost: Any) -> None:
    async def body(db: Database) -> None:
        before = await feature_costs(db)
        with pytest.raises(AmountInvalid):
            await set_feature_costs(db, {IMAGE: cost})
        with pytest.raises(errors.BedplateError):
            await set_feature_costs(db, {"NO_SUCH": 1})  # type: ignore[dict-item]
        assert await feature_costs(db) == before

    world.run(body(world.db))
