"""Accounts: one for each user, opened in the write that makes the user, and seen by nobody else."""

from __future__ import annotations

import asyncio

import pytest

from bedplate import Database, assign, errors
from bedplate.modules.auth import User, create_user, users
from bedplate.modules.credits import (
    Account,
    balance_of,
    credit_balances,
    deduct,
    get_user_with_data,
    open_account,
    usage_history,
)
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.kernel.together import together
from tests.modules.credits.accounts import (
    CHAT,
    assert_lawful,
    counted,
    new_account,
    new_user,
    stored,
    until_somebody_waits,
)
from tests.world import World, opened


def test_a_new_user_has_an_account_of_100_in_the_same_write(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            ada = await create_user(tx, User(email="ada@example.com", clerk_id="user_1"))
            assert (await balance_of(tx, ada.id)).available == 100
        found = await get_user_with_data(db, ada.id)
        assert found is not None
        assert found.balance is not None
        assert (found.balance.credits_remaining, found.balance.clerk_user_id) == (100, "user_1")
        before = counted(world.clone)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with db.transaction() as tx:
                await create_user(tx, User(email="grace@example.com"))
                raise ZeroDivisionError
        assert counted(world.clone) == before

    world.run(body(world.db))
    assert_lawful(world)


def test_of_many_who_open_one_account_one_does(wide_world: World) -> None:
    user = wide_world.run(new_user(wide_world.db))
    outcomes = together(
        wide_world,
        [open_account(wide_world.db, user, credits=10 + number) for number in range(16)],
    )
    assert {type(outcome) for outcome in outcomes} == {Account}
    (opened,) = [outcome for outcome in outcomes if outcome.created]
    assert {outcome.balance for outcome in outcomes} == {opened.balance}
    assert stored(wide_world.clone, user) == (opened.balance, 0)
    assert ask(wide_world.clone, "SELECT count(*) FROM credits.credit_grants") == [(1,)]
    assert_lawful(wide_world)


def test_the_key_at_clerk_follows_the_user_s(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            ada = await create_user(tx, User(email="ada@example.com"))
        for key in ("user_1", "user_2", None, "user_3"):
            await users.update(db, ada.id, assign(User.clerk_id, key))
            (balance,) = await credit_balances.list(db)
            assert balance.clerk_user_id == key

    world.run(body(world.db))
    assert_lawful(world)


def test_a_key_at_clerk_that_comes_while_the_account_is_opened_is_taken(
    bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> None:
    async def race(db: Database) -> None:
        user = await new_user(db)
        async with db.transaction() as tx:
            await users.update(tx, user, assign(User.clerk_id, "user_1"))
            opening = asyncio.create_task(open_account(db, user))
            await until_somebody_waits(db, bedplate_clone)
        assert (await opening).created
        (balance,) = await credit_balances.list(db)
        assert balance.clerk_user_id == "user_1"

    for world in opened("async", bedplate_clone, bedplate_clock):
        world.run(race(world.db))


def test_a_user_with_credits_is_not_deleted_for_good(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        with pytest.raises(errors.ForeignKeyViolation):
            await users.delete(db, user, hard=True)
        await users.delete(db, user)
        assert stored(world.clone, user) == (100, 0)

    world.run(body(world.db))


def test_a_guarded_handle_shows_one_s_own_account_and_writes_none(world: World) -> None:
    async def body(db: Database) -> None:
        ada, grace = await new_account(db, 100), await new_account(db, 200)
        for user in (ada, grace):
            await deduct(db, user, CHAT, key="k", amount=10)
        async with db.read(ada, guarded=True) as reader:
            assert [each.user_id for each in await credit_balances.list(reader)] == [ada]
            assert [each.user_id for each in await usage_history.list(reader)] == [ada]
        with pytest.raises(errors.PermissionDenied):
            async with db.transaction(ada, guarded=True) as tx:
                await tx.execute((b"UPDATE credits.credit_balances SET credits_remaining = 5", ()))

    world.run(body(world.db))
