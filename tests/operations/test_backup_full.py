"""A large database is saved while many write to it: `pytest --full`, about a minute."""

from __future__ import annotations

import os
import platform
import random
import threading
import time
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import errors
from bedplate.operations import backup
from tests import proofs
from tests.databases import TestDatabase
from tests.operations.saved import admin_url, create_in_a_process, databases, flip, into

__all__ = ["admin_url", "into"]

ROWS = 1_000_000
WRITERS = 4
KILLS = 10
TABLE = """
CREATE SCHEMA big CREATE TABLE big.rows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL
);
"""
FILL = "INSERT INTO big.rows (note) SELECT repeat(md5(n::text), 6) FROM generate_series(1, %s) n"

pytestmark = pytest.mark.full


def test_a_large_database_comes_back_row_for_row(
    database: TestDatabase, admin_url: str, into: str, tmp_path: Path
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(TABLE)
        owner.execute(FILL, [ROWS])
    written, stopping = [0] * WRITERS, threading.Event()

    def write(number: int) -> None:
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            while not stopping.is_set():
                owner.execute("INSERT INTO big.rows (note) VALUES ('meanwhile')")
                written[number] += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    began = time.monotonic()
    made = backup.create(database.owner_url, tmp_path)
    created_s = time.monotonic() - began
    stopping.set()
    for writer in writers:
        writer.join()
    began = time.monotonic()
    backup.verify(made)
    verified_s = time.monotonic() - began
    began = time.monotonic()
    restored = backup.restore(made, admin_url, into)
    restored_s = time.monotonic() - began
    assert ROWS <= restored.rows < ROWS + sum(written)

    refused = _flipped(made, admin_url)
    listed = _killed(database, tmp_path, created_s)
    figures = {
        "database_mb": round(made.manifest.database_bytes / 1e6),
        "backup_mb": round(made.manifest.size / 1e6),
        "rows": restored.rows,
        "rows_written_meanwhile": sum(written),
        "create_s": round(created_s, 1),
        "verify_s": round(verified_s, 2),
        "restore_s": round(restored_s, 1),
        "flips": refused,
        "kills": {"killed": KILLS, "half_backups_listed": listed},
        "machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}, PostgreSQL "
        f"{made.manifest.server_version}",
    }
    lines = [
        "# Backups of a large database",
        "",
        f"Run by `pytest --full`; {figures['machine']}.",
        "",
        f"{figures['database_mb']} MB and {restored.rows:,} rows, while {WRITERS} clients wrote "
        f"{sum(written):,} more: restored, and every row of the snapshot compared.",
        "",
        "| | |",
        "|---|---|",
        f"| create, with the hash of every row ({figures['backup_mb']} MB) | {created_s:.1f} s |",
        f"| verify every file | {verified_s:.2f} s |",
        f"| restore, with the comparison of every row | {restored_s:.1f} s |",
        f"| files with one bit flipped, refused | {refused['refused']} of {refused['files']} |",
        "| creates killed with SIGKILL at random, listed without being whole "
        f"| {listed} of {KILLS} |",
    ]
    proofs.write("backup", "\n".join(lines), figures)
    assert refused["refused"] == refused["files"]
    assert listed == 0


def _flipped(made: backup.Backup, admin_url: str) -> dict[str, int]:
    """Flip one bit of each file in turn; count how many were refused before anything was made."""
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    before, refused = databases(admin_url), 0
    for path in files:
        whole = path.read_bytes()
        flip(path)
        try:
            backup.restore(made, admin_url, "never_made")
        except errors.BackupDamaged:
            refused += databases(admin_url) == before
        path.write_bytes(whole)
    backup.verify(made)
    return {"files": len(files), "refused": refused}


def _killed(database: TestDatabase, shelf: Path, created_s: float) -> int:
    """Kill creates at random moments; return how many of them are listed without being whole."""
    chance = random.Random(4)
    for _ in range(KILLS):
        with create_in_a_process(database, shelf) as process:
            time.sleep(chance.uniform(0.3, created_s + 1))
            process.kill()
            process.wait()
    broken = 0
    for each in backup.listed(shelf):
        try:
            backup.verify(each)
        except errors.BackupDamaged:
            broken += 1
    return broken + len(backup.damaged(shelf))
