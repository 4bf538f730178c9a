from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bedplate.operations import migrate
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


STRICT = (
    "ALTER TABLE shop.items ADD CONSTRAINT ck_there CHECK (shelf_id IS NOT NULL) NOT VALID",
    "ALTER TABLE shop.items VALIDATE CONSTRAINT ck_there",
    "ALTER TABLE shop.items ALTER COLUMN shelf_id SET NOT NULL",
    "ALTER TABLE shop.items DROP CONSTRAINT ck_there",
    "CREATE UNIQUE INDEX CONCURRENTLY uq_items ON shop.items (shelf_id)",
    "ALTER TABLE shop.items ADD CONSTRAINT uq_items UNIQUE USING INDEX uq_items",
)
LENIENT = (
    "ALTER TABLE shop.items DROP CONSTRAINT uq_items",
    "ALTER TABLE shop.items ALTER shelf_id DROP NOT NULL",
)


@pytest.mark.parametrize("kept", range(len(STRICT) + 1))
def test_a_column_gets_strict_and_lenient_again_wherever_it_was_cut_off(
    steps: Steps, kept: int
) -> None:
    for statement in STRICT[:kept]:
        steps.owner.execute(statement.encode())
    steps.write(*STRICT, down=LENIENT)
    receipts: list[migrate.Receipt] = []
    steps.apply(on_receipt=receipts.append)
    assert receipts[-1].shape_changes == ()
    rules = (
        "SELECT conname, convalidated FROM pg_constraint WHERE conname IN ('ck_there', 'uq_items')"
    )
    strict = (
        "SELECT attnotnull FROM pg_attribute WHERE attname = 'shelf_id'"
        " AND attrelid = 'shop.items'::regclass"
    )
    assert (steps.found(rules), steps.found(strict)) == ([("uq_items", True)], [(True,)])
    steps.undo()
    assert (steps.found(rules), steps.found(strict)) == ([], [(False,)])
