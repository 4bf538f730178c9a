"""What the runner keeps of backfills: how far each came, and the old values of what it changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from bedplate.catalog import Connection
from bedplate.kernel import ids
from bedplate.kernel.backfills import Backfill
from bedplate.kernel.errors import BackfillFailed, DefinitionDiffers

TABLES = ("bedplate.backfills", "bedplate.before_images")

# The owner's alone: before-images hold rows' values. Text, as pg_dump writes values: a column's
# type may go with a later revision, and must not be held back by its history.
CREATE = """
CREATE TABLE bedplate.backfills (
    id uuid PRIMARY KEY,
    module text NOT NULL,
    revision text NOT NULL,
    name text NOT NULL,
    definition text NOT NULL,
    state text NOT NULL CHECK (state IN ('filling', 'filled', 'restoring', 'restored')),
    place text[],
    passes integer NOT NULL DEFAULT 0,
    pass_rows bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    rows_restored bigint NOT NULL DEFAULT 0,
    rows_gone bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX ix_backfills_live ON bedplate.backfills (module, revision, name)
    WHERE state <> 'restored';
CREATE TABLE bedplate.before_images (
    backfill uuid NOT NULL,
    key text[] NOT NULL,
    before text[] NOT NULL,
    after text[] NOT NULL,
    kept boolean NOT NULL DEFAULT false,
    PRIMARY KEY (backfill, key)
);
COMMENT ON TABLE bedplate.backfills IS 'Backfills of revisions, and how far each came.';
COMMENT ON COLUMN bedplate.backfills.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN bedplate.backfills.module IS 'The module whose line it is in.';
COMMENT ON COLUMN bedplate.backfills.revision IS 'The revision it is in.';
COMMENT ON COLUMN bedplate.backfills.name IS 'The table and the columns it sets.';
COMMENT ON COLUMN bedplate.backfills.definition IS 'SHA-256 of what it does.';
COMMENT ON COLUMN bedplate.backfills.state IS 'filling, filled, restoring or restored.';
COMMENT ON COLUMN bedplate.backfills.place IS 'The key of the last row of this pass.';
COMMENT ON COLUMN bedplate.backfills.passes IS 'How often the whole table was walked.';
COMMENT ON COLUMN bedplate.backfills.pass_rows IS 'Rows changed in this pass.';
COMMENT ON COLUMN bedplate.backfills.rows IS 'Rows changed, whose old values are kept.';
COMMENT ON COLUMN bedplate.backfills.rows_restored IS 'Rows that have their old values again.';
COMMENT ON COLUMN bedplate.backfills.rows_gone IS 'Rows deleted since, found on the way back.';
COMMENT ON TABLE bedplate.before_images IS 'Old values of rows that backfills changed, as text.';
COMMENT ON COLUMN bedplate.before_images.backfill IS 'The backfill that changed the row.';
COMMENT ON COLUMN bedplate.before_images.key IS 'The row''s key.';
COMMENT ON COLUMN bedplate.before_images.before IS 'Its values before, column by column.';
COMMENT ON COLUMN bedplate.before_images.after IS 'Its values as the backfill left them.';
COMMENT ON COLUMN bedplate.before_images.kept IS 'Whether it was changed since and left alone.';
"""
FIND = """
SELECT id, state, definition FROM bedplate.backfills
WHERE module = %s AND revision = %s AND name = %s ORDER BY state = 'restored', id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A backfill's entry in the books."""

    id: UUID
    state: str


def create(connection: Connection) -> None:
    """Make the tables, unless they are there."""
    with connection.transaction():
        if not _are_there(connection):
            connection.execute(CREATE)


def drop(connection: Connection) -> None:
    """Take the tables away, if they are there."""
    for table in TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {table}".encode())


def opened(connection: Connection, module: str, revision: str, backfill: Backfill) -> Entry:
    """Return the entry of a backfill that is to run: a new one, or the one that was cut off.

    Raises DefinitionDiffers where the revision's file was edited in between.
    """
    entry = find(connection, module, revision, backfill)
    if entry is not None and entry.state != "restored":
        return entry
    entry = Entry(ids.new(), "filling")
    connection.execute(
        "INSERT INTO bedplate.backfills (id, module, revision, name, definition, state)"
        " VALUES (%s, %s, %s, %s, %s, 'filling')",
        [entry.id, module, revision, backfill.name, _definition(backfill)],
    )
    return entry


def find(connection: Connection, module: str, revision: str, backfill: Backfill) -> Entry | None:
    """Return a backfill's newest entry. Raises DefinitionDiffers where it did something else."""
    if not _are_there(connection):
        return None
    found = connection.execute(FIND, [module, revision, backfill.name]).fetchone()
    if found is None:
        return None
    if found[2] != _definition(backfill) and found[1] != "restored":
        raise DefinitionDiffers(
            f"The backfill {backfill.name} of {module} {revision} began as another one.",
            "Restore the revision's file as it was, then run it to its end or undo it.",
        )
    return Entry(found[0], found[1])


def whole(connection: Connection, entry: Entry, name: str) -> None:
    """Raise BackfillFailed unless every row that was changed has its old values in the books."""
    row = connection.execute(
        "SELECT b.rows - b.rows_restored - b.rows_gone, count(i.key) FROM bedplate.backfills b"
        " LEFT JOIN bedplate.before_images i ON i.backfill = b.id WHERE b.id = %s GROUP BY b.id",
        [entry.id],
    ).fetchone()
    assert row is not None, "the entry was read a moment ago"
    if row[0] != row[1]:
        raise BackfillFailed(
            f"Of the backfill {name}, {row[0]:,} rows are to be restored, but"
            f" bedplate.before_images holds {row[1]:,}.",
            "Restore the table from a backup; nothing was changed.",
        )


def _are_there(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT pg_catalog.to_regclass('bedplate.before_images') IS NOT NULL"
    ).fetchone()
    return row is not None and bool(row[0])


def _definition(backfill: Backfill) -> str:
    said = [backfill.table, sorted(backfill.set.items()), backfill.where, list(backfill.key)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
