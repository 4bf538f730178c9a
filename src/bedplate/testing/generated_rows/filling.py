"""One table after the other: likely values, chosen together, tried until the INSERT succeeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from bedplate.catalog import Connection
from bedplate.kernel.errors import UsageError
from bedplate.testing.generated_rows.candidates import Hints, Wanted, candidates, hints_in
from bedplate.testing.generated_rows.groups import (
    Group,
    Row,
    Value,
    groups_of,
    quoted,
    solutions,
    unjudged,
)
from bedplate.testing.generated_rows.queries import TRIGGERS_THAT_FIRE
from bedplate.testing.generated_rows.tables import Column, ForeignKey, Table

ATTEMPTS_MAX = 60
"""How many combinations of values are tried for one row."""

NUMBERS_MAX = 3
"""How many running numbers are tried for one row: rows of others may have taken the first."""

PARENTS_MAX = 24
"""How many parents the rows of a table are spread over, unless each row needs its own."""

NUMBERS_PER_SEED = 1_000_000
RULES_OF_THE_TABLE = ("23502", "23503", "23505", "23P01", "42501")
TRIGGER_OFF = sql.SQL("DISABLE")
TRIGGER_ON = {
    "O": sql.SQL("ENABLE"),
    "R": sql.SQL("ENABLE REPLICA"),
    "A": sql.SQL("ENABLE ALWAYS"),
}
NULL_EVERY = 4
"""Of so many rows one has NULL wherever it may."""


@dataclass(slots=True)
class _Refusal:
    """Why the server did not take a row, without the row's values."""

    sqlstate: str
    constraint: str | None
    columns: tuple[str, ...]
    by_trigger: bool

    @property
    def is_about_uniqueness(self) -> bool:
        return self.sqlstate in ("23505", "23P01")


class Filling:
    """Fills tables in the order given; knows what was filled before."""

    def __init__(
        self,
        connection: Connection,
        tables: Sequence[Table],
        deferred: set[str],
        seed: int,
        shapes: Mapping[str, Callable[[int], str | None]],
    ) -> None:
        self.without_triggers: set[str] = set()
        self._connection = connection
        self._tables = {table.oid: table for table in tables}
        self._deferred = deferred
        self._seed = seed
        self._shapes = shapes
        self._filled: set[int] = set()
        self._parents_of: dict[str, list[tuple[Any, ...]]] = {}

    def fill(self, table: Table, count: int) -> int:
        """Insert up to `count` rows; fewer where a unique rule leaves no more room.

        Raises UsageError where the server takes none of what was tried.
        """
        first = self._seed * NUMBERS_PER_SEED + self._rows(table) + 1
        inserted = 0
        for number in range(first, first + count):
            refusal: _Refusal | None = None
            for again in range(NUMBERS_MAX):
                refusal = self._insert(table, number + again * count)
                if refusal is None or not refusal.is_about_uniqueness:
                    break
            if refusal is not None:
                if refusal.is_about_uniqueness and self._rows(table):
                    break
                raise _not_taken(table, refusal)
            inserted += 1
        self._filled.add(table.oid)
        return inserted

    def _rows(self, table: Table) -> int:
        row = self._connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(table.place)
        ).fetchone()
        assert row is not None, "count answers one row"
        return int(row[0])

    def _insert(self, table: Table, number: int) -> _Refusal | None:
        """Try one row; return why the last attempt was refused, or None."""
        choices = self._choices(table, number)
        turns = [0] * len(choices)
        first = row = _row(choices, turns)
        refusal: _Refusal | None = None
        for attempt in range(0 if table.full_name in self.without_triggers else ATTEMPTS_MAX):
            row = _row(choices, turns)
            refusal = self._try(table, row)
            if refusal is None:
                return None
            # What a trigger wants no catalog tells: mostly that states and sums begin as they do
            # where a row says no more than it must.
            if refusal.by_trigger and attempt == 0 and not self._try(table, _least(table, row)):
                return None
            if not _next_turn(choices, turns, refusal):
                break
        if refusal is None or refusal.by_trigger:
            return self._try_without_triggers(table, first, refusal)
        return refusal

    def _choices(self, table: Table, number: int) -> list[tuple[Group, list[Row]]]:
        fillable = [name for name, column in table.columns.items() if not column.by_server]
        waiting = [key for key in table.foreign_keys if self._is_waiting(table, key)]
        parents = self._parents(table, number)
        pools = {name: self._pool(table, table.columns[name], number, parents) for name in fillable}
        # What the server makes itself, it makes also where no value is known.
        pools = {name: pool for name, pool in pools.items() if pool}
        groups = groups_of(table, pools, waiting)
        return [(each, self._solutions(table, each, pools, number)) for each in groups]

    def _solutions(
        self, table: Table, group: Group, pools: Mapping[str, Sequence[Value]], number: int
    ) -> list[Row]:
        try:
            with self._connection.transaction():
                found = solutions(self._connection, table, group, pools, number)
                if not found:
                    # Too many columns at once for many values of each: as a row begins, then.
                    begun = {
                        name: self._begun(table.columns[name], pools) for name in group.columns
                    }
                    found = solutions(self._connection, table, group, begun, number)
        except (psycopg.DataError, psycopg.errors.RaiseException):
            # A rule that fails on some value instead of refusing it.
            return unjudged(group, pools)
        if not found:
            raise UsageError(
                f"No likely value of {', '.join(group.columns)} pleases"
                f" {' and '.join(group.names)} of {table.full_name}.",
                _next_step(table, group.columns),
            )
        return found

    def _begun(self, column: Column, pools: Mapping[str, Sequence[Value]]) -> Sequence[Value]:
        """What a row holds that leaves the column out; all likely values where it cannot."""
        if column.required:
            return pools[column.name]
        if column.default is None:
            return [None]
        row = self._connection.execute(f"SELECT ({column.default})::text".encode()).fetchone()
        assert row is not None, "SELECT without FROM answers one row"
        return [row[0]]

    def _is_waiting(self, table: Table, key: ForeignKey) -> bool:
        """Whether the key's parents come after the table: a circle."""
        return (
            key.target != table.oid
            and key.target in self._tables
            and key.target not in self._filled
        )

    def _parents(self, table: Table, number: int) -> dict[str, list[str]]:
        """Return the keys that the table's rows may point at, the widest keys' first."""
        found: dict[str, list[str]] = {}
        keys = sorted(table.foreign_keys, key=lambda each: -len(each.columns))
        # Where no parent is free, the unique rule itself is to say so.
        for key, free in [*((key, True) for key in keys), *((key, False) for key in keys)]:
            if not free and all(found.get(name) for name in key.columns):
                continue
            targets = self._targets(table, key, number, free=free)
            for name, values in zip(key.columns, targets, strict=True):
                turn = (number - 1) % len(values) if values else 0
                found.setdefault(name, []).extend([*values[turn:], *values[:turn]])
        return {name: list(dict.fromkeys(values)) for name, values in found.items()}

    def _targets(
        self, table: Table, key: ForeignKey, number: int, *, free: bool
    ) -> list[list[str]]:
        nullable = any(table.columns[name].nullable for name in key.columns)
        if key.name in self._deferred and self._is_waiting(table, key):
            return self._to_come(self._tables[key.target], key, number)
        if self._is_waiting(table, key):
            return [[] for _ in key.columns]
        unique = [set(rule) for rule in table.unique.values() if set(rule) <= set(key.columns)]
        alone = unique if free else []
        rows = None if unique or key.target == table.oid else self._parents_of.get(key.name)
        if rows is None:
            rows = self._parents_of[key.name] = self._parent_rows(table, key, alone)
        if rows:
            return [list(values) for values in zip(*rows, strict=True)]
        if key.target == table.oid and not nullable:
            return self._to_come(table, key, number)
        return [[] for _ in key.columns]

    def _parent_rows(
        self, table: Table, key: ForeignKey, alone: list[set[str]]
    ) -> list[tuple[Any, ...]]:
        """Read some parents; where a rule lets one have one child only, those without any."""
        far = {
            own: sql.SQL("far.{}").format(sql.Identifier(name))
            for own, name in zip(key.columns, key.target_columns, strict=True)
        }
        conditions = [sql.SQL("{} IS NOT NULL").format(each) for each in far.values()]
        for rule in alone:
            equal = [
                sql.SQL("own.{} = {}").format(sql.Identifier(name), far[name])
                for name in sorted(rule)
            ]
            conditions.append(
                sql.SQL("NOT EXISTS (SELECT FROM {} AS own WHERE {})").format(
                    table.place, sql.SQL(" AND ").join(equal)
                )
            )
        statement = sql.SQL("SELECT {} FROM {} AS far WHERE {} ORDER BY {} LIMIT {}").format(
            sql.SQL(", ").join([sql.SQL("{}::text").format(each) for each in far.values()]),
            key.target_name,
            sql.SQL(" AND ").join(conditions),
            sql.SQL(", ").join(far.values()),
            sql.Literal(PARENTS_MAX),
        )
        return self._connection.execute(statement).fetchall()

    def _to_come(self, target: Table, key: ForeignKey, number: int) -> list[list[str]]:
        """What the target's row of this number will be called."""
        pools = [self._values(target, target.columns[name], number) for name in key.target_columns]
        return [[value for value in pool if value is not None][:1] for pool in pools]

    def _pool(
        self, table: Table, column: Column, number: int, parents: Mapping[str, Sequence[str]]
    ) -> list[Value]:
        """The values to choose a column's from; empty leaves it to its default."""
        shape = self._shapes.get(f"{table.full_name}.{column.name}")
        if shape is not None:
            return [shape(number)]
        found: list[Value]
        if column.name in parents:
            found = list(parents[column.name])
        else:
            found = list(self._values(table, column, number))
        if column.nullable:
            place = 0 if number % NULL_EVERY == 0 else len(found)
            found.insert(place, None)
        elif not found and column.default is None:
            raise UsageError(_nothing_known(table, column), _next_step(table, [column.name]))
        return found

    def _values(self, table: Table, column: Column, number: int) -> list[Value]:
        texts = [rule.expression for rule in table.rules if column.name in rule.columns]
        if column.name in table.partition_columns:
            texts += table.partitions
        hints = hints_in([*texts, column.default or ""]) if texts else Hints()
        position = list(table.columns).index(column.name)
        seed = f"{self._seed} {table.full_name}"
        wanted = Wanted(column.name, position, number, seed, hints)
        return list(candidates(column.type, wanted))

    def _try(self, table: Table, row: Row) -> _Refusal | None:
        try:
            with self._connection.transaction():
                self._connection.execute(_insert_statement(table, row), list(row.values()))
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            return _refusal(table, error)
        return None

    def _try_without_triggers(
        self, table: Table, row: Row, refusal: _Refusal | None
    ) -> _Refusal | None:
        """Insert past the table's triggers, as its owner may; foreign keys are kept."""
        connection = self._connection
        modes: list[tuple[str, str]] = connection.execute(
            TRIGGERS_THAT_FIRE, [table.oid]
        ).fetchall()
        try:
            with connection.transaction():
                for name, _ in modes:
                    connection.execute(_alter_trigger(table, TRIGGER_OFF, name))
                connection.execute(_insert_statement(table, row), list(row.values()))
                for name, mode in modes:
                    connection.execute(_alter_trigger(table, TRIGGER_ON[mode], name))
        except psycopg.OperationalError:
            raise
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse) as error:
            return refusal or _refusal(table, error)
        except psycopg.Error as error:
            return _refusal(table, error)
        self.without_triggers.add(table.full_name)
        return None


def _row(choices: list[tuple[Group, list[Row]]], turns: list[int]) -> Row:
    row: Row = {}
    for (_, found), turn in zip(choices, turns, strict=True):
        row.update(found[turn % len(found)])
    return row


def _least(table: Table, row: Row) -> Row:
    return {name: value for name, value in row.items() if table.columns[name].required}


def _alter_trigger(table: Table, how: sql.SQL, name: str) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(table.place, how, sql.Identifier(name))


def _insert_statement(table: Table, row: Row) -> sql.Composed:
    if not row:
        return sql.SQL("INSERT INTO {} DEFAULT VALUES").format(table.place)
    return sql.SQL("INSERT INTO {}.{} ({}) VALUES ({})").format(
        quoted(table.schema),
        quoted(table.name),
        sql.SQL(", ").join(map(quoted, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
    )


def _refusal(table: Table, error: psycopg.Error) -> _Refusal:
    state, name = error.sqlstate or "", error.diag.constraint_name
    about = {**table.unique, **{rule.name: rule.columns for rule in table.rules}}
    return _Refusal(
        sqlstate=state,
        constraint=name,
        columns=about.get(name or "", ()),
        # A trigger may raise what it likes, under the name of a rule that is none of the table's.
        by_trigger=name not in about and state not in RULES_OF_THE_TABLE,
    )


def _next_turn(choices: list[tuple[Group, list[Row]]], turns: list[int], refusal: _Refusal) -> bool:
    """Move on to other values; False once all were tried.

    Of the groups that the refusal is about every combination is tried; where nobody knows what it
    is about, all groups move on together.
    """
    about = set(refusal.columns)
    moved = False
    for place, (group, found) in enumerate(choices):
        if about and not about & set(group.columns):
            continue
        if turns[place] + 1 < len(found):
            turns[place] += 1
            moved = True
        elif about:
            turns[place] = 0
        if moved and about:
            return True
    return moved


def _not_taken(table: Table, refusal: _Refusal) -> UsageError:
    who = "a trigger" if refusal.by_trigger else refusal.constraint or "the server"
    return UsageError(
        f"No row was found that {table.full_name} takes: {who} refuses it ({refusal.sqlstate}).",
        _next_step(table, refusal.columns or list(table.columns)[:1]),
    )


def _nothing_known(table: Table, column: Column) -> str:
    for key in table.foreign_keys:
        if column.name in key.columns:
            target = key.target_name.as_string()
            return f"{table.full_name}.{column.name} points at {target}, which has no rows."
    return f"No value is known for {table.full_name}.{column.name} ({column.cast})."


def _next_step(table: Table, columns: Sequence[str]) -> str:
    name = f"{table.full_name}.{columns[0]}" if columns else table.full_name
    return f'Say its values: shapes={{"{name}": lambda number: …}}; or skip=["{table.full_name}"].'
