"""What the catalog says of the tables to fill: columns, types, rules, keys and their order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from bedplate.catalog import Connection, pinned
from bedplate.testing.generated_rows import queries

_VALUE = re.compile(r"('(?:[^']|'')*')|\bVALUE\b")


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a column holds, domains unfolded; `modifier` is pg_attribute's, -1 for none."""

    name: str
    kind: str
    category: str
    modifier: int
    labels: tuple[str, ...] = ()
    part: ValueType | None = None

    @property
    def length(self) -> int | None:
        """The most characters of a varchar(n) or char(n)."""
        return self.modifier - 4 if self.category == "S" and self.modifier > 4 else None


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition over columns that every row keeps: a CHECK of the table or of a domain."""

    name: str
    columns: tuple[str, ...]
    expression: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One foreign key (`name` is quoted, in full), and the table it points at."""

    name: str
    columns: tuple[str, ...]
    target: int
    target_name: sql.Identifier
    target_columns: tuple[str, ...]
    deferrable: bool
    match_full: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `cast` spells its type without its domain, whose rules stand beside it."""

    name: str
    type: ValueType
    cast: str
    nullable: bool
    default: str | None
    by_server: bool

    @property
    def required(self) -> bool:
        """Whether a row has to say it."""
        return not self.nullable and self.default is None


@dataclass(frozen=True, slots=True)
class Table:
    """One table to fill; `partitions` are the conditions of those that may take a row."""

    oid: int
    schema: str
    name: str
    partitioned: bool
    columns: dict[str, Column]
    rules: tuple[Rule, ...]
    foreign_keys: tuple[ForeignKey, ...]
    unique: dict[str, tuple[str, ...]]
    partitions: tuple[str, ...]
    partition_columns: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    @property
    def place(self) -> sql.Identifier:
        """The name as SQL takes it."""
        return sql.Identifier(self.schema, self.name)


@dataclass(slots=True)
class _Types:
    """The types as the catalog has them, by oid."""

    rows: dict[int, tuple[Any, ...]]
    made: dict[tuple[int, int], ValueType] = field(default_factory=dict[tuple[int, int], ValueType])

    def unfolded(self, oid: int, modifier: int) -> tuple[int, int, bool, list[str]]:
        """Return a domain's base type and modifier, whether it takes NULL, and its checks."""
        required, checks = False, list[str]()
        while True:
            row = self.rows[oid]
            required, base = required or row[6], row[3]
            checks += row[9]
            if base == 0:
                return oid, modifier, required, checks
            oid, modifier = base, row[4]

    def get(self, oid: int, modifier: int = -1) -> ValueType:
        oid, modifier, _, _ = self.unfolded(oid, modifier)
        if (oid, modifier) not in self.made:
            name, kind, category, _, _, element, _, ranged, labels, _ = self.rows[oid]
            part = self.get(element, modifier) if element else self.get(ranged) if ranged else None
            self.made[oid, modifier] = ValueType(
                name, kind, category, modifier, tuple(labels), part
            )
        return self.made[oid, modifier]


def read_tables(connection: Connection, schemas: Sequence[str]) -> list[Table]:
    """Read the tables of the schemas, by name."""
    with pinned(connection):
        return _read(connection, list(schemas))


def _read(connection: Connection, schemas: list[str]) -> list[Table]:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query.encode(), [schemas]).fetchall()

    def by_table(query: str) -> defaultdict[int, list[tuple[Any, ...]]]:
        groups: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for oid, *rest in rows(query):
            groups[oid].append(tuple(rest))
        return groups

    types = _Types({oid: tuple(rest) for oid, *rest in rows(queries.TYPES)})
    columns, checks = by_table(queries.COLUMNS), by_table(queries.CHECKS)
    keys, unique = by_table(queries.FOREIGN_KEYS), by_table(queries.UNIQUE)
    partitions, partition_keys = by_table(queries.PARTITIONS), by_table(queries.PARTITION_KEYS)
    cast = _casts(connection)
    found: list[Table] = []
    for oid, schema, name, kind in rows(queries.TABLES):
        rules = [Rule(rule, tuple(own), text) for rule, text, own in checks[oid]]
        made: dict[str, Column] = {}
        for column, type_oid, modifier, required, default, identity, generated in columns[oid]:
            base, base_modifier, never_null, domain = types.unfolded(type_oid, modifier)
            rules += [_domain_rule(column, text) for text in domain]
            made[column] = Column(
                name=column,
                type=types.get(type_oid, modifier),
                cast=cast(base, base_modifier),
                nullable=not (required or never_null),
                default=default,
                by_server=identity or generated or (default or "").startswith("nextval("),
            )
        found.append(
            Table(
                oid=oid,
                schema=schema,
                name=name,
                partitioned=kind == "p",
                columns=made,
                rules=tuple(rules),
                foreign_keys=tuple(_foreign_key(row) for row in keys[oid]),
                unique={index: tuple(own) for index, own in unique[oid]},
                partitions=tuple(text for (text,) in partitions[oid]),
                partition_columns=tuple(dict.fromkeys(name for (name,) in partition_keys[oid])),
            )
        )
    return found


def _casts(connection: Connection) -> Callable[[int, int], str]:
    known: dict[tuple[int, int], str] = {}

    def spelled(oid: int, modifier: int) -> str:
        if (oid, modifier) not in known:
            row = connection.execute(
                "SELECT pg_catalog.format_type(%s::oid, %s::int)", [oid, modifier]
            ).fetchone()
            assert row is not None, "SELECT without FROM answers one row"
            known[oid, modifier] = row[0]
        return known[oid, modifier]

    return spelled


def _domain_rule(column: str, expression: str) -> Rule:
    quoted = sql.Identifier(column).as_string()
    text = _VALUE.sub(lambda found: found[1] or quoted, expression)
    return Rule(f"the domain of {column}", (column,), text)


def _foreign_key(row: tuple[Any, ...]) -> ForeignKey:
    name, schema, target, far_schema, far_table, columns, far_columns, deferrable, full = row
    return ForeignKey(
        name=sql.Identifier(schema, name).as_string(),
        columns=tuple(columns),
        target=target,
        target_name=sql.Identifier(far_schema, far_table),
        target_columns=tuple(far_columns),
        deferrable=deferrable,
        match_full=full,
    )


def in_order(tables: Sequence[Table]) -> tuple[list[Table], set[str]]:
    """Sort parents before children; return also the keys of circles that wait for their parent.

    Where tables refer to one another in a circle, a key that may be NULL is left for later, else
    one that can be deferred is.
    """
    waiting = {table.oid: table for table in tables}
    done: list[Table] = []
    deferred: set[str] = set()
    while waiting:
        ready = [each for each in waiting.values() if not _parents(each, waiting, optional=True)]
        if not ready:
            ready = [each for each in waiting.values() if not _parents(each, waiting)][:1]
        if not ready:
            ready = [_most_deferrable(waiting)]
            deferred.update(key.name for key in _parents(ready[0], waiting) if key.deferrable)
        for table in ready:
            del waiting[table.oid]
            done.append(table)
    return done, deferred


def _parents(
    table: Table, waiting: dict[int, Table], *, optional: bool = False
) -> list[ForeignKey]:
    """Keys whose parents are not filled yet; those that may be NULL only if asked."""
    return [
        key
        for key in table.foreign_keys
        if key.target in waiting
        and key.target != table.oid
        and (optional or not any(table.columns[name].nullable for name in key.columns))
    ]


def _most_deferrable(waiting: dict[int, Table]) -> Table:
    for table in waiting.values():
        if all(key.deferrable for key in _parents(table, waiting)):
            return table
    return next(iter(waiting.values()))
