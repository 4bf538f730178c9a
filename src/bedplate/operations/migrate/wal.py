"""The write-ahead log as a witness: every row written, by whichever session, is in it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bedplate.catalog import Connection, tools
from bedplate.kernel.errors import ToolFailed, ToolsMissing

LIMIT_S = 600.0

RECORD = re.compile(r"^rmgr: (\w+) .*? tx: +(\d+), .*? desc: ([^ ;,]+)(.*)$")
PLACE = re.compile(r"rel \d+/(\d+)/(\d+)")
SUBTRANSACTIONS = re.compile(r"subxacts: ([\d ]+)")

# A lock on a row, a hint or a pruned page is no change of what the row says.
WRITES = {
    "Heap": ("INSERT", "DELETE", "UPDATE", "HOT_UPDATE", "TRUNCATE"),
    "Heap2": ("MULTI_INSERT",),
}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a server's log, of which one database is looked at."""

    folder: Path
    major: int
    database: int
    start: Position
    end: Position


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log, and the name of the file that it is in."""

    lsn: str
    file: str


def position(connection: Connection) -> Position:
    """Return the log's position now, with everything before it written to the files."""
    row = connection.execute(
        "SELECT lsn::text, pg_catalog.pg_walfile_name(lsn)"
        " FROM pg_catalog.pg_current_wal_insert_lsn() lsn"
    ).fetchone()
    assert row is not None, "a function answers one row"
    # A commit that waits for the files takes everything before it along; it must have something
    # to write, or PostgreSQL lets it go without.
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = on")
        connection.execute("SELECT pg_catalog.pg_logical_emit_message(true, 'bedplate', '')")
    return Position(*row)


def keep(connection: Connection, name: str) -> None:
    """Let the server remove no file of the log from now on, until the connection closes."""
    # Where there is no room for another slot the files may yet live long enough.
    with suppress(psycopg.DatabaseError):
        connection.execute(
            "SELECT pg_catalog.pg_create_physical_replication_slot(%s, true, true)", [name]
        )


def folder(connection: Connection) -> Path | None:
    """Return where the log's files lie; None where this process cannot read them."""
    try:
        row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    place = Path(str(row[0]) if row else "", "pg_wal")
    try:
        return place if any(place.iterdir()) else None
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Written:
    """What was read of a span: how many records, and the tables others than the runner wrote."""

    records: int
    foreign: frozenset[str]


def read(span: Span, files: Mapping[str, str], runner: Collection[str]) -> Written | None:
    """Read a span; None where that fails, such as when the server has removed its files by now.

    `files` maps the files of the tables that are watched to their names; `runner` are those of the
    runner's own tables. Each of its transactions writes there, and that tells them from others'.
    What was rolled back is left out.
    """
    if span.start == span.end:
        return Written(0, frozenset())
    # The program would wait some seconds for a file that is gone.
    if not (span.folder / span.start.file).exists():
        return None
    argv = [f"--path={span.folder}", f"--start={span.start.lsn}", f"--end={span.end.lsn}"]
    argv += [f"--rmgr={manager}" for manager in (*WRITES, "Transaction")]
    # Without a file's name the program would ask any of them how large they are, an empty one too;
    # with the first alone it refuses an end that is in another.
    argv += [span.start.file, span.end.file]
    try:
        finished = tools(span.major).run("pg_waldump", argv, timeout_s=LIMIT_S)
    except (ToolFailed, ToolsMissing):
        return None
    lines = finished.stdout.splitlines()
    found = _Transactions(span.database)
    for line in lines:
        found.add(line)
    ours = found.writers_of(runner)
    foreign = {
        files[file] for top, file in found.committed_writes if top not in ours and file in files
    }
    return Written(len(lines), frozenset(foreign))


class _Transactions:
    """Which transactions of one database wrote to which files, gathered record by record."""

    def __init__(self, database: int) -> None:
        self._database = database
        self._writes: defaultdict[str, set[str]] = defaultdict(set)
        self._committed: set[str] = set()
        self._top: dict[str, str] = {}

    def add(self, line: str) -> None:
        record = RECORD.match(line)
        if record is None:
            return
        manager, transaction, what, rest = record.groups()
        if manager == "Transaction" and what.startswith("COMMIT"):
            self._committed.add(transaction)
            nested = SUBTRANSACTIONS.search(rest)
            self._top |= dict.fromkeys(nested[1].split() if nested else (), transaction)
        elif what.split("+")[0] in WRITES.get(manager, ()):
            for database, file in PLACE.findall(rest):
                if int(database) == self._database:
                    self._writes[transaction].add(file)

    @property
    def committed_writes(self) -> Iterator[tuple[str, str]]:
        """Each transaction that was committed, with each file that it or a part of it wrote."""
        for transaction, files in self._writes.items():
            top = self._top.get(transaction, transaction)
            if top in self._committed:
                yield from ((top, file) for file in files)

    def writers_of(self, files: Collection[str]) -> set[str]:
        return {top for top, file in self.committed_writes if file in files}
