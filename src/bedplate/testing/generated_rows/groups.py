"""Which values a row may hold together: the columns that share a rule are chosen by the server.

Their likely values are joined with one another, and the rules are the join's condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from psycopg import sql

from bedplate.catalog import Connection
from bedplate.testing.generated_rows.tables import ForeignKey, Table

COMBINATIONS_MAX = 60_000
"""How many combinations of values the server is asked about; longer lists are cut."""

SOLUTIONS_MAX = 24
"""How many of those that please the rules are kept, the likeliest first."""

Value = str | None
Row = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Group:
    """Columns that are chosen together, and the conditions (SQL over `r`) that they keep."""

    columns: tuple[str, ...]
    names: tuple[str, ...] = ()
    conditions: tuple[sql.Composable, ...] = ()
    prefer: tuple[sql.Composable, ...] = ()


def groups_of(table: Table, columns: Iterable[str], resting: Iterable[ForeignKey]) -> list[Group]:
    """Part the columns to fill into groups that share no rule; `resting` keys are not heeded."""
    chosen = list(columns)
    rules: list[tuple[str, tuple[str, ...], sql.Composable]] = [
        (rule.name, rule.columns, sql.SQL("({}) IS NOT FALSE").format(_raw(rule.expression)))
        for rule in table.rules
    ]
    resting_names = {key.name for key in resting}
    rules += [
        (key.name, _key_columns(table, key), _exists(table, key))
        for key in table.foreign_keys
        if key.name not in resting_names
    ]
    if table.partitions:
        any_of = sql.SQL(" OR ").join([sql.SQL("({})").format(_raw(p)) for p in table.partitions])
        rules.append(("its partitions", table.partition_columns, sql.SQL("({})").format(any_of)))
    # A rule about a column that the server fills itself is left to the INSERT.
    rules = [rule for rule in rules if rule[1] and set(rule[1]) <= set(chosen)]
    group_of = {name: {name} for name in chosen}
    for _, names, _ in rules:
        merged = set[str]().union(*(group_of[name] for name in names))
        for name in merged:
            group_of[name] = merged
    groups: list[Group] = []
    for first in chosen:
        members = group_of[first]
        if first != next(name for name in chosen if name in members):
            continue
        own = [rule for rule in rules if set(rule[1]) <= members]
        partitioned = any(name == "its partitions" for name, _, _ in own)
        groups.append(
            Group(
                columns=tuple(name for name in chosen if name in members),
                names=tuple(name for name, _, _ in own),
                conditions=tuple(condition for _, _, condition in own),
                prefer=tuple(map(_raw, table.partitions)) if partitioned else (),
            )
        )
    return groups


def solutions(
    connection: Connection,
    table: Table,
    group: Group,
    pools: Mapping[str, Sequence[Value]],
    number: int,
) -> list[Row]:
    """Return what the group's columns may hold together, the likeliest first; maybe nothing.

    Raises psycopg's error where a rule fails on some value instead of refusing it.
    """
    if not group.conditions:
        return unjudged(group, pools)
    cut = _cut([pools[name] for name in group.columns])
    statement = _statement(table, group, number)
    rows = connection.execute(statement, [list(pool) for pool in cut]).fetchall()
    return [dict(zip(group.columns, row, strict=True)) for row in rows]


def unjudged(group: Group, pools: Mapping[str, Sequence[Value]]) -> list[Row]:
    """Return combinations of which only the INSERT can tell."""
    cut = _cut([pools[name] for name in group.columns])
    rows = islice(product(*cut), SOLUTIONS_MAX)
    return [dict(zip(group.columns, row, strict=True)) for row in rows]


def _cut(pools: Sequence[Sequence[Value]]) -> list[Sequence[Value]]:
    for longest in (24, 12, 8, 6, 5, 4, 3, 2):
        cut = [_shortened(pool, longest) for pool in pools]
        if math.prod(map(len, cut)) <= COMBINATIONS_MAX:
            return cut
    return [_shortened(pool, 2) for pool in pools]


def _shortened(pool: Sequence[Value], longest: int) -> Sequence[Value]:
    if len(pool) <= longest:
        return pool
    # NULL pleases many a rule, wherever it stands.
    return [*pool[: longest - 1], None] if None in pool[longest - 1 :] else pool[:longest]


def _statement(table: Table, group: Group, number: int) -> sql.Composed:
    """Join the likely values of each column, keep what the conditions let in, likeliest first."""
    # No column is called like these: a name with a blank first.
    places = [sql.Identifier(f" {place}") for place in range(len(group.columns))]
    typed = [
        sql.SQL("{}.v::{} AS {}").format(place, _raw(table.columns[name].cast), quoted(name))
        for place, name in zip(places, group.columns, strict=True)
    ]
    plain = [sql.SQL("{}.v AS {}").format(place, place) for place in places]
    kept = [sql.SQL("r.{}").format(place) for place in places]
    order: list[sql.Composable] = [sql.SQL('r." cost"'), *kept]
    if group.prefer:
        preferred = group.prefer[number % len(group.prefer)]
        order.insert(0, sql.SQL("(({}) IS TRUE) DESC").format(preferred))
    return sql.SQL(
        'SELECT {kept} FROM (SELECT {typed}, {plain}, {cost} AS " cost" FROM {sources}) AS r'
        " WHERE {conditions} ORDER BY {order} LIMIT {limit}"
    ).format(
        kept=sql.SQL(", ").join(kept),
        typed=sql.SQL(", ").join(typed),
        plain=sql.SQL(", ").join(plain),
        cost=sql.SQL(" + ").join([sql.SQL("{}.place").format(place) for place in places]),
        sources=sql.SQL(", ").join(
            [
                sql.SQL("unnest(%s::text[]) WITH ORDINALITY AS {} (v, place)").format(place)
                for place in places
            ]
        ),
        conditions=sql.SQL(" AND ").join(group.conditions),
        order=sql.SQL(", ").join(order),
        limit=sql.Literal(SOLUTIONS_MAX),
    )


def _key_columns(table: Table, key: ForeignKey) -> tuple[str, ...]:
    """A key into its own table is chosen with the columns that it points at."""
    if key.target != table.oid:
        return key.columns
    pointed = [name for name in key.target_columns if not table.columns[name].by_server]
    return tuple(dict.fromkeys([*key.columns, *pointed]))


def _exists(table: Table, key: ForeignKey) -> sql.Composable:
    own = [sql.SQL("r.{}").format(quoted(name)) for name in key.columns]
    far = [sql.SQL("far.{}").format(quoted(name)) for name in key.target_columns]
    equal = [sql.SQL("{} = {}").format(a, b) for a, b in zip(far, own, strict=True)]
    nulls = [sql.SQL("{} IS NULL").format(each) for each in own]
    found = sql.SQL("EXISTS (SELECT FROM {} AS far WHERE {})").format(
        _raw(key.target_name.as_string()), sql.SQL(" AND ").join(equal)
    )
    absent = sql.SQL(" AND " if key.match_full else " OR ").join(nulls)
    ways = [sql.SQL("({})").format(absent), found]
    if key.target == table.oid and not any(
        table.columns[name].by_server for name in key.target_columns
    ):
        itself = [
            sql.SQL("r.{} = {}").format(quoted(name), mine)
            for name, mine in zip(key.target_columns, own, strict=True)
        ]
        ways.append(sql.SQL("({})").format(sql.SQL(" AND ").join(itself)))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(ways))


def quoted(name: str) -> sql.SQL:
    """A column's name for a statement with parameters."""
    return _raw(sql.Identifier(name).as_string())


def _raw(text: str) -> sql.SQL:
    """SQL as the catalog wrote it; a % in it means itself."""
    written: Any = text.replace("%", "%%")
    return sql.SQL(written)
