"""What is read of credits, the samples, and a host's users."""

from __future__ import annotations

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    Feature,
    OperationType,
    Usage,
    UsageHistory,
    credit_balances,
    deduct,
    deduct_many,
    features,
    refund,
    statement,
    usage_analytics,
    usage_history,
)
from tests.modules.credits.accounts import CHAT, IMAGE, new_account
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
