"""What no receipt accounts for: the work of other sessions than the migration's own.

A receipt is read in the migration's transaction. What a revision writes over a connection of its
own (or dblink, or a background job) escapes it, and what such a connection defines it takes for
the application's. On a private copy nobody else has any business: whatever changed there of what
existed before is either the migration's, or a finding.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from bedplate.catalog import Connection, connect
from bedplate.kernel.lines import Line
from bedplate.operations.migrate import wal
from bedplate.operations.migrate.copies import PURPOSE, Copy, with_database
from bedplate.operations.migrate.plan import PlannedStep
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.state import own_tables
from bedplate.operations.migrate.witness_queries import LARGE_OBJECTS, REHEARSED

LEAVE_LIMIT_S = 5.0
POLL_S = 0.01

# Rows written since the copy was made, by anybody, whether their transaction committed or not.
# From pg_class itself: the function for a relation's file may answer from a stale cache.
RELATIONS = """
SELECT c.oid, n.nspname || '.' || c.relname, c.relfilenode::text, c.relpersistence = 'u',
       coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
   OR c.oid = ANY (%s) AND EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
"""
OTHERS = """
SELECT pid FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
  AND backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class _Relation:
    name: str
    file: str
    is_unlogged: bool
    rows: int


@contextmanager
def watching(copy: Copy, lines: Sequence[Line]) -> Generator[SecondSessions]:
    """Watch a copy while the block runs; the server keeps its log for as long."""
    url = with_database(copy.admin_url, "postgres")
    with connect(url, autocommit=True, purpose=PURPOSE) as keeper:
        wal.keep(keeper, copy.name)
        rehearsed = sql.SQL("ALTER DATABASE {} SET {} = 'on'")
        keeper.execute(
            rehearsed.format(sql.Identifier(copy.name), sql.Identifier(*REHEARSED.split(".")))
        )
        yield SecondSessions(copy, lines)


class SecondSessions:
    """Watches one copy, from before the first step to after the last; made by `watching`."""

    def __init__(self, copy: Copy, lines: Sequence[Line]) -> None:
        self._copy = copy
        with _alone(copy) as connection:
            self._before = _relations(connection)
            self._database = _database(connection)
            self._start = wal.position(connection)
        self._own = own_tables(lines)
        self._watched = {
            oid: each for oid, each in self._before.items() if each.name not in self._own
        }
        self._runner = self._runner_files(self._before)

    def look(self) -> None:
        """Learn the runner's own tables as they are now: the way back may take them away again."""
        with connect(self._copy.admin_url, autocommit=True, purpose=PURPOSE) as connection:
            self._runner |= self._runner_files(_relations(connection))

    def findings(
        self, steps: Sequence[PlannedStep], receipts: Sequence[Receipt]
    ) -> tuple[list[str], list[str]]:
        """Return what other sessions changed, a sentence for each, and the witnesses read.

        `receipts` are those of the way up: what they account for is the migration's.
        """
        found = {
            name: "it came, went or changed while a revision ran"
            for receipt in receipts
            for name in receipt.external
            if name not in self._own
        }
        witnesses = ["no table was there before"]
        if self._watched:
            with _alone(self._copy) as connection:
                after = _relations(connection)
                written, witness = self._read_wal(connection, after)
            found |= self._tables(steps, receipts, after, written)
            witnesses = [f"row counters and files of {len(self._watched)} tables", witness]
        return [
            f"Another session than the migration's own changed {name}: {what}."
            for name, what in sorted(found.items())
        ], witnesses

    def _tables(
        self,
        steps: Sequence[PlannedStep],
        receipts: Sequence[Receipt],
        after: Mapping[int, _Relation],
        written: frozenset[str] | None,
    ) -> Mapping[str, str]:
        """Tell by its name what others did to each table that existed before."""
        declared = {name for step in steps for name in step.touches.rows}
        moved = declared | {name for step in steps for name in step.touches.rewritten}
        moved |= {name for receipt in receipts for name in receipt.rewritten}
        shaped = {name for receipt in receipts for name in receipt.shape_changes}
        # Steps outside of a transaction write from several, which the runner's tables do not tell.
        if not all(step.transactional for step in steps):
            written = None if written is None else written - declared
        found: dict[str, str] = {}
        for oid, was in self._watched.items():
            now = after.get(oid)
            if was.name in (written or ()):
                found[was.name] = "rows were written"
            elif now is None:
                if was.name not in shaped:
                    found[was.name] = "it was dropped"
            elif now.file != was.file and was.name not in moved:
                found[was.name] = "it was truncated or written anew"
            # The counters cannot tell whose a row is; what the WAL has they are not asked.
            elif (
                (written is None or was.is_unlogged)
                and was.name not in declared
                and now.rows != was.rows
            ):
                found[was.name] = f"{now.rows - was.rows} rows were written"
        return found

    def _read_wal(
        self, connection: Connection, after: Mapping[int, _Relation]
    ) -> tuple[frozenset[str] | None, str]:
        """Return the tables that others wrote by the WAL, None where it cannot be read."""
        end = wal.position(connection)
        folder = wal.folder(connection)
        if folder is None:
            return None, "no WAL: its files cannot be read from here"
        runner = self._runner | self._runner_files(after)
        files = {each.file: each.name for each in self._watched.values()}
        major = connection.info.server_version // 10_000
        read = wal.read(wal.Span(folder, major, self._database, self._start, end), files, runner)
        if read is None:
            return None, "no WAL: it could not be read"
        return read.foreign, f"{read.records} records of WAL"

    def _runner_files(self, relations: Mapping[int, _Relation]) -> set[str]:
        return {each.file for each in relations.values() if each.name in self._own}


def _database(connection: Connection) -> int:
    query = "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
    row = connection.execute(query).fetchone()
    assert row is not None, "a connection is to a database"
    return int(row[0])


def _relations(connection: Connection) -> Mapping[int, _Relation]:
    rows = connection.execute(RELATIONS, [list(LARGE_OBJECTS)]).fetchall()
    return {oid: _Relation(*rest) for oid, *rest in rows}


def _alone(copy: Copy) -> Connection:
    """Connect once everybody else has left, for a session counts its rows when it ends.

    Whoever stays is shown out: a revision may have left a connection open.
    """
    connection = connect(copy.admin_url, autocommit=True, purpose=PURPOSE)
    deadline = time.monotonic() + LEAVE_LIMIT_S
    patience = time.monotonic() + LEAVE_LIMIT_S / 10
    while others := connection.execute(OTHERS).fetchall():
        if time.monotonic() > deadline:
            break
        if time.monotonic() > patience:
            for (pid,) in others:
                connection.execute("SELECT pg_catalog.pg_terminate_backend(%s)", [pid])
        time.sleep(POLL_S)
    return connection
