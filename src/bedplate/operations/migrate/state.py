"""What a database is at one moment, without what the runner itself keeps in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bedplate.catalog import (
    Connection,
    Content,
    Snapshot,
    contents,
    fingerprint,
    has_rows,
    read,
    user_schemas,
)
from bedplate.kernel.lines import KERNEL_LINE, VERSION_TABLE, Line

# Made and kept by the runner, not by a line: see `books` and `audit_view`.
BOOKS = ("receipts", "journal", "backfills", "before_images", "steps", "audit_log")
KEEPER = "refuse_in_books"


@dataclass(frozen=True, slots=True)
class State:
    """The schema and every table's rows, of all schemas that are not PostgreSQL's own."""

    snapshot: Snapshot
    fingerprint: str
    contents: Mapping[str, Content]


def read_state(connection: Connection, lines: Sequence[Line]) -> State:
    """Read the whole schema and hash every row; about 3 s for 10 million narrow rows."""
    snapshot = read_schema(connection, lines)
    own = own_tables(lines)
    found = contents(connection, user_schemas(connection))
    rows = {name: each for name, each in found.items() if name not in own}
    return State(snapshot, fingerprint(snapshot), rows)


def read_schema(connection: Connection, lines: Sequence[Line]) -> Snapshot:
    """Read all schemas that are not PostgreSQL's own, without the runner's own tables."""
    return without_books(read(connection, user_schemas(connection)), lines)


def holds_rows(connection: Connection, lines: Sequence[Line]) -> bool:
    """Tell whether any table holds a row, the runner's own left aside."""
    return has_rows(connection, user_schemas(connection), but=own_tables(lines))


def without_books(snapshot: Snapshot, lines: Sequence[Line]) -> Snapshot:
    """Leave the runner's own tables out, and the function that keeps them append-only."""
    own = own_tables(lines)
    kept = [
        replace(
            schema,
            tables=tuple(each for each in schema.tables if each.full_name not in own),
            functions=tuple(each for each in schema.functions if each.name != KEEPER),
        )
        for schema in snapshot.schemas
    ]
    return replace(snapshot, schemas=tuple(kept))


def own_tables(lines: Sequence[Line]) -> frozenset[str]:
    """The full names of the tables and the view that the runner keeps for itself."""
    books = (f"{KERNEL_LINE.schema}.{name}" for name in BOOKS)
    return frozenset((*(f"{line.schema}.{VERSION_TABLE}" for line in lines), *books))
