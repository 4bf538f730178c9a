"""Save a database: what pg_dump writes, and what it takes to know that a copy is the same."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
from psycopg import IsolationLevel

from bedplate.catalog import Connection, connect, tools
from bedplate.kernel import clock, ids, sqlstates
from bedplate.operations.backup import making, shelf, survey
from bedplate.operations.backup.manifest import (
    CATALOG,
    DUMP,
    ID_FORMAT,
    Backup,
    Manifest,
    write,
    write_file,
)
from bedplate.operations.backup.progress import OnProgress, Progress, watching
from bedplate.operations.backup.verify import saved_files

JOBS_MAX = 4
# Below this, the connections of the jobs cost more than they save.
BYTES_PER_JOB = 64 * 1024 * 1024
NEVER_GIVE_UP = """
SELECT pg_catalog.set_config(name, '0', true)
FROM pg_catalog.pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""


def create(url: str, folder: Path, *, on_progress: OnProgress | None = None) -> Backup:
    """Save the database of `url` into a new folder of its own below `folder`, and return it.

    `url` is of a role that may read everything: the owner's, or the administrator's. What the
    manifest says of the tables is read in the same snapshot as the dump, so it is exact however
    many write meanwhile. A backup that is not finished is never listed.

    Raises BackupRefused, ToolsMissing (no pg_dump of the server's major version), ToolFailed and
    the ConnectionFailed errors.
    """
    shelf.clear(folder)
    with connect(url, purpose="backup") as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            return _create(connection, url, folder, on_progress)
        except psycopg.Error as error:
            raise sqlstates.translate(error) from None


def jobs(size: int) -> int:
    """Return how many connections to work with at once, for so many bytes."""
    return max(1, min(JOBS_MAX, os.cpu_count() or 1, size // BYTES_PER_JOB))


def _create(
    connection: Connection, url: str, folder: Path, on_progress: OnProgress | None
) -> Backup:
    connection.execute(NEVER_GIVE_UP)
    found = survey.facts(connection)
    programs = tools(found.major)
    exported = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
    assert exported is not None, "a function answers one row"
    made_at = clock.now()
    name = f"{made_at.strftime(ID_FORMAT)}-{ids.new().hex[-6:]}"
    with shelf.making(folder, name) as place:
        state = survey.state(connection, on_progress=on_progress)
        write_file(place / CATALOG, state.catalog.encode())
        with watching(on_progress, lambda: _dumped(place, len(state.contents))):
            options = [f"--jobs={jobs(found.size)}", f"--snapshot={exported[0]}", "--compress=1"]
            programs.dump(url, place / DUMP, options)
        files = saved_files(place)
        manifest = Manifest(
            id=name,
            database=found.name,
            identity=found.identity,
            server_version=found.server_version,
            major=found.major,
            made_at=made_at,
            size=sum(each.size for each in files),
            database_bytes=found.size,
            fingerprint=state.fingerprint,
            contents=state.contents,
            modules=survey.modules(connection),
            making=making.read_making(connection),
            files=files,
        )
        write(place, manifest)
    return Backup(folder / name, manifest)


def _dumped(place: Path, tables: int) -> Progress:
    """Count the files: pg_dump writes one for each table, and begins with the largest."""
    return Progress("Dumping", sum(1 for _ in (place / DUMP).glob("*.dat*")), tables)
