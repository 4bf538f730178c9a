"""Live database to Snapshot."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import psycopg

from bedplate.catalog import objects, queries
from bedplate.catalog.connection import Connection
from bedplate.catalog.objects import (
    Attribute,
    Column,
    CompositeType,
    Constraint,
    DefaultPrivileges,
    Domain,
    DomainCheck,
    EnumType,
    Extension,
    Function,
    Grant,
    Index,
    OtherObject,
    Policy,
    Reference,
    Rule,
    Schema,
    SequenceOptions,
    Snapshot,
    Table,
    Trigger,
)
from bedplate.catalog.pinned import pinned
from bedplate.kernel.errors import CatalogMoved

ATTEMPTS_MAX = 20
PAUSE_S = 0.01
VIEWS = ("view", "materialized view")

Row = tuple[Any, ...]
Made = TypeVar("Made")
Groups = defaultdict[Any, list[Row]]


def read(connection: Connection, schemas: Sequence[str]) -> Snapshot:
    """Read the schemas that exist of those named, and what lies in none, in 20 statements.

    No lock outlives it. Inside a transaction of the caller's the snapshot shows its uncommitted
    changes too. Where others drop what is being read it begins again, and raises CatalogMoved when
    they do not rest.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            with pinned(connection):
                return _Reading(connection, list(schemas)).snapshot()
        # PostgreSQL's functions that write definitions look at this very moment, not at that of
        # the statement: an object that is gone by then is its internal error, or no definition.
        except (psycopg.errors.InternalError_, _Gone):
            time.sleep(attempt * PAUSE_S)
    raise CatalogMoved(f"The schema changed while it was read, {ATTEMPTS_MAX} times.")


class _Gone(Exception):
    """An object was dropped after it was listed."""


class _Reading:
    """One reading: each question is put once, about all schemas."""

    def __init__(self, connection: Connection, names: list[str]) -> None:
        self._connection = connection
        self._names = names
        self._grants: defaultdict[Row, list[Grant]] = defaultdict(list)
        for sort, oid, part, role, privileges, grantable, revoked in self._grant_rows():
            grant = Grant(role, tuple(privileges), grantable, revoked)
            self._grants[sort, oid, part].append(grant)
        self._columns = _by_first(self._rows(queries.COLUMNS))
        self._counters: dict[Row, SequenceOptions] = {}
        self._sequences: defaultdict[str, list[objects.Sequence]] = defaultdict(list)
        self._read_sequences()

    def snapshot(self) -> Snapshot:
        tables = self._tables()
        enums, domains = self._enums(), self._domains()
        composites, functions = self._composites(), self._functions()
        others = _by_first(self._rows(queries.IN_SCHEMAS))
        schemas = tuple(
            Schema(
                name=name,
                comment=comment,
                tables=tuple(tables[name]),
                enums=tuple(enums[name]),
                functions=tuple(functions[name]),
                owner=owner,
                domains=tuple(domains[name]),
                composites=tuple(composites[name]),
                sequences=tuple(self._sequences[name]),
                others=tuple(OtherObject(*row) for row in others[name]),
                grants=self._granted("schema", oid),
            )
            for oid, name, comment, owner in self._rows(queries.SCHEMAS)
        )
        return Snapshot(
            schemas,
            extensions=tuple(Extension(*row) for row in self._all(queries.EXTENSIONS)),
            default_privileges=tuple(
                DefaultPrivileges(role, schema, sort, self._granted("default", oid))
                for oid, role, schema, sort in self._rows(queries.DEFAULT_PRIVILEGES)
            ),
            others=tuple(OtherObject(*row) for row in self._all(queries.IN_NO_SCHEMA)),
        )

    def _rows(self, query: str) -> list[Row]:
        return self._connection.execute(query.encode(), [self._names]).fetchall()

    def _defined(self, query: str, place: int) -> list[Row]:
        """Ask for objects whose definition stands at `place`."""
        rows = self._rows(query)
        if any(row[place] is None for row in rows):
            raise _Gone
        return rows

    def _all(self, query: str) -> list[Row]:
        return self._connection.execute(query.encode()).fetchall()

    def _grant_rows(self) -> list[Row]:
        names = {"schemas": self._names}
        return self._connection.execute(queries.GRANTS.encode(), names).fetchall()

    def _granted(self, sort: str, oid: int, part: int = 0) -> tuple[Grant, ...]:
        return tuple(self._grants.get((sort, oid, part), ()))

    def _read_sequences(self) -> None:
        for schema, oid, table, column, *rest in self._rows(queries.SEQUENCES):
            options = SequenceOptions(*rest[:7])
            if table is not None:
                self._counters[table, column] = options
                continue
            grants = self._granted("relation", oid)
            self._sequences[schema].append(
                _made(objects.Sequence, rest[7:], options=options, grants=grants)
            )

    def _tables(self) -> defaultdict[str, list[Table]]:
        constraints = _by_first(self._defined(queries.CONSTRAINTS, 4))
        indexes = _by_first(self._defined(queries.INDEXES, 8))
        triggers = _by_first(self._defined(queries.TRIGGERS, 2))
        rules = _by_first(self._defined(queries.RULES, 2))
        policies = _by_first(self._rows(queries.POLICIES))
        tables: defaultdict[str, list[Table]] = defaultdict(list)
        for oid, schema, name, kind, comment, owner, parent, *rest in self._rows(queries.TABLES):
            bound, key, inherits, query, unlogged, options, settings, row_security = rest
            if query is None and kind in VIEWS:
                raise _Gone
            names = {number: column for number, column, *_ in self._columns[oid]}
            table = Table(
                schema=schema,
                name=name,
                kind=kind,
                comment=comment,
                partition_of=parent,
                columns=tuple(self._column(oid, row) for row in self._columns[oid]),
                constraints=tuple(_constraint(row, names) for row in constraints[oid]),
                indexes=tuple(_index(row, names) for row in indexes[oid]),
                triggers=tuple(Trigger(*row) for row in triggers[oid]),
                owner=owner,
                bound=bound,
                partition_key=key,
                inherits=tuple(inherits),
                query=query,
                unlogged=unlogged,
                options=tuple(options),
                settings=tuple(settings),
                row_security=row_security,
                rules=tuple(Rule(*row) for row in rules[oid]),
                policies=tuple(_made(Policy, row) for row in policies[oid]),
                grants=self._granted("relation", oid),
            )
            tables[schema].append(table)
        return tables

    def _column(self, table: int, row: Row) -> Column:
        # Written out, since most of what a snapshot holds are columns.
        number, name, kind, nullable, default, identity, generated, *rest = row
        comment, collation, settings, is_validated = rest
        return Column(
            name=name,
            type=kind,
            nullable=nullable,
            default=default,
            identity=identity,
            generated=generated,
            comment=comment,
            collation=collation,
            settings=tuple(settings),
            not_null_validated=is_validated,
            counter=self._counters.get((table, number)),
            grants=self._granted("relation", table, number),
        )

    def _enums(self) -> defaultdict[str, list[EnumType]]:
        found: defaultdict[str, list[EnumType]] = defaultdict(list)
        for schema, oid, *rest in self._rows(queries.ENUMS):
            found[schema].append(_made(EnumType, rest, grants=self._granted("type", oid)))
        return found

    def _domains(self) -> defaultdict[str, list[Domain]]:
        checks = _by_first(self._defined(queries.DOMAIN_CHECKS, 2))
        found: defaultdict[str, list[Domain]] = defaultdict(list)
        for schema, oid, *rest in self._rows(queries.DOMAINS):
            rules = tuple(DomainCheck(*row) for row in checks[oid])
            grants = self._granted("type", oid)
            found[schema].append(_made(Domain, rest, checks=rules, grants=grants))
        return found

    def _composites(self) -> defaultdict[str, list[CompositeType]]:
        found: defaultdict[str, list[CompositeType]] = defaultdict(list)
        for schema, oid, relation, *rest in self._rows(queries.COMPOSITES):
            fields = (self._column(relation, row) for row in self._columns[relation])
            attributes = tuple(Attribute(each.name, each.type, each.collation) for each in fields)
            grants = self._granted("type", oid)
            found[schema].append(_made(CompositeType, rest, attributes=attributes, grants=grants))
        return found

    def _functions(self) -> defaultdict[str, list[Function]]:
        found: defaultdict[str, list[Function]] = defaultdict(list)
        for schema, oid, *rest in self._defined(queries.FUNCTIONS, 5):
            found[schema].append(_made(Function, rest, grants=self._granted("function", oid)))
        return found


def _by_first(rows: list[Row]) -> Groups:
    """Group rows by their first value, which is left out of them."""
    groups: Groups = defaultdict(list)
    for first, *rest in rows:
        groups[first].append(tuple(rest))
    return groups


def _made(kind: Callable[..., Made], row: Iterable[Any], **more: Any) -> Made:
    """Make an object whose fields come in the query's order, its arrays as tuples."""
    return kind(*map(_frozen, row), **more)


def _frozen(value: Any) -> Any:
    return tuple(cast("Sequence[Any]", value)) if isinstance(value, list) else value


def _constraint(row: Row, names: Mapping[int, str]) -> Constraint:
    name, kind, numbers, definition, comment, inherited, *far = row
    columns = tuple(names[number] for number in numbers)
    reference = Reference(far[0], far[1], tuple(far[2])) if kind == "foreign key" else None
    return Constraint(name, kind, columns, definition, comment, inherited, reference)


def _index(row: Row, names: Mapping[int, str]) -> Index:
    name, numbers, expressions, *values = row
    keys = tuple(
        names[number] if number else expressions[place] for place, number in enumerate(numbers)
    )
    return Index(name, keys, *values)
