"""Samples of accounting: invoices in every state, loaded once."""

from __future__ import annotations

from datetime import UTC, datetime

from bedplate import Database
from bedplate.modules import auth, mining
from bedplate.modules.accounting import MODULE, run_recurring
from bedplate.testing import FrozenClock
from tests.asking import ask
from tests.modules.accounting.business import broken
from tests.world import World


def test_samples_are_loaded_once_and_the_laws_hold(world: World) -> None:
    async def body(db: Database) -> list[int]:
        async with db.transaction() as tx:
            added: list[int] = []
            for module in (auth.MODULE, mining.MODULE, MODULE, MODULE):
                assert module.samples is not None
                added.append(await module.samples(tx))
            return added

    added = world.run(body(world.db))
    people = added[0]
    assert added[2:] == [3 * people, 0]
    rows = ask(
        world.clone,
        "SELECT status::text, paid_amount > 0 FROM accounting.invoices GROUP BY 1, 2 ORDER BY 1, 2",
    )
    assert rows == [
        ("CANCELLED", False),
        ("DRAFT", False),
        ("ISSUED", False),
        ("ISSUED", True),
        ("PAID", True),
    ]
    assert broken(world) == {}


def test_templates_of_samples_are_never_years_behind(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2039, 12, 31, tzinfo=UTC))

    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            for module in (auth.MODULE, mining.MODULE, MODULE):
                assert module.samples is not None
                await module.samples(tx)
        billed = await run_recurring(db)
        assert (billed.too_many, billed.no_price) == (0, 0)

    world.run(body(world.db))
    assert broken(world) == {}


def test_there_are_none_without_sample_users(world: World) -> None:
    async def body(db: Database) -> int:
        async with db.transaction() as tx:
            assert MODULE.samples is not None
            return await MODULE.samples(tx)

    assert world.run(body(world.db)) == 0
