"""A key is charged once, whoever sends it how often; another request under it is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate import Database, errors
from bedplate.kernel.idempotency import KEEP
from bedplate.modules.credits import (
    Charge,
    Deducted,
    Granted,
    Held,
    Refunded,
    Refused,
    capture,
    deduct,
    deduct_many,
    grant,
    refund,
    release,
    reserve,
    set_feature_costs,
)
from tests.asking import ask
from tests.kernel.together import together
from tests.modules.credits.accounts import CHAT, IMAGE, assert_lawful, counted, new_account, stored
from tests.world import World

REQUESTS = 50


def test_one_key_replayed_fifty_times_at_once_is_charged_once(wide_world: World) -> None:
    user = wide_world.run(new_account(wide_world.db, 1_000))
    databases = [wide_world.db, wide_world.other_db()]
    outcomes = together(
        wide_world,
        [
            deduct(databases[number % 2], user, CHAT, key="k", amount=10, details={"page": 1})
            for number in range(REQUESTS)
        ],
    )
    assert {type(outcome) for outcome in outcomes} == {Deducted}
    assert outcomes == [outcomes[0]] * REQUESTS
    assert [outcome.replayed for outcome in outcomes].count(False) == 1
    assert ask(wide_world.clone, "SELECT count(*) FROM credits.usage_history") == [(1,)]
    assert stored(wide_world.clone, user) == (990, 0)
    assert_lawful(wide_world)


def test_one_refused_key_replayed_fifty_times_at_once_is_refused_by_one_answer(
    wide_world: World,
) -> None:
    user = wide_world.run(new_account(wide_world.db, 5))
    outcomes = together(
        wide_world,
        [deduct(wide_world.db, user, CHAT, key="k", amount=10) for _ in range(REQUESTS)],
    )
    assert {type(outcome) for outcome in outcomes} == {Refused}
    assert outcomes == [outcomes[0]] * REQUESTS
    assert [outcome.replayed for outcome in outcomes].count(False) == 1
    assert counted(wide_world.clone)["bedplate.idempotency_keys"] == 1


def test_of_two_requests_that_race_under_one_key_one_is_charged(wide_world: World) -> None:
    user = wide_world.run(new_account(wide_world.db, 1_000))
    outcomes = together(
        wide_world,
        [
            deduct(wide_world.db, user, CHAT, key="k", amount=10 + number % 2)
            for number in range(REQUESTS)
        ],
    )
    charged = [each for each in outcomes if isinstance(each, Deducted)]
    conflicts = [each for each in outcomes if isinstance(each, errors.IdempotencyConflict)]
    assert (len(charged), len(conflicts)) == (REQUESTS // 2, REQUESTS // 2)
    assert charged == [charged[0]] * (REQUESTS // 2)
    assert stored(wide_world.clone, user) == (1_000 - charged[0].credits_used, 0)


def test_a_key_used_for_another_request_is_a_conflict_and_changes_nothing(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 1_000)
        first = await deduct(db, user, CHAT, key="k", amount=10, details={"a": 1, "b": [2]})
        before = counted(world.clone)
        others: list[dict[str, Any]] = [
            {"operation": CHAT, "amount": 11, "details": {"a": 1, "b": [2]}},
            {"operation": IMAGE, "amount": 10, "details": {"a": 1, "b": [2]}},
            {"operation": CHAT, "amount": 10, "details": {"a": 1, "b": [3]}},
            {"operation": CHAT, "amount": 10, "details": None},
            {"operation": CHAT, "amount": None, "details": {"a": 1, "b": [2]}},
        ]
        for other in others:
            operation = other.pop("operation")
            with pytest.raises(errors.IdempotencyConflict):
                await deduct(db, user, operation, key="k", **other)
            charge = Charge(user_id=user, operation=operation, key="k", **other)
            with pytest.raises(errors.IdempotencyConflict):
                await deduct_many(db, [charge])
        assert counted(world.clone) == before
        assert stored(world.clone, user) == (990, 0)
        # The order of the details' keys is no difference.
        again = await deduct(db, user, CHAT, key="k", amount=10, details={"b": [2], "a": 1})
        assert again == first
        assert again.replayed
        assert counted(world.clone) == before

    world.run(body(world.db))


def test_a_conflict_leaves_the_transaction_going(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 1_000)
        await deduct(db, user, CHAT, key="k", amount=10)
        async with db.transaction() as tx:
            with pytest.raises(errors.IdempotencyConflict):
                await deduct(tx, user, CHAT, key="k", amount=11)
            await deduct(tx, user, CHAT, key="l", amount=1)
        assert stored(world.clone, user) == (989, 0)

    world.run(body(world.db))


def test_a_refusal_stays_one_after_a_top_up(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 5)
        charge = Charge(user_id=user, operation=CHAT, key="k", amount=10)
        refused = await deduct(db, user, CHAT, key="k", amount=10)
        not_held = await reserve(db, charge)
        assert isinstance(refused, Refused)
        assert isinstance(not_held, Refused)
        await grant(db, user, 1_000, key="top-up")
        before = counted(world.clone)
        for again in (
            await deduct(db, user, CHAT, key="k", amount=10),
            *await deduct_many(db, [charge, charge]),
        ):
            assert again == refused
            assert again.replayed
        held = await reserve(db, charge)
        assert held == not_held
        assert held.replayed
        for amount in (4, 11):
            with pytest.raises(errors.IdempotencyConflict):
                await deduct(db, user, CHAT, key="k", amount=amount)
            with pytest.raises(errors.IdempotencyConflict):
                await reserve(db, Charge(user_id=user, operation=CHAT, key="k", amount=amount))
        assert counted(world.clone) == before
        assert stored(world.clone, user) == (1_005, 0)
        assert isinstance(await deduct(db, user, CHAT, key="l", amount=10), Deducted)

    world.run(body(world.db))
    assert_lawful(world)


def test_the_same_key_of_two_users_is_two_keys(world: World) -> None:
    async def body(db: Database) -> None:
        ada, grace = await new_account(db, 100), await new_account(db, 100)
        answers = [
            await deduct(db, ada, CHAT, key="k", amount=10),
            await deduct(db, grace, CHAT, key="k", amount=20),
            *await deduct_many(
                db,
                [Charge(user_id=user, operation=CHAT, key="l", amount=10) for user in (ada, grace)],
            ),
        ]
        assert [answer.replayed for answer in answers] == [False] * 4
        assert stored(world.clone, ada) == (80, 0)
        assert stored(world.clone, grace) == (70, 0)

    world.run(body(world.db))


def test_a_key_belongs_to_one_verb(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        charged = await deduct(db, user, CHAT, key="k", amount=10)
        assert isinstance(charged, Deducted)
        assert not (await refund(db, charged.usage_id, key="k", amount=1)).replayed
        assert not (await grant(db, user, 5, key="k")).replayed
        held = await reserve(db, Charge(user_id=user, operation=CHAT, key="k", amount=4))
        assert isinstance(held, Held)
        assert not held.replayed
        assert not (await capture(db, held.hold_id)).replayed
        assert stored(world.clone, user) == (92, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_every_verb_with_a_key_is_replayed(wide_world: World) -> None:
    db, clone = wide_world.db, wide_world.clone

    async def charged() -> tuple[UUID, UUID]:
        user = await new_account(db, 100)
        answer = await deduct(db, user, CHAT, key="k", amount=50)
        assert isinstance(answer, Deducted)
        return user, answer.usage_id

    user, usage = wide_world.run(charged())
    charge = Charge(user_id=user, operation=IMAGE, key="h", amount=7)
    for verb, kind, balance in (
        (lambda: refund(db, usage, key="r", amount=20), Refunded, (70, 0)),
        (lambda: grant(db, user, 5, key="g"), Granted, (75, 0)),
        (lambda: reserve(db, charge), Held, (75, 7)),
    ):
        outcomes = together(wide_world, [verb() for _ in range(16)])
        assert {type(outcome) for outcome in outcomes} == {kind}
        assert outcomes == [outcomes[0]] * 16
        assert [outcome.replayed for outcome in outcomes].count(False) == 1
        assert stored(clone, user) == balance
    before = counted(clone)

    async def conflicts() -> None:
        for other in (
            refund(db, usage, key="r", amount=21),
            refund(db, usage, key="r"),
            grant(db, user, 6, key="g"),
            reserve(db, Charge(user_id=user, operation=IMAGE, key="h", amount=8)),
            reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=7)),
        ):
            with pytest.raises(errors.IdempotencyConflict):
                await other

    wide_world.run(conflicts())
    assert counted(clone) == before
    assert_lawful(wide_world)


def test_a_rollback_takes_the_key_along(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with db.transaction() as tx:
                await deduct(tx, user, CHAT, key="k", amount=10)
                raise ZeroDivisionError
        assert stored(world.clone, user) == (100, 0)
        answer = await deduct(db, user, CHAT, key="k", amount=60)
        assert isinstance(answer, Deducted)
        assert (answer.balance, answer.replayed) == (40, False)

    world.run(body(world.db))


def test_a_replay_answers_what_was_true_then(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        await set_feature_costs(db, {CHAT: 3})
        first = await deduct(db, user, CHAT, key="k")
        held = await reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=5))
        assert isinstance(held, Held)
        await release(db, held.hold_id)
        await grant(db, user, 1_000, key="g")
        await set_feature_costs(db, {CHAT: 9})
        again = await deduct(db, user, CHAT, key="k")
        assert again == first
        assert isinstance(again, Deducted)
        assert (again.credits_used, again.balance, again.available) == (3, 97, 97)

    world.run(body(world.db))


def test_whatever_happens_in_between_a_replay_answers_the_same(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        charged = await deduct(db, user, CHAT, key="k", amount=20)
        assert isinstance(charged, Deducted)
        taken, freed, over = [await held(db, user, key) for key in ("taken", "freed", "over")]
        asked: list[Callable[[], Awaitable[Any]]] = [
            lambda: deduct(db, user, CHAT, key="d", amount=3),
            lambda: deduct(db, user, CHAT, key="refused", amount=1_000),
            lambda: refund(db, charged.usage_id, key="r", amount=2),
            lambda: reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=5)),
            lambda: reserve(db, Charge(user_id=user, operation=CHAT, key="no", amount=1_000)),
            lambda: capture(db, taken, amount=4),
            lambda: release(db, freed),
            lambda: grant(db, user, 5, key="g"),
        ]
        answers = []
        for number, ask_ in enumerate(asked):
            answers.append(await ask_())
            await grant(db, user, 7, key=f"between {number}")
        # A hold that is over ended then: releasing it later tells what was left at that time.
        world.clock.freeze()
        world.clock.advance(minutes=10)
        await grant(db, user, 1, key="ends it")
        ended = stored(world.clone, user)[0] - 1
        await grant(db, user, 1, key="later")
        assert (await release(db, over)).balance == ended
        assert [await ask_() for ask_ in asked] == answers

    async def held(db: Database, user: UUID, key: str) -> UUID:
        charge = Charge(user_id=user, operation=CHAT, key=key, amount=6)
        answer = await reserve(db, charge, expires_in=timedelta(minutes=5))
        assert isinstance(answer, Held)
        return answer.hold_id

    world.run(body(world.db))
    assert_lawful(world)


def test_refusals_are_kept_as_long_as_every_other_key(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 1)
        await deduct(db, user, CHAT, key="one", amount=2)
        await deduct_many(db, [Charge(user_id=user, operation=CHAT, key="many", amount=2)])
        await reserve(db, Charge(user_id=user, operation=CHAT, key="held", amount=2))

    world.run(body(world.db))
    kept = ask(world.clone, "SELECT expires_at - created_at FROM bedplate.idempotency_keys")
    assert kept == [(KEEP,)] * 3
