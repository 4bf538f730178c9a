"""AU6: the history of one entity is read from an index, however long the log is."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate import Database, errors
from bedplate.kernel import audit, capture
from bedplate.kernel.audit import Entry, Wanted, newest
from bedplate.kernel.plan import PLAIN
from bedplate.testing import Clone
from tests import proofs
from tests.kernel.audited import Corner, corner
from tests.world import World

FILL = """
INSERT INTO {log} (action, entity_type, entity_id, description, changes, created_at)
SELECT 'ROW_UPDATED', 'users', md5((i % {entities})::text), 'Changed name.',
    jsonb_build_object('before', jsonb_build_object('id', i, 'name', i - 1),
                       'after', jsonb_build_object('id', i, 'name', i)),
    '2026-01-01Z'::timestamptz + i * interval '1 second'
FROM generate_series(1, {rows}) i
"""
ENTITY_INDEX = "ix_audit_logs_entity_id_created_at"


def fill(here: Corner, rows: int, entities: int) -> None:
    """Two logs, as long as each other, both in the view."""
    here.owner.execute(capture.view_sql(("auth", "corner")).encode())
    for log in ("auth.audit_logs", "corner.audit_logs"):
        statement = FILL.format(log=log, rows=rows, entities=entities)
        here.owner.execute(statement.encode())
        here.owner.execute(f"ANALYZE {log}".encode())


@pytest.fixture
def filled(bedplate_clone: Clone) -> Iterator[Corner]:
    with corner(bedplate_clone) as here:
        fill(here, 10_000, 200)
        yield here


def entity(number: int) -> Wanted:
    return Wanted(entity_type="users", entity_id=_md5(number))


def _md5(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def plan_of(db: Database, here: Corner, wanted: Wanted) -> str:
    (sql, values), _ = db.prepare_adhoc(newest(wanted, 50), PLAIN)
    cursor = psycopg.RawCursor(here.app)
    return "\n".join(row[0] for row in cursor.execute(b"EXPLAIN " + sql, values))


def test_the_history_of_one_entity_comes_from_its_index(world: World, filled: Corner) -> None:
    plan = plan_of(world.db, filled, entity(7))
    assert plan.count(ENTITY_INDEX) == 2
    assert "Seq Scan" not in plan
    found = world.run(audit.entries(world.db, entity(7)))
    assert len(found) == 50
    assert {each.entity_id for each in found} == {_md5(7)}
    assert {each.module for each in found} == {"auth", "corner"}
    assert found == sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)


def test_without_its_index_that_plan_is_another(world: World, filled: Corner) -> None:
    """Sabotage: the test above sees the index go."""
    filled.owner.execute(f"DROP INDEX auth.{ENTITY_INDEX}".encode())
    assert plan_of(world.db, filled, entity(7)).count(ENTITY_INDEX) == 1


def test_the_newest_entries_are_not_sorted_out_of_all(world: World, filled: Corner) -> None:
    plan = plan_of(world.db, filled, Wanted())
    assert plan.count("ix_audit_logs_created_at") == 2
    assert "Seq Scan" not in plan


def test_what_is_wanted_narrows(world: World, filled: Corner) -> None:
    async def body(db: Database) -> None:
        noon = datetime(2026, 1, 1, 1, tzinfo=UTC)
        hour = Wanted(since=noon, until=noon + timedelta(hours=1))
        assert (await audit.counts(db, hour)).entries == 2 * 3_600
        assert (await audit.counts(db, Wanted(action="ROW_DELETED"))).entries == 0
        assert (await audit.counts(db, Wanted(actor=str(UUID(int=1))))).entries == 0
        assert await audit.counts(db, entity(3)) == audit.Counts(100, 100)
        (only,) = await audit.entries(db, hour, limit=1)
        assert only.created_at == noon + timedelta(hours=1, seconds=-1)
        assert only.changes is not None
        assert only.changes["after"]["name"] == only.changes["before"]["name"] + 1

    world.run(body(world.db))


def test_an_export_is_whole_and_oldest_first(world: World, filled: Corner) -> None:
    async def body(db: Database) -> list[Entry]:
        return [entry async for entry in audit.export(db, Wanted(entity_type="users"))]

    entries = world.run(body(world.db))
    assert len(entries) == 20_000
    assert entries == sorted(entries, key=lambda each: (each.created_at, each.id))


@pytest.mark.parametrize("limit", [0, -1, audit.ENTRIES_MAX + 1])
def test_a_limit_has_a_limit(world: World, limit: int) -> None:
    with pytest.raises(errors.UsageError, match="Ask for 1 to"):
        world.run(audit.entries(world.db, limit=limit))


def test_a_log_of_another_module_joins_by_its_models(world: World) -> None:
    having = {
        manifest.name: audit.log_of(manifest) is not None
        for manifest in world.project.registry.ordered
    }
    assert having["auth"]
    assert not having["shop"]


ROWS, ENTITIES, READS = 10_000_000, 1_000_000, 1_000
INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = %s::regclass AND NOT indisprimary
"""


@contextmanager
def indexed_afterwards(here: Corner) -> Iterator[None]:
    """Build the logs' indexes once, instead of keeping them up to date for every row."""
    indexes = [
        index
        for log in ("auth.audit_logs", "corner.audit_logs")
        for index in here.owner.execute(INDEXES, [log]).fetchall()
    ]
    for name, _ in indexes:
        here.owner.execute(f"DROP INDEX {name}".encode())
    yield
    for _, definition in indexes:
        here.owner.execute(definition.encode())


@pytest.mark.full
def test_ten_million_entries(bedplate_clone: Clone, world: World) -> None:
    """The history of one of a million entities among ten million entries: p95 below 10 ms."""
    if world.mode == "sync":
        pytest.skip("the server's work is the same in both worlds")
    with corner(bedplate_clone) as here:
        here.owner.execute("SET statement_timeout = 0")
        with indexed_afterwards(here):
            fill(here, ROWS // 2, ENTITIES)
        choose = random.Random(1)

        async def read(db: Database) -> list[float]:
            times = []
            for _ in range(READS):
                wanted = entity(choose.randrange(ENTITIES))
                started = time.perf_counter()
                found = await audit.entries(db, wanted)
                times.append((time.perf_counter() - started) * 1_000)
                assert len(found) == ROWS // ENTITIES
            return sorted(times)

        times = world.run(read(world.db))
        captured = _captured(here)
    median, late = times[READS // 2], times[READS * 95 // 100]
    assert late < 10
    figures: dict[str, Any] = {
        "entries": ROWS,
        "entities": ENTITIES,
        "history_ms": {"median": round(median, 2), "p95": round(late, 2)},
        "rows_captured_per_s": captured,
    }
    text = (
        f"# Audit: {ROWS:,} entries\n\n"
        f"The history of one of {ENTITIES:,} entities, {READS:,} times: median {median:.2f} ms,"
        f" 95 of 100 below {late:.2f} ms.\n\n"
        f"Bulk statements on a captured table: {captured['insert']:,} rows inserted and"
        f" {captured['update']:,} rows updated per second, each with its entry.\n"
    )
    proofs.write("audit", text, figures)


def _captured(here: Corner) -> dict[str, int]:
    here.captured("id int PRIMARY KEY, name text, token text", redact=("token",))
    rows = 100_000
    statements = {
        "insert": f"INSERT INTO corner.things SELECT i, 'n', 't' FROM generate_series(1, {rows}) i",
        "update": "UPDATE corner.things SET name = 'm'",
    }
    found: dict[str, int] = {}
    for name, statement in statements.items():
        started = time.perf_counter()
        here.app.execute(statement.encode())
        found[name] = round(rows / (time.perf_counter() - started))
    return found
