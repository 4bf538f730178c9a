"""What is counted and told of statements: a fixed few numbers, the slow ones with their place."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import text

from bedplate.kernel.database import Database
from bedplate.kernel.telemetry import SQL_CHARACTERS_MAX, Watch
from tests.kernel.builders import products
from tests.world import World


def test_a_slow_statement_names_its_place_in_the_application(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.db.watch._slow_ns = 40_000_000

    async def slow(db: Database) -> None:
        await db.run(text("SELECT   pg_sleep(0.05) -- the culprit"))

    async def in_transaction(db: Database) -> None:
        async with db.transaction() as tx:
            await tx.run(text("SELECT pg_sleep(0.05)"))

    with caplog.at_level(logging.WARNING, "bedplate"):
        world.run(slow(world.db))
        world.run(in_transaction(world.db))
    first, second = (record.getMessage() for record in caplog.records)
    place = Path(__file__).name
    assert f" ms at {place}:" in first
    assert first.endswith("SELECT pg_sleep(0.05) -- the culprit")
    assert f" ms at {place}:" in second
    assert world.db.statistics()["slow"] == 2


def test_nothing_is_told_of_statements_within_the_limit(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.db.watch._slow_ns = 60_000_000_000  # whatever pauses the machine makes
    with caplog.at_level(logging.DEBUG, "bedplate"):
        world.run(products.count(world.db))
    assert caplog.records == []


def test_a_long_statement_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(slow_statement_ms=1)
    with caplog.at_level(logging.WARNING, "bedplate"):
        watch.note(b"SELECT '" + b"x" * 5_000 + b"'", 2_000_000)
        watch.note(b"SELECT 1", 1_000_000)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("slow statement: 2 ms at ")
    assert message.count("x") <= SQL_CHARACTERS_MAX
    assert watch.statistics.as_dict() == {
        "statements": 2,
        "errors": 0,
        "slow": 1,
        "time_ns": 3_000_000,
    }


def test_failures_are_counted_apart() -> None:
    watch = Watch(slow_statement_ms=1)
    watch.fail()
    assert watch.statistics.as_dict() == {"statements": 0, "errors": 1, "slow": 0, "time_ns": 0}
