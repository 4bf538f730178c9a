"""What is read of credits, the samples, and a host's users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import BigInteger, column, text

from bedplate import Database, Transaction, errors
from bedplate.kernel.query import Query
from bedplate.modules.credits import (
    Charge,
    Deducted,
    Feature,
    GrantTerms,
    OperationType,
    Usage,
    UsageHistory,
    balance_of,
    credit_balances,
    deduct,
    deduct_many,
    features,
    grant,
    ledger_entries,
    refund,
    statement,
    usage_analytics,
    usage_history,
)
from tests.asking import as_owner
from tests.modules.credits.accounts import CHAT, IMAGE, new_account, new_user
from tests.world import World


def test_usage_is_summed_and_counted_by_operation_over_the_days_asked_for(world: World) -> None:
    async def body(db: Database) -> None:
        world.clock.freeze()
        user = await new_account(db, 1_000)
        await deduct(db, user, CHAT, key="old", amount=9)
        world.clock.advance(days=31)
        charges = [Charge(user_id=user, operation=CHAT, key=f"{n}", amount=n) for n in (1, 2, 3)]
        answers = await deduct_many(db, charges)
        await deduct(db, user, IMAGE, key="image", amount=50)
        last = answers[-1]
        assert isinstance(last, Deducted)
        await refund(db, last.usage_id, key="back", amount=2)
        # By default the last 30 days; a refund counts against its operation.
        recent = [
            Usage(operation=CHAT, credits=4, count=4),
            Usage(operation=IMAGE, credits=50, count=1),
        ]
        assert await usage_analytics(db, user) == recent
        whole = await usage_analytics(db, user, days=60)
        assert whole[0] == Usage(operation=CHAT, credits=13, count=5)
        assert await usage_analytics(db, await new_account(db, 5)) == []

    world.run(body(world.db))


def test_a_statement_opens_lists_and_closes(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 100)
        world.clock.freeze()
        start = world.clock.now
        world.clock.advance(hours=1)
        await deduct(db, user, CHAT, key="1", amount=30)
        world.clock.advance(hours=1)
        found = await statement(db, user, since=start, until=world.clock.now)
        assert (found.opening, [entry.amount for entry in found.entries], found.closing) == (
            100,
            [-30],
            70,
        )

    world.run(body(world.db))


def test_a_statement_is_read_page_by_page_both_ways(world: World) -> None:
    async def body(db: Database) -> None:
        user, other = await new_account(db, 100), await new_account(db, 100)
        start = world.clock.freeze()
        # Several at one moment, of every kind, so that pages are cut within a moment.
        for number in range(4):
            world.clock.advance(hours=1)
            done = await deduct(db, user, CHAT, key=f"{number}", amount=3)
            assert isinstance(done, Deducted)
            await refund(db, done.usage_id, key=f"{number}", amount=1)
            terms = GrantTerms(priority=1, expires_at=world.clock.now + timedelta(hours=2))
            await grant(db, user, 2, key=f"{number}", terms=terms)
            await deduct(db, other, CHAT, key=f"{number}", amount=1)
        window = {"since": start, "until": world.clock.now}
        whole = (await statement(db, user, **window)).entries
        assert {entry.kind for entry in whole} == {"charge", "refund", "grant", "expiry"}
        for size in (1, 2, 5, len(whole), 1_000):
            page = await ledger_entries(db, user, **window, size=size)
            pages = [page]
            while page.next is not None:
                page = await ledger_entries(db, user, **window, size=size, at=page.next)
                pages.append(page)
            assert [entry for each in pages for entry in each.items] == list(whole)
            assert max(len(each.items) for each in pages) <= size
            back = [page]
            while page.previous is not None:
                page = await ledger_entries(db, user, **window, size=size, at=page.previous)
                back.append(page)
            assert [each.items for each in reversed(back)] == [each.items for each in pages]
        first = await ledger_entries(db, user, **window, size=1)
        for wrong in ({"since": start - timedelta(hours=1)}, {"until": start}):
            with pytest.raises(errors.CursorInvalid):
                await ledger_entries(db, user, **{**window, **wrong}, at=first.next)
        with pytest.raises(errors.CursorInvalid):
            await ledger_entries(db, other, **window, at=first.next)
        with pytest.raises(errors.LimitExceeded):
            await ledger_entries(db, user, **window, size=0)
        assert (await ledger_entries(db, await new_user(db), **window)).items == []

    world.run(body(world.db))


HISTORY = """
INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type, credits_used,
    action, key, balance_after, available_after, "timestamp")
SELECT bedplate.uuid7(), b.user_id, b.id, 'AI_TEXT_CHAT', 0, 'deduct', 'old ' || n, 1, 1,
       bedplate.now() - n * interval '1 hour'
FROM credits.credit_balances b, generate_series(1, %s) AS n
"""
READ: Query[Any] = Query(
    text(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows"
        " FROM pg_stat_xact_user_tables WHERE relid = 'credits.usage_history'::regclass"
    ).columns(column("rows", BigInteger))
)
DAY = timedelta(days=1)


def test_a_window_of_a_long_history_is_read_by_its_index(world: World) -> None:
    rows, hours = 5_000, 24

    async def body(db: Database) -> None:
        for _ in range(3):
            user = await new_account(db, 100)
        now = world.clock.freeze()
        as_owner(world.clone, HISTORY, rows)
        as_owner(world.clone, "ANALYZE credits.usage_history")
        since = now - timedelta(hours=hours)
        early = now - timedelta(hours=rows - hours)

        async def read(work: Callable[[Transaction], Awaitable[Any]]) -> int:
            async with db.transaction() as tx:
                before = await tx.one(READ)
                await work(tx)
                return int(await tx.one(READ)) - int(before)

        # What lies outside of the window is not touched, on whichever side it lies.
        pages: list[Callable[[Transaction], Awaitable[Any]]] = [
            lambda tx: ledger_entries(tx, user, since=since, until=now, size=hours),
            lambda tx: ledger_entries(tx, user, since=now - 2 * DAY * hours, until=now, size=hours),
            lambda tx: balance_of(tx, user, at=early),
            lambda tx: statement(tx, user, since=early - DAY, until=early),
        ]
        for page in pages:
            assert await read(page) <= 4 * hours
        assert await read(lambda tx: balance_of(tx, user)) == rows

    world.run(body(world.db))


def test_every_operation_can_be_charged_and_read_back(world: World) -> None:
    async def body(db: Database) -> None:
        user = await new_account(db, 1_000)
        for operation in OperationType:
            await deduct(db, user, operation, key=operation.name, amount=1, details={"n": 1})
        rows = await usage_history.list(db, UsageHistory.user_id == user)
        assert {row.operation_type for row in rows} == set(OperationType)
        assert {(row.credits_used, row.details["n"]) for row in rows if row.details} == {(1, 1)}
        (balance,) = await credit_balances.list(db)
        assert balance.credits_remaining == 1_000 - len(OperationType)
        assert balance.last_synced_at == max(row.timestamp for row in rows)

    world.run(body(world.db))


def test_a_feature_survives_a_round_trip(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            made = await features.create(tx, Feature(name="Chat", tags=["ai", "text"]))
        found = await features.get(db, made.id)
        assert (found.workspace_id, found.description, found.tags) == (
            "default",
            None,
            ["ai", "text"],
        )

    world.run(body(world.db))
