"""A migration beside writing traffic: no statement of the app's fails, and how long one waits."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import pytest

from tests import proofs
from tests.databases import TestDatabase
from tests.operations.long_line import LongLine
from tests.operations.standard_changes import CHANGES, GROUND
from tests.operations.traffic import Seen, Traffic

GROUND_NAME = "0003_ground"
STALL_MS_MAX = 500


class Clock:
    """The longest statement of the traffic's during each revision, and what it did in all."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._current = ""
        self.began = time.monotonic()
        self.longest_ms: dict[str, float] = {}
        self.done = 0
        self.inserted = 0
        self.failures: list[str] = []

    def begins(self, revision: str) -> None:
        self._note(self._traffic.look())
        self._current = revision

    def ends(self) -> float:
        """Return how long it took in all, in seconds."""
        self.begins("")
        return round(time.monotonic() - self.began, 1)

    def _note(self, seen: Seen) -> None:
        if self._current:
            self.longest_ms[self._current] = round(seen.longest_ms, 1)
        self.done += seen.done
        self.inserted += seen.inserted
        self.failures += seen.failures


def migrated_under_load(
    database: TestDatabase, folder: Path, *, rows: int, connections: int, calm_s: float
) -> dict[str, Any]:
    """Migrate there, and back, while the app writes; return the figures."""
    line = LongLine(database, folder, rows=rows, more={GROUND_NAME: GROUND})
    line.apply()
    for name, body in CHANGES.items():
        line.module.add(name, body)
    ((version,),) = line.found("SHOW server_version")
    with line.owner:
        line.owner.execute(f'GRANT UPDATE ON shop.items TO "{database.roles[1]}"'.encode())
        with Traffic(database.app_url, connections, rows) as traffic:
            first = traffic.look()
            time.sleep(calm_s)
            calm = traffic.look()
            there = Clock(traffic)
            assert tuple(line.apply(there.begins)) == tuple(CHANGES)
            apply_s = there.ends()
            size = line.found(
                "SELECT pg_total_relation_size('bedplate.before_images'),"
                " (SELECT count(*) FROM bedplate.before_images)"
            )
            back = Clock(traffic)
            line.undo(GROUND_NAME, back.begins)
            undo_s = back.ends()
            rest = traffic.end()
        parts = (first, calm, there, back, rest)
        failures = [failure for part in parts for failure in part.failures]
        assert failures == []
        inserted = sum(part.inserted for part in parts)
        assert line.found(f"SELECT count(*) - {rows} FROM shop.items") == [(inserted,)]
        assert line.found(
            "SELECT count(*) FROM shop.items WHERE price < 1.11 OR price IS NULL"
        ) == [(0,)]
        assert line.invalid == 0
    return {
        "postgresql": version,
        "rows": rows,
        "connections": connections,
        "statements_during_apply": there.done,
        "failed": len(failures),
        "apply_s": apply_s,
        "undo_s": undo_s,
        "longest_statement_before_ms": round(calm.longest_ms, 1),
        "longest_statement_during_apply_ms": there.longest_ms,
        "longest_statement_during_undo_ms": back.longest_ms,
        "before_images": size[0][1],
        "before_images_bytes_per_row": round(size[0][0] / max(1, size[0][1])),
    }


def test_no_statement_of_the_app_fails_while_it_is_migrated(
    shop_database: TestDatabase, tmp_path: Path
) -> None:
    figures = migrated_under_load(shop_database, tmp_path, rows=5_000, connections=3, calm_s=0.2)
    print(figures)
    assert figures["statements_during_apply"] > 20
    assert figures["before_images"] >= 5_000


@pytest.mark.full
def test_two_million_rows_are_migrated_beside_the_traffic(
    shop_database: TestDatabase, tmp_path: Path
) -> None:
    figures = migrated_under_load(
        shop_database, tmp_path, rows=2_000_000, connections=8, calm_s=5.0
    )
    ways = [figures[f"longest_statement_during_{way}_ms"] for way in ("apply", "undo")]
    stalls = "\n".join(
        f"| {name} | {ways[0][name]:,} ms | {ways[1][name]:,} ms |" for name in CHANGES
    )
    text = f"""# Migrating two million rows beside writing traffic

`pytest --full tests/operations/test_under_load.py`: the twelve recipes of
docs/howto/migrate-without-downtime.md as six revisions, with a backfill of every row; then all of
it is undone. Meanwhile {figures["connections"]} connections of the app's role insert and update
rows of the same table. {platform.system()}, {platform.machine()}, {os.cpu_count()} CPUs,
PostgreSQL {figures["postgresql"]} without fsync.

| | |
|---|---|
| rows at the start | {figures["rows"]:,} |
| statements of the app's during apply | {figures["statements_during_apply"]:,} |
| of them failed | {figures["failed"]} |
| longest one before | {figures["longest_statement_before_ms"]:,} ms |
| apply, undo | {figures["apply_s"]} s, {figures["undo_s"]} s |
| before-images | {figures["before_images"]:,} |
| bytes of each, with its index | {figures["before_images_bytes_per_row"]} |

The longest statement of the app's during each revision:

| revision | there | back |
|---|---|---|
{stalls}
"""
    print(text)
    proofs.write("migrate-under-load", text, figures)
    longest = {name: max(way[name] for way in ways) for name in CHANGES}
    assert [name for name, ms in longest.items() if ms > STALL_MS_MAX] == [], longest
