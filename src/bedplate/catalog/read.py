"""Live database to Snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bedplate.catalog import queries
from bedplate.catalog.connection import Connection
from bedplate.catalog.objects import (
    Column,
    Constraint,
    ConstraintKind,
    EnumType,
    Function,
    Index,
    Reference,
    Schema,
    Snapshot,
    Table,
    TableKind,
    Trigger,
)
from bedplate.catalog.pinned import pinned

TABLE_KINDS: dict[str, TableKind] = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
CONSTRAINT_KINDS: dict[str, ConstraintKind] = {
    "p": "primary key",
    "u": "unique",
    "f": "foreign key",
    "c": "check",
    "x": "exclusion",
}

Row = tuple[Any, ...]


def read(connection: Connection, schemas: Sequence[str]) -> Snapshot:
    """Read the schemas that exist of those named, in eight statements and no lock.

    Inside a transaction of the caller's the snapshot shows its uncommitted changes too.
    """
    with pinned(connection):
        return _read(connection, list(schemas))


def _read(connection: Connection, names: list[str]) -> Snapshot:
    def rows(query: str) -> list[Row]:
        return connection.execute(query.encode(), [names]).fetchall()

    columns = _by_first(rows(queries.COLUMNS))
    constraints = _by_first(rows(queries.CONSTRAINTS))
    indexes = _by_first(rows(queries.INDEXES))
    triggers = _by_first(rows(queries.TRIGGERS))
    tables: defaultdict[str, list[Table]] = defaultdict(list)
    for oid, schema, name, kind, comment, parent in rows(queries.TABLES):
        table = Table(
            schema=schema,
            name=name,
            kind=TABLE_KINDS[kind],
            comment=comment,
            partition_of=parent,
            columns=tuple(map(_column, columns[oid])),
            constraints=tuple(map(_constraint, constraints[oid])),
            indexes=tuple(map(_index, indexes[oid])),
            triggers=tuple(Trigger(*row) for row in triggers[oid]),
        )
        tables[schema].append(table)
    enums = _by_first(rows(queries.ENUMS))
    functions = _by_first(rows(queries.FUNCTIONS))
    return Snapshot(
        tuple(
            Schema(
                name=name,
                comment=comment,
                tables=tuple(tables[name]),
                enums=tuple(
                    EnumType(enum, tuple(labels), note) for enum, labels, note in enums[name]
                ),
                functions=tuple(Function(*row) for row in functions[name]),
            )
            for name, comment in rows(queries.SCHEMAS)
        )
    )


def _by_first(rows: list[Row]) -> defaultdict[Any, list[Row]]:
    """Group rows by their first value, which is left out of them."""
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for first, *rest in rows:
        groups[first].append(tuple(rest))
    return groups


def _column(row: Row) -> Column:
    name, kind, nullable, default, identity, generated, comment = row
    return Column(
        name=name,
        type=kind,
        nullable=nullable,
        default=default,
        identity="always" if identity == "a" else "by default" if identity == "d" else "",
        generated=generated,
        comment=comment,
    )


def _constraint(row: Row) -> Constraint:
    name, kind, columns, definition, far_schema, far_table, far_columns = row
    is_reference = kind == "f"
    return Constraint(
        name=name,
        kind=CONSTRAINT_KINDS[kind],
        columns=tuple(columns),
        definition=definition,
        references=Reference(far_schema, far_table, tuple(far_columns)) if is_reference else None,
    )


def _index(row: Row) -> Index:
    name, keys, unique, primary, valid, predicate, definition = row
    return Index(name, tuple(keys), unique, primary, valid, predicate, definition)
