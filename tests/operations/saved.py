"""A database worth saving, a folder to save it in, and ways to spoil what was saved."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from bedplate.kernel import clock, registry
from bedplate.operations import migrate
from bedplate.operations.backup import Backup, create
from bedplate.operations.backup import manifest as manifest_file
from bedplate.operations.backup.verify import saved_files
from tests.databases import Server, TestDatabase, new_database

_numbers = itertools.count(1)
ROWS = """
CREATE SCHEMA "Odd shop";
CREATE TYPE "Odd shop".colour AS ENUM ('red', 'green');
CREATE DOMAIN "Odd shop".share AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE "Odd shop".orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "the note" text, colour "Odd shop".colour, share "Odd shop".share, data jsonb, raw bytea,
    at timestamptz NOT NULL DEFAULT '2026-01-01Z', days integer[]
);
INSERT INTO "Odd shop".orders ("the note", colour, share, data, raw, days)
SELECT repeat('é', n % 50), 'red', 12.50, jsonb_build_object('n', n), decode('00ff', 'hex'), '{1,2}'
FROM generate_series(1, 2000) n;
CREATE INDEX ON "Odd shop".orders (colour) WHERE share > 1;
CREATE TABLE "Odd shop".events (at date NOT NULL, n integer) PARTITION BY RANGE (at);
CREATE TABLE "Odd shop".events_2026 PARTITION OF "Odd shop".events
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO "Odd shop".events SELECT '2026-02-03', n FROM generate_series(1, 300) n;
CREATE VIEW "Odd shop".red AS SELECT id FROM "Odd shop".orders WHERE colour = 'red';
CREATE MATERIALIZED VIEW "Odd shop".counted AS SELECT count(*) AS n FROM "Odd shop".orders;
CREATE MATERIALIZED VIEW "Odd shop".later AS SELECT id FROM "Odd shop".orders WITH NO DATA;
ALTER TABLE "Odd shop".orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_of_them ON "Odd shop".orders USING (true);
COMMENT ON TABLE "Odd shop".orders IS 'What was ordered';
"""


@pytest.fixture(scope="module")
def filled(server: Server) -> Iterator[str]:
    """The name of a database with modules and rows in it, to copy."""
    with new_database(server) as made:
        migrate.apply_unproven(
            registry.load(("auth", "credits")), owner_url=made.owner_url, app_url=made.app_url
        )
        with psycopg.connect(made.owner_url) as owner:
            owner.execute(ROWS.encode())
            owner.execute(
                "INSERT INTO auth.users (id, email)"
                " SELECT gen_random_uuid(), n || '@example.com' FROM generate_series(1, 20) n"
            )
        yield made.name


@pytest.fixture
def place(server: Server, filled: str, database: TestDatabase) -> TestDatabase:
    """A copy of it, of the test's own."""
    owner, app, _ = database.roles
    for statement in (
        "DROP DATABASE {name}",
        "CREATE DATABASE {name} TEMPLATE {filled} OWNER {owner}",
        "REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {name} TO {app}",
    ):
        with psycopg.connect(server.url("admin"), autocommit=True) as admin:
            names = {"name": database.name, "filled": filled, "owner": owner, "app": app}
            admin.execute(
                sql.SQL(statement).format(**{k: sql.Identifier(v) for k, v in names.items()})
            )
    return database


@pytest.fixture(scope="module")
def kept(server: Server, filled: str, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """A backup of it, to copy."""
    return create(server.url("owner", filled), tmp_path_factory.mktemp("kept") / "backups")


@pytest.fixture
def made(kept: Backup, shelf: Path) -> Backup:
    """A copy of the backup, to spoil."""
    shelf.mkdir(parents=True)
    return Backup(Path(shutil.copytree(kept.folder, shelf / kept.id)), kept.manifest)


@pytest.fixture
def admin_url(server: Server) -> str:
    return server.url("admin")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "backups"


@pytest.fixture
def into(admin_url: str) -> Iterator[str]:
    """A name for a database to restore into, which is dropped afterwards."""
    name = f"back{os.getpid()}_{next(_numbers)}"
    yield name
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


@pytest.fixture
def time() -> Iterator[list[datetime]]:
    """A clock that shows the last of these."""
    shown = [datetime(2026, 7, 1, 12, tzinfo=UTC)]
    clock.freeze(lambda: shown[-1])
    yield shown
    clock.freeze(None)


def databases(admin_url: str) -> set[str]:
    with psycopg.connect(admin_url) as admin:
        return {name for (name,) in admin.execute("SELECT datname FROM pg_database")}


def ask(place: TestDatabase, query: str, name: str | None = None) -> Any:
    with psycopg.connect(place.admin_url, **({"dbname": name} if name else {})) as admin:
        row = admin.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    found = bytearray(path.read_bytes())
    found[len(found) // 2] ^= 1
    path.write_bytes(found)


def remade(made: Backup, **changes: Any) -> Backup:
    """The same backup with another manifest and hashes that agree with it."""
    files = [each for each in saved_files(made.folder) if "manifest" not in each.path]
    changed = msgspec.structs.replace(made.manifest, files=tuple(files), **changes)
    for name in (manifest_file.MANIFEST, manifest_file.SEAL):
        (made.folder / name).unlink()
    manifest_file.write(made.folder, changed)
    return Backup(made.folder, changed)


def at(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return make_conninfo(url, dbname=name)


@contextmanager
def create_in_a_process(
    place: TestDatabase, shelf: Path, *, never_ends: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Make a backup in a process that can be killed; one that never ends stays behind its dump."""
    module = "sys.modules['bedplate.operations.backup.create']"
    stay = f" {module}.saved_files = lambda _: time.sleep(600);"
    code = (
        "import sys, pathlib, time; from bedplate.operations import backup;"
        f"{stay if never_ends else ''}"
        " backup.create(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, place.owner_url, str(shelf)])
    yield process
