"""Nobody of the app's waits long for a migration: it asks briefly, and elsewhere than they do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import clock
from bedplate.operations.migrate import patience
from bedplate.operations.migrate.pace import Pace
from tests.databases import TestDatabase
from tests.operations.long_line import LongLine

MAINTENANCE = "LOCK TABLE shop.items IN SHARE UPDATE EXCLUSIVE MODE"
ASKED = """
SELECT count(*) FROM pg_locks WHERE relation = 'shop.items'::regclass
    AND mode = 'ShareUpdateExclusiveLock' AND NOT granted
"""
WAYS = {
    "one transaction": 'op.execute("ALTER TABLE shop.items ADD more int")',
    "statement by statement": 'op.execute("ALTER TABLE shop.items ADD CONSTRAINT ck_items_more'
    ' CHECK (price < 10000) NOT VALID")',
}
MORE = """
transactional = {transactional}

def upgrade():
    {body}

def downgrade(): ...
"""


@pytest.fixture
def line(shop_database: TestDatabase, tmp_path: Path) -> Iterator[LongLine]:
    made = LongLine(shop_database, tmp_path, rows=25, batch=10)
    made.apply()
    yield made
    made.owner.close()


@pytest.mark.parametrize("way", WAYS)
def test_maintenance_is_waited_for_where_the_app_does_not_queue(
    line: LongLine, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (50,) * 40)
    transactional = way == "one transaction"
    line.module.add("0006_more", MORE.format(transactional=transactional, body=WAYS[way]))
    # As VACUUM, ANALYZE and index builds hold it; autovacuum lets go once somebody waits for it.
    with psycopg.connect(line.database.owner_url) as vacuum, ThreadPoolExecutor(1) as other:
        vacuum.execute(MAINTENANCE)
        applying = other.submit(line.apply)
        while line.found(ASKED) == [(0,)] and not applying.done():
            time.sleep(0.01)
        assert line.found(ASKED) == [(1,)]
        with psycopg.connect(line.database.app_url) as app:
            app.execute("INSERT INTO shop.items (id, price) VALUES (gen_random_uuid(), 1)")
        assert not applying.done()
        vacuum.rollback()
        assert applying.result(timeout=60) == ["0006_more"]


def test_the_first_attempts_are_short_and_the_longest_are_the_last() -> None:
    assert sorted(patience.LOCK_TIMEOUTS_MS) == [*patience.LOCK_TIMEOUTS_MS]
    assert sum(timeout_ms <= 100 for timeout_ms in patience.LOCK_TIMEOUTS_MS) >= 20


def test_a_batch_has_as_many_rows_as_can_be_locked_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace = Pace(1_000)
    sizes = [pace.rows]
    for held_ms in (0.1, 90, 50, 50, 200, 400, 9_999):
        times = iter((0, 0, int(held_ms * 1e6)))
        monkeypatch.setattr(clock, "nanoseconds", lambda times=times: next(times))
        with pace.batch():
            pace.locks()
        sizes.append(pace.rows)
    assert sizes == [100, 200, 400, 800, 1_000, 1_000, 500, 100]
    assert Pace(9).rows == 9
