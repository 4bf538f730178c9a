"""Booking what expired: due accounts are read and no others; what fails in one stops none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate import Database
from bedplate.modules.credits import (
    MODULE,
    AccountsUnsettled,
    GrantTerms,
    deduct,
    expire_due,
    grant,
)
from bedplate.modules.credits.actions.accounts import SETTLED_MAX
from tests.asking import as_owner, ask
from tests.modules.credits.accounts import CHAT, assert_lawful, new_account, stored
from tests.sabotage import without
from tests.world import World

DAY = timedelta(days=1)
OTHERS = 2_000

# Accounts of which something expires one day, as verbs would have left them.
LATER = """
WITH made AS (
    INSERT INTO auth.users (id, email)
    SELECT gen_random_uuid(), 'later-' || n || '@example.com' FROM generate_series(1, %s) AS n
    RETURNING id
)
INSERT INTO credits.credit_balances (id, user_id, credits_remaining, next_expiry)
SELECT gen_random_uuid(), id, 0, '2100-01-01' FROM made
"""
READ = """
SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
FROM pg_stat_xact_user_tables WHERE relid = 'credits.credit_balances'::regclass
"""


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: all of this is the server's."""
    return world


async def due(world: World, many: int) -> list[UUID]:
    """Users, each with 10 credits that are over now and 5 that stay."""
    ends = world.clock.freeze() + DAY
    users = [await new_account(world.db, 5) for _ in range(many)]
    for user in users:
        await grant(world.db, user, 10, key="g", terms=GrantTerms(expires_at=ends))
    world.clock.set(ends)
    return users


def rows_read(world: World) -> int:
    with psycopg.connect(world.clone.url) as app:
        app.execute("SELECT credits.expire_due(50, NULL, NULL)")
        ((rows,),) = app.execute(READ).fetchall()
        return int(rows)


def test_accounts_that_are_due_later_are_not_read(world: World) -> None:
    world.run(due(world, 1))
    as_owner(world.clone, LATER, OTHERS)
    assert rows_read(world) < OTHERS / 10
    # As it was while the clock was asked for every row.
    ends = "b.next_expiry <= v_now"
    as_owner(
        world.clone,
        without(world.clone, "credits.expire_due", ends, "b.next_expiry <= bedplate.clock()"),
    )
    assert rows_read(world) >= OTHERS


def test_the_job_settles_every_account_in_small_batches(world: World) -> None:
    async def body(db: Database) -> None:
        # All due at one instant, and more than two batches of them.
        users = await due(world, 2 * SETTLED_MAX + 1)
        done = await expire_due(db)
        assert (done.accounts, done.credits, done.failed) == (SETTLED_MAX, 10 * SETTLED_MAX, ())
        await the_job(db)
        assert {stored(world.clone, user) for user in users} == {(5, 0)}
        assert await expire_due(db) == await expire_due(db, after=done.last)

    world.run(body(world.db))
    assert_lawful(world)


BALANCE = "SELECT id FROM credits.credit_balances WHERE user_id = %s"
SPOIL = "UPDATE credits.credit_balances SET credits_remaining = %s WHERE user_id = %s"


def test_an_account_that_cannot_be_settled_stops_no_other(world: World) -> None:
    async def body(db: Database) -> None:
        bad, *others = await due(world, 4)
        as_owner(world.clone, SPOIL, 9, bad)
        ((balance,),) = ask(world.clone, BALANCE, bad)
        done = await expire_due(db, accounts_max=1)
        assert (done.accounts, done.failed) == (0, (balance,))
        done = await expire_due(db, accounts_max=1, after=done.last)
        assert (done.accounts, done.failed) == (1, ())
        with pytest.raises(AccountsUnsettled, match=str(balance)):
            await the_job(db)
        assert {stored(world.clone, user) for user in others} == {(5, 0)}
        assert stored(world.clone, bad) == (9, 0)
        as_owner(world.clone, SPOIL, 15, bad)
        await the_job(db)
        assert stored(world.clone, bad) == (5, 0)

    world.run(body(world.db))
    assert_lawful(world)


def test_an_account_that_somebody_uses_is_left_to_them(world: World) -> None:
    async def body(db: Database) -> None:
        used, other = await due(world, 2)
        async with db.transaction() as tx:
            await deduct(tx, used, CHAT, key="k", amount=1)
            await the_job(db)
            assert stored(world.clone, other) == (5, 0)
        assert stored(world.clone, used) == (4, 0)

    world.run(body(world.db))
    assert_lawful(world)


async def the_job(db: Database) -> None:
    (job,) = MODULE.jobs
    running: Any = None
    await job.run(db, running)
