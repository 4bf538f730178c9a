"""Bad input: a typed error that names the place, and nothing written, in `db` and within a `tx`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate import Database, acting, errors
from bedplate.kernel import ids
from bedplate.kernel.database import Writer
from bedplate.modules.credits import (
    AMOUNT_MAX,
    AmountInvalid,
    AnswerUnknown,
    BalanceTooLarge,
    Charge,
    Deducted,
    GrantInvalid,
    GrantTerms,
    Held,
    KeyInvalid,
    NotYourAccount,
    OperationType,
    PeriodInvalid,
    UnknownAccount,
    UnknownOperation,
    UnknownUser,
    capture,
    deduct,
    deduct_many,
    grant,
    open_account,
    refund,
    release,
    reserve,
    usage_analytics,
)
from tests.asking import as_owner
from tests.modules.credits.accounts import (
    CHAT,
    assert_lawful,
    counted,
    new_account,
    new_user,
    stored,
)
from tests.world import World

Verb = Callable[[Writer, UUID, dict[str, Any]], Awaitable[Any]]

GOOD: dict[str, Any] = {"operation": CHAT, "key": "k", "amount": 10}
AMOUNTS: list[Any] = [0, -1, True, False, 1.0, 0.5, "10", 10**9 + 1, 2**31, 2**63, 10**40]
KEYS: list[Any] = ["", "k" * 256, "k\x00k", None, 5]


async def by_deduct(db: Writer, user: UUID, asked: dict[str, Any]) -> Any:
    wanted = dict(asked)
    return await deduct(db, user, wanted.pop("operation"), **wanted)


async def by_deduct_many(db: Writer, user: UUID, asked: dict[str, Any]) -> Any:
    good = Charge(user_id=user, operation=CHAT, key="other", amount=1)
    return await deduct_many(db, [good, Charge(user_id=user, **asked), good])


async def by_reserve(db: Writer, user: UUID, asked: dict[str, Any]) -> Any:
    return await reserve(db, Charge(user_id=user, **asked))


async def by_grant(db: Writer, user: UUID, asked: dict[str, Any]) -> Any:
    return await grant(db, user, asked["amount"], key=asked["key"])


VERBS: dict[str, Verb] = {
    "deduct": by_deduct,
    "deduct_many": by_deduct_many,
    "reserve": by_reserve,
    "grant": by_grant,
}


async def refused(
    world: World, verb: Verb, user: UUID, asked: dict[str, Any], error: type[Exception]
) -> Exception:
    """Ask on `db` and within a transaction that goes on; nothing may be written by either."""
    db = world.db
    before = counted(world.clone)
    with pytest.raises(error) as alone:
        await verb(db, user, asked)
    other = await new_account(db, 50)
    async with db.transaction() as tx:
        with pytest.raises(error):
            await verb(tx, user, asked)
        assert isinstance(
            await deduct(tx, other, OperationType.ADMIN_ADJUSTMENT, key="on", amount=50), Deducted
        )
    assert stored(world.clone, other) == (0, 0)
    after = counted(world.clone)
    assert after["credits.usage_history"] == before["credits.usage_history"] + 1
    for table in ("credits.credit_holds", "bedplate.idempotency_keys"):
        assert after[table] == before[table]
    return alone.value


@pytest.mark.parametrize("name", VERBS)
def test_an_amount_is_a_whole_number_of_at_least_one(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        for amount in AMOUNTS:
            asked = {**GOOD, "amount": amount}
            error = await refused(world, VERBS[name], user, asked, AmountInvalid)
            assert ("charges[1]" in str(error)) == (name == "deduct_many"), amount
        assert stored(world.clone, user) == (100, 0)

    world.run(body(world.db))


@pytest.mark.parametrize("name", VERBS)
def test_a_key_is_a_text_of_1_to_255_characters(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        for key in KEYS:
            error = await refused(world, VERBS[name], user, {**GOOD, "key": key}, KeyInvalid)
            assert ("charges[1]" in str(error)) == (name == "deduct_many"), key
        assert stored(world.clone, user) == (100, 0)

    world.run(body(world.db))


@pytest.mark.parametrize("name", VERBS)
def test_half_a_character_is_no_key(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        await refused(world, VERBS[name], user, {**GOOD, "key": "\ud800"}, KeyInvalid)

    world.run(body(world.db))


def test_any_other_text_is_a_key(world: World) -> None:
    async def body(db: Database) -> None:
        for key in ("k" * 255, "\N{SNOWMAN}" * 255, "' OR true --", " ", "\n"):
            user = await new_account(db, 100)
            for _ in range(2):
                await by_deduct(db, user, {**GOOD, "key": key})
                await by_deduct_many(db, user, {**GOOD, "key": key})
            assert stored(world.clone, user) == (89, 0)

    world.run(body(world.db))


@pytest.mark.parametrize("name", ["deduct", "deduct_many", "reserve"])
def test_an_unknown_operation_is_refused(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        for operation in ("NO_SUCH", "ai_text_chat", "", None, 5):
            asked = {**GOOD, "operation": operation}
            error = await refused(world, VERBS[name], user, asked, UnknownOperation)
            assert ("charges[1]" in str(error)) == (name == "deduct_many"), operation

    world.run(body(world.db))


@pytest.mark.parametrize("name", VERBS)
def test_a_user_without_an_account_is_refused(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        for user in (await new_user(db), ids.new()):
            await refused(world, VERBS[name], user, GOOD, UnknownAccount)

    world.run(body(world.db))


def test_an_account_needs_a_user_and_credits_that_are_a_number(world: World) -> None:
    async def body(db: Database) -> None:
        before = counted(world.clone)
        with pytest.raises(UnknownUser):
            await open_account(db, ids.new())
        user = await new_user(db)
        for credits in (-1, True, 1.0, "5", 10**10):
            with pytest.raises(AmountInvalid):
                await open_account(db, user, credits=credits)  # type: ignore[arg-type]
        assert counted(world.clone) == before
        assert (await open_account(db, user, credits=0)).created
        again = await open_account(db, user, credits=50)
        assert not again.created
        assert again.balance == 0

    world.run(body(world.db))
    assert_lawful(world)


@pytest.mark.parametrize("name", ["deduct", "deduct_many", "reserve"])
def test_another_actor_s_account_is_out_of_reach(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        ada, grace = await new_account(db, 100), await new_account(db, 100)
        with acting(ada):
            error = await refused(world, VERBS[name], grace, GOOD, NotYourAccount)
            if name == "deduct_many":
                # All the charges of this batch are of grace's account.
                assert "charges[0]" in str(error)
            assert stored(world.clone, grace) == (100, 0)
            await VERBS[name](db, ada, GOOD)
            if name != "deduct_many":
                # What an administrator corrects is nobody's own account.
                await VERBS[name](db, grace, {**GOOD, "operation": OperationType.ADMIN_ADJUSTMENT})

    world.run(body(world.db))
    assert_lawful(world)


def test_another_actor_ends_no_hold(world: World) -> None:
    async def body(db: Database) -> None:
        ada, grace = await new_account(db, 100), await new_account(db, 100)
        held = await reserve(db, Charge(user_id=grace, operation=CHAT, key="h", amount=10))
        assert isinstance(held, Held)
        before = counted(world.clone)
        with acting(ada):
            for end in (capture, release):
                with pytest.raises(NotYourAccount):
                    await end(db, held.hold_id)
                async with db.transaction() as tx:
                    with pytest.raises(NotYourAccount):
                        await end(tx, held.hold_id)
        assert counted(world.clone) == before
        assert stored(world.clone, grace) == (100, 10)
        with acting(grace):
            await capture(db, held.hold_id)

    world.run(body(world.db))


def test_a_grant_ends_in_the_future(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        now = world.clock.freeze()
        before = counted(world.clone)
        for ends in (now, now - timedelta(days=1), (now + timedelta(days=1)).replace(tzinfo=None)):
            with pytest.raises(GrantInvalid):
                await grant(db, user, 5, key="g", terms=GrantTerms(expires_at=ends))
        wrong: list[dict[str, Any]] = [{"priority": 2**40}, {"priority": 1.5}, {"source": "\x00"}]
        for terms in wrong:
            with pytest.raises(errors.BedplateError):
                await grant(db, user, 5, key="g", terms=GrantTerms(**terms))
        assert counted(world.clone) == before

    world.run(body(world.db))


def test_one_bad_charge_of_a_batch_leaves_all_of_it_unwritten(world: World) -> None:
    async def body(db: Database) -> None:
        ada, grace = await new_account(db, 100), await new_account(db, 100)
        await deduct(db, ada, CHAT, key="taken", amount=5)
        before = counted(world.clone)
        good = Charge(user_id=ada, operation=CHAT, key="a", amount=1)
        bad: list[tuple[Charge, type[Exception]]] = [
            (Charge(user_id=ids.new(), operation=CHAT, key="b", amount=1), UnknownAccount),
            (
                Charge(user_id=ada, operation=CHAT, key="taken", amount=6),
                errors.IdempotencyConflict,
            ),
            (Charge(user_id=ada, operation=CHAT, key="a", amount=2), errors.IdempotencyConflict),
        ]
        for charge, error in bad:
            for place in (1, 2):
                charges = [good, Charge(user_id=grace, operation=CHAT, key="b", amount=1)]
                charges.insert(place, charge)
                with pytest.raises(error, match=rf"charges\[{place}\]"):
                    await deduct_many(db, charges)
                async with db.transaction() as tx:
                    with pytest.raises(error):
                        await deduct_many(tx, charges)
        assert counted(world.clone) == before
        assert await deduct_many(db, []) == []
        assert stored(world.clone, ada) == (95, 0)

    world.run(body(world.db))


def test_a_batch_has_its_limit(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        charge = Charge(user_id=user, operation=CHAT, key="k", amount=1)
        with pytest.raises(errors.LimitExceeded):
            await deduct_many(db, [charge] * 10_001)
        assert stored(world.clone, user) == (100, 0)

    world.run(body(world.db))


LENGTHS: list[Any] = [
    timedelta(0),
    timedelta(minutes=-1),
    timedelta(days=90, microseconds=1),
    timedelta.max,
    5,
    "1h",
    None,
]


@pytest.mark.parametrize("length", LENGTHS, ids=str)
def test_a_hold_lasts_for_up_to_90_days(world: World, length: Any) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        before = counted(world.clone)
        charge = Charge(user_id=user, operation=CHAT, key="k", amount=1)
        with pytest.raises(PeriodInvalid, match="expires_in"):
            await reserve(db, charge, expires_in=length)
        assert counted(world.clone) == before
        await reserve(db, charge, expires_in=timedelta(days=90))

    world.run(body(world.db))


@pytest.mark.parametrize("days", [0, -5, 36_501, 10**9, 10**40, True, 1.5, "30", None])
def test_usage_is_asked_for_over_a_number_of_days(world: World, days: Any) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        with pytest.raises(PeriodInvalid, match="days"):
            await usage_analytics(db, user, days=days)
        assert await usage_analytics(db, user, days=36_500) == []

    world.run(body(world.db))


DETAILS: list[Any] = [{"a": "\x00"}, {"a": "\ud800"}, {"a": float("nan")}]


@pytest.mark.parametrize("name", ["deduct", "deduct_many", "reserve"])
def test_what_cannot_be_stored_is_a_typed_error(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        before = counted(world.clone)
        for details in DETAILS:
            with pytest.raises(errors.BedplateError):
                await VERBS[name](db, user, {**GOOD, "details": details})
        assert counted(world.clone) == before

    world.run(body(world.db))


@pytest.mark.parametrize("name", VERBS)
def test_what_is_no_user_s_key_is_a_typed_error(world: World, name: str) -> None:
    async def body(db: Database) -> None:
        before = counted(world.clone)
        for nobody in ("nobody", 5, None):
            with pytest.raises(errors.BedplateError):
                await VERBS[name](db, nobody, GOOD)  # type: ignore[arg-type]
        assert counted(world.clone) == before

    world.run(body(world.db))


def test_a_balance_has_its_limit_whatever_would_raise_it(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, AMOUNT_MAX)
        await grant(db, user, AMOUNT_MAX, key="1")
        done = await deduct(db, user, CHAT, key="k", amount=AMOUNT_MAX)
        assert isinstance(done, Deducted)
        await grant(db, user, AMOUNT_MAX, key="2")
        before = counted(world.clone)
        for asked in (
            lambda on: grant(on, user, AMOUNT_MAX, key="3"),
            lambda on: refund(on, done.usage_id, key="r"),
        ):
            with pytest.raises(BalanceTooLarge):
                await asked(db)
            async with db.transaction() as tx:
                with pytest.raises(BalanceTooLarge):
                    await asked(tx)
        assert counted(world.clone) == before
        assert stored(world.clone, user) == (2 * AMOUNT_MAX, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_an_answer_that_this_code_does_not_know_is_no_fault_of_the_caller(world: World) -> None:
    as_owner(
        world.clone,
        "CREATE OR REPLACE FUNCTION credits.release("
        "p_hold_id uuid, p_context jsonb, OUT outcome text, OUT credits int, OUT balance int)"
        " LANGUAGE sql AS $$ SELECT 'LATER', 1, 1 $$",
    )
    with pytest.raises(AnswerUnknown, match="LATER"):
        world.run(release(world.db, ids.new()))
