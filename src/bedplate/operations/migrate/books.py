"""The runner's own books: receipts, chained by hash, and a journal; append-only both.

They lie in the kernel's schema but belong to no line: the runner makes them before the first
revision and writes them after the witnesses are read, in the same transaction as the version. An
entry is one JSON document; its hash is that of the entry before it and of its own text, so that
nobody can change, drop or slip in an entry without every later hash being wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from bedplate.catalog import Connection, connect, read_versions
from bedplate.kernel import clock
from bedplate.kernel.lines import KERNEL_LINE, Line
from bedplate.operations.checks import GENESIS, HASHED, Book, faults
from bedplate.operations.migrate.target import Target

CREATE = """
CREATE FUNCTION bedplate.refuse_in_books() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: its rows are history.',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'BP001';
END $$;
COMMENT ON FUNCTION bedplate.refuse_in_books() IS 'Keeps the runner''s books append-only.';
REVOKE ALL ON FUNCTION bedplate.refuse_in_books() FROM PUBLIC;
CREATE TABLE bedplate.receipts (
    number integer PRIMARY KEY,
    document jsonb NOT NULL,
    previous_hash text NOT NULL UNIQUE,
    hash text NOT NULL UNIQUE,
    module text GENERATED ALWAYS AS (document ->> 'module') STORED,
    revision text GENERATED ALWAYS AS (document ->> 'revision') STORED,
    direction text GENERATED ALWAYS AS (document ->> 'direction') STORED
);
CREATE TABLE bedplate.journal (
    number integer PRIMARY KEY,
    document jsonb NOT NULL,
    previous_hash text NOT NULL UNIQUE,
    hash text NOT NULL UNIQUE,
    what text GENERATED ALWAYS AS (document ->> 'what') STORED
);
CREATE TRIGGER tr_receipts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bedplate.receipts
    FOR EACH STATEMENT EXECUTE FUNCTION bedplate.refuse_in_books();
CREATE TRIGGER tr_journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bedplate.journal
    FOR EACH STATEMENT EXECUTE FUNCTION bedplate.refuse_in_books();
COMMENT ON TABLE bedplate.receipts IS
    'What each revision touched of what existed before it; kept by bedplate migrate.';
COMMENT ON COLUMN bedplate.receipts.number IS 'Place in the chain, from 1.';
COMMENT ON COLUMN bedplate.receipts.document IS 'The receipt.';
COMMENT ON COLUMN bedplate.receipts.previous_hash IS 'The hash of the receipt before it.';
COMMENT ON COLUMN bedplate.receipts.hash IS 'SHA-256 of that hash and of this receipt.';
COMMENT ON COLUMN bedplate.receipts.module IS 'The line.';
COMMENT ON COLUMN bedplate.receipts.revision IS 'The revision.';
COMMENT ON COLUMN bedplate.receipts.direction IS 'up or down.';
COMMENT ON TABLE bedplate.journal IS
    'What an operator decided about migrations; kept by bedplate migrate.';
COMMENT ON COLUMN bedplate.journal.number IS 'Place in the chain, from 1.';
COMMENT ON COLUMN bedplate.journal.document IS 'What was decided, by whom and when.';
COMMENT ON COLUMN bedplate.journal.previous_hash IS 'The hash of the entry before it.';
COMMENT ON COLUMN bedplate.journal.hash IS 'SHA-256 of that hash and of this entry.';
COMMENT ON COLUMN bedplate.journal.what IS 'What was decided.';
"""
DROP = """
DROP TABLE IF EXISTS bedplate.receipts, bedplate.journal, bedplate.backfills,
    bedplate.before_images, bedplate.steps;
DROP FUNCTION IF EXISTS bedplate.refuse_in_books();
"""
PRESENT = """
SELECT pg_catalog.to_regnamespace('bedplate') IS NOT NULL,
    pg_catalog.to_regclass('bedplate.receipts') IS NOT NULL
"""
UNREADABLE = """
SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE r.rolname = ANY (%s)
    AND NOT pg_catalog.has_table_privilege(r.oid, 'bedplate.receipts', 'SELECT')
"""
NEWEST = "SELECT number, hash FROM {} ORDER BY number DESC LIMIT 1"
INSERT = (
    "INSERT INTO {} (number, document, previous_hash, hash)"
    " SELECT %s, said, %s, " + HASHED.format(previous="%s", document="said") + ""
    " FROM (SELECT %s::jsonb AS said) entry"
)
READ = "SELECT number, document, document::text, previous_hash, hash FROM {} ORDER BY number"
MADE = """
SELECT document -> 'added', document ->> 'before' FROM bedplate.receipts
WHERE module = %s AND revision = %s AND direction = 'up' ORDER BY number DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operator decided about migrations (without proof, baseline), for the journal."""

    what: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a book; `text` is its document as it is stored and hashed.

    Anybody can recount the chain: `hash` is the SHA-256 of `previous_hash`, a line feed and `text`.
    """

    number: int
    document: dict[str, Any]
    text: str
    previous_hash: str
    hash: str

    @property
    def at(self) -> datetime:
        """When it was written."""
        return datetime.fromisoformat(self.document["at"])


@dataclass(frozen=True, slots=True)
class Chain:
    """A book that was read whole; `faults` says in sentences what is wrong with it."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]


def present(connection: Connection) -> bool:
    """Tell whether the database keeps books."""
    row = connection.execute(PRESENT).fetchone()
    assert row is not None, "SELECT without FROM answers one row"
    return bool(row[1])


def ensure(connection: Connection, *readers: str | None) -> bool:
    """Make the books where the kernel's schema is and they are not; tell whether they are there.

    `readers` are roles that may read them, the app's and the reader's.
    """
    row = connection.execute(PRESENT).fetchone()
    assert row is not None, "SELECT without FROM answers one row"
    schema, books = row
    if not schema:
        return False
    if not books:
        connection.execute(CREATE)
    named = [role for role in readers if role is not None]
    for (role,) in connection.execute(UNREADABLE, [named]).fetchall() if named else ():
        grant = sql.SQL("GRANT SELECT ON bedplate.receipts, bedplate.journal TO {}")
        connection.execute(grant.format(sql.Identifier(role)))
    return True


def drop(connection: Connection) -> None:
    """Drop the books, with the kernel's whole schema: of a database without Bedplate."""
    connection.execute(DROP)


def note(connection: Connection, *decisions: Decision) -> None:
    """Write into the journal what an operator decided, and who it was; the books are there.

    Whoever writes holds the migration lock: see `append`.
    """
    with connection.transaction():
        for each in decisions:
            said = {"what": each.what, "details": dict(each.details)}
            append(connection, "journal", {**said, **signed(connection)})


def signed(connection: Connection) -> dict[str, str]:
    """Return who writes and when."""
    row = connection.execute("SELECT session_user::text").fetchone()
    assert row is not None, "SELECT without FROM answers one row"
    return {"by": row[0], "at": clock.now().isoformat()}


def append(connection: Connection, book: Book, document: Mapping[str, Any]) -> None:
    """Add an entry at the end of a book; the migration lock keeps others out meanwhile."""
    table = sql.Identifier(KERNEL_LINE.schema, book)
    newest = connection.execute(sql.SQL(NEWEST).format(table)).fetchone()
    number, previous = (newest[0] + 1, newest[1]) if newest else (1, GENESIS)
    values = [number, previous, previous, json.dumps(document, ensure_ascii=False)]
    connection.execute(sql.SQL(INSERT).format(table), values)


def receipts(connection: Connection) -> tuple[Entry, ...]:
    """Return every receipt, oldest first; none where the database keeps no books."""
    return _read(connection, "receipts")


def made_by(connection: Connection, line: Line, revision: str) -> set[tuple[str, str]] | None:
    """Return what the newest way up of a revision added, by kind and name; None without receipt.

    Where it was applied before it was squashed it went up in several steps: their receipts count
    together, each leading to the one before it, and None is returned where one of them is missing.
    """
    made: set[tuple[str, str]] = set()
    parts = {revision, *(part for part, whole in line.squashed.items() if whole == revision)}
    step: str | None = revision
    while step in parts:
        row = connection.execute(MADE, [line.name, step]).fetchone()
        if row is None:
            return None
        added, step = row
        made |= {(kind, name) for kind, name in added}
    return made


def verified(target: Target) -> Chain:
    """Read the receipts and recount both chains; see `verify_chain`. Any role may ask.

    Raises DatabaseUnreachable or AuthenticationFailed.
    """
    url = target.app_url or target.owner_url
    with connect(url, autocommit=True, purpose="receipts") as connection:
        return verify_chain(connection, target.registry.lines)


def verify_chain(connection: Connection, lines: Sequence[Line]) -> Chain:
    """Recount every hash of both books, and compare the newest receipts with the lines' versions.

    The comparison shows receipts that were cut off at the end, which no hash does.
    """
    entries = receipts(connection)
    found = [*_faults(connection, "receipts"), *_faults(connection, "journal")]
    versions = read_versions(connection, lines)
    newest = {each.document["module"]: each.document["after"] for each in entries}
    found += [
        f"The newest receipt of {line.name} leads to {newest[line.name]}, but its schema is at"
        f" {versions[line.name].revision}."
        for line in lines
        if line.name in newest and newest[line.name] != versions[line.name].revision
    ]
    return Chain(entries, tuple(found))


def _read(connection: Connection, book: Book) -> tuple[Entry, ...]:
    if not present(connection):
        return ()
    table = sql.Identifier(KERNEL_LINE.schema, book)
    return tuple(Entry(*each) for each in connection.execute(sql.SQL(READ).format(table)))


def _faults(connection: Connection, book: Book) -> list[str]:
    if not present(connection):
        return []
    return [
        f"{book}, entry {number}: {problem}."
        for number, problem in connection.execute(faults(book).encode())
    ]
