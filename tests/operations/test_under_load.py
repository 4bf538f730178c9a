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
from tests.operations.traffic import Traffic

REVISIONS = ("0003_prices", "0004_indexes", "0005_cents")


def migrated_under_load(
    database: TestDatabase, folder: Path, *, rows: int, connections: int, calm_s: float
) -> dict[str, Any]:
    """Migrate there, and back, while the app writes; return the figures."""
    line = LongLine(database, folder, rows=rows, batch=1_000)
    ((version,),) = line.found("SHOW server_version")
    with line.owner:
        line.owner.execute(f'GRANT UPDATE ON shop.items TO "{database.roles[1]}"'.encode())
        with Traffic(database.app_url, connections, rows) as traffic:
            time.sleep(calm_s)
            calm_ms, calm_done = traffic.restart_clock(), traffic.done
            began = time.monotonic()
            assert tuple(line.apply()) == REVISIONS
            apply_s, apply_ms = time.monotonic() - began, traffic.restart_clock()
            apply_done = traffic.done - calm_done
            size = line.found(
                "SELECT pg_total_relation_size('bedplate.before_images'),"
                " (SELECT count(*) FROM bedplate.before_images)"
            )
            began = time.monotonic()
            line.undo()
            undo_s, undo_ms = time.monotonic() - began, traffic.restart_clock()
        assert line.found(
            "SELECT count(*) FROM shop.items WHERE price < 1.11 OR price IS NULL"
        ) == [(0,)]
        assert line.found(f"SELECT count(*) - {rows} FROM shop.items") == [(len(traffic.inserted),)]
        assert line.invalid == 0
    assert traffic.failures == []
    return {
        "postgresql": version,
        "rows": rows,
        "connections": connections,
        "statements_during_apply": apply_done,
        "failed": len(traffic.failures),
        "apply_s": round(apply_s, 1),
        "undo_s": round(undo_s, 1),
        "longest_statement_before_ms": round(calm_ms, 1),
        "longest_statement_during_apply_ms": round(apply_ms, 1),
        "longest_statement_during_undo_ms": round(undo_ms, 1),
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
    # Two seconds is what a revision waits for its lock at most; half a second is the aim.
    assert figures["longest_statement_during_apply_ms"] < 2_500


@pytest.mark.full
def test_two_million_rows_are_migrated_beside_the_traffic(
    shop_database: TestDatabase, tmp_path: Path
) -> None:
    figures = migrated_under_load(
        shop_database, tmp_path, rows=2_000_000, connections=8, calm_s=5.0
    )
    longest = (
        f"{figures['longest_statement_before_ms']:,} ms,"
        f" {figures['longest_statement_during_apply_ms']:,} ms,"
        f" {figures['longest_statement_during_undo_ms']:,} ms"
    )
    text = f"""# Migrating two million rows beside writing traffic

`pytest --full tests/operations/test_under_load.py`: a column and a NOT VALID check are added, two
indexes are built concurrently and one is dropped, the check is validated, and a backfill sets the
column in batches of 1,000; then all of it is undone. Meanwhile {figures["connections"]} connections
of the app's role insert and update rows of the same table. {platform.system()},
{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {figures["postgresql"]} without fsync, other
work on the machine.

| | |
|---|---|
| rows at the start | {figures["rows"]:,} |
| statements of the app's during apply | {figures["statements_during_apply"]:,} |
| of them failed | {figures["failed"]} |
| longest one before, during apply, during undo | {longest} |
| apply, undo | {figures["apply_s"]} s, {figures["undo_s"]} s |
| before-images | {figures["before_images"]:,} |
| bytes of each, with its index | {figures["before_images_bytes_per_row"]} |
"""
    proofs.write("migrate-under-load", text, figures)
    assert figures["failed"] == 0
