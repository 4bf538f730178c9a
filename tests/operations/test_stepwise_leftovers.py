from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.databases import TestDatabase
from tests.operations.test_stepwise import Steps


@pytest.fixture
def steps(shop_database: TestDatabase, tmp_path: Path) -> Iterator[Steps]:
    made = Steps(shop_database, tmp_path)
    yield made
    made.owner.close()


def cut_off(steps: Steps, statement: str, *, once: str) -> None:
    """Cancel a statement that cannot end, once this query finds what its first half leaves."""

    def cancel() -> None:
        with psycopg.connect(steps.database.owner_url, autocommit=True) as other:
            deadline = time.monotonic() + 60
            while not other.execute(once.encode()).fetchall() and time.monotonic() < deadline:
                time.sleep(0.02)
            other.execute("SELECT pg_cancel_backend(%s)", [pid])

    pid = steps.owner.info.backend_pid
    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        steps.owner.execute(statement.encode())
    cancelling.join()


def test_a_partition_is_detached_and_a_detaching_that_was_cut_off_is_finished(steps: Steps) -> None:
    steps.owner.execute("CREATE TABLE shop.days (day int) PARTITION BY RANGE (day)")
    for name, since in (("day_1", 1), ("day_2", 2)):
        bounds = f"FOR VALUES FROM ({since}) TO ({since + 1})"
        steps.owner.execute(f"CREATE TABLE shop.{name} PARTITION OF shop.days {bounds}".encode())
    with psycopg.connect(steps.database.owner_url) as reader:
        reader.execute("SELECT FROM shop.days")
        cut_off(
            steps,
            "ALTER TABLE shop.days DETACH PARTITION shop.day_1 CONCURRENTLY",
            once="SELECT FROM pg_inherits WHERE inhdetachpending",
        )
    pending = "SELECT inhrelid::regclass::text, inhdetachpending FROM pg_inherits ORDER BY 1"
    assert ("shop.day_1", True) in steps.found(pending)
    steps.write(
        "ALTER TABLE shop.days DETACH PARTITION shop.day_1 CONCURRENTLY",
        "ALTER TABLE shop.days DETACH PARTITION shop.day_2 CONCURRENTLY",
        shape=("shop.days",),
    )
    steps.apply()
    assert steps.found(pending + " LIMIT 1") == [] or "day" not in str(steps.found(pending))


def test_what_a_broken_reindex_left_is_taken_away(steps: Steps) -> None:
    with psycopg.connect(steps.database.owner_url) as reader:
        reader.execute("SELECT FROM shop.items")
        cut_off(
            steps,
            "REINDEX TABLE CONCURRENTLY shop.items",
            once="SELECT FROM pg_index WHERE NOT indisvalid",
        )
    assert not all(valid for valid, _ in steps.indexes().values())
    before = len([valid for valid, _ in steps.indexes().values() if valid])
    steps.write("REINDEX TABLE CONCURRENTLY shop.items", "REINDEX INDEX CONCURRENTLY shop.pk_items")
    steps.apply()
    assert len(steps.indexes()) == before
    assert all(valid for valid, _ in steps.indexes().values())
