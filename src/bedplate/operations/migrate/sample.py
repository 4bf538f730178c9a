"""Some rows of every table, with every row that they refer to, and what follows from rows.

A dump of the schema alone leaves sequences at their start and materialized views without rows: a
copy would then give out keys that are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from bedplate.catalog import Connection, connect
from bedplate.kernel.errors import RehearsalRefused

ROWS_PER_TABLE = 1_000
"""How many rows of a table are taken, before those that others refer to."""

ROUNDS_MAX = 100
"""A chain of references longer than this is cut: the copy is then refused by its foreign keys."""

# Generated columns are left out: they cannot be written, and come out the same.
TABLES = """
SELECT n.nspname, c.relname,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
GROUP BY n.nspname, c.relname
ORDER BY n.nspname, c.relname
"""

# Of partitioned tables the rules are the parent's; their rows are read and written through it.
REFERENCES = """
SELECT cn.nspname, c.relname, fn.nspname, f.relname, own.names, far.names, far.types,
       ARRAY(SELECT x.attname::text FROM pg_catalog.pg_attribute x
             WHERE x.attrelid = f.oid AND x.attnum > 0 AND NOT x.attisdropped
               AND x.attgenerated = '' ORDER BY x.attnum)
FROM pg_catalog.pg_constraint r
JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class f ON f.oid = r.confrelid
JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY k.place) AS names
    FROM unnest(r.conkey) WITH ORDINALITY k (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.number
) own
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY k.place) AS names,
           array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY k.place) AS types
    FROM unnest(r.confkey) WITH ORDINALITY k (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.confrelid AND a.attnum = k.number
) far
WHERE r.contype = 'f' AND r.conparentid = 0
"""

SEQUENCES = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""

FILLED_VIEWS = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated
ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True, slots=True)
class _Reference:
    """A foreign key: whose columns point at whose."""

    child: sql.Identifier
    parent: sql.Identifier
    own: Sequence[str]
    far: Sequence[str]
    types: Sequence[LiteralString]
    columns: Sequence[str]


def load(source_url: str, into_url: str) -> None:
    """Copy some rows of every table, and then, round by round, the rows that they refer to.

    Sequences go on where the live ones are.

    The tables of `into_url` must have no foreign keys and triggers yet. All is read as of one
    moment. Raises the driver's errors.
    """
    with (
        connect(source_url, purpose="rehearsal") as live,
        connect(into_url, purpose="rehearsal") as copy,
    ):
        live.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for schema, name, columns in live.execute(TABLES).fetchall():
            table = sql.Identifier(schema, name)
            some = sql.SQL("SELECT {} FROM ONLY {} LIMIT {}").format(
                _list(columns or ()), table, sql.Literal(ROWS_PER_TABLE)
            )
            _carry(live, copy, some, table, columns or ())
        references = [_reference(row) for row in live.execute(REFERENCES).fetchall()]
        for _ in range(ROUNDS_MAX):
            if not sum(_complete(live, copy, each) for each in references):
                break
        for names in live.execute(SEQUENCES).fetchall():
            _go_on(live, copy, sql.Identifier(*names))


def refresh(source_url: str, into_url: str) -> None:
    """Fill the materialized views that are filled in the source, whatever they read of each other.

    Raises RehearsalRefused for one that the sampled rows cannot fill.
    """
    with (
        connect(source_url, purpose="rehearsal") as live,
        connect(into_url, autocommit=True, purpose="rehearsal") as copy,
    ):
        waiting = [tuple(names) for names in live.execute(FILLED_VIEWS)]
        while waiting:
            unfilled = [names for names in waiting if not _is_filled(copy, names)]
            if len(unfilled) == len(waiting):
                raise _not_filled(waiting[0], "it reads what has no rows yet")
            waiting = unfilled


def _go_on(live: Connection, copy: Connection, sequence: sql.Identifier) -> None:
    at = live.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sequence)).fetchone()
    assert at is not None, "a sequence has one row"
    name = sequence.as_string()
    copy.execute("SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s, %s)", [name, *at])


def _is_filled(copy: Connection, names: tuple[str, ...]) -> bool:
    """Fill one; False where it reads another that has not been filled yet."""
    try:
        copy.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(sql.Identifier(*names)))
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return False
    except psycopg.Error as error:
        raise _not_filled(names, str(error.diag.message_primary)) from None
    return True


def _not_filled(names: tuple[str, ...], why: str) -> RehearsalRefused:
    return RehearsalRefused(
        f"The materialized view {'.'.join(names)} cannot be filled from some of the rows: {why}.",
        "Let its query bear that rows are missing; or do without a proof:"
        " `bedplate migrate apply --without-proof`.",
    )


def _complete(live: Connection, copy: Connection, reference: _Reference) -> int:
    """Fetch the parents that children in the copy miss; return how many keys were missing."""
    pairs = list(zip(reference.own, reference.far, strict=True))
    missing = copy.execute(
        sql.SQL(
            "SELECT DISTINCT {keys} FROM {child} c WHERE {known}"
            " AND NOT EXISTS (SELECT FROM {parent} p WHERE {same})"
        ).format(
            keys=sql.SQL(", ").join(sql.SQL("c.{}::text").format(_name(own)) for own, _ in pairs),
            child=reference.child,
            parent=reference.parent,
            known=sql.SQL(" AND ").join(
                sql.SQL("c.{} IS NOT NULL").format(_name(own)) for own, _ in pairs
            ),
            same=sql.SQL(" AND ").join(
                sql.SQL("p.{} = c.{}").format(_name(far), _name(own)) for own, far in pairs
            ),
        )
    ).fetchall()
    if not missing:
        return 0
    keys = [sql.Literal(list(values)) for values in zip(*missing, strict=True)]
    names = [sql.Identifier(f"k{number}") for number in range(len(keys))]
    typed = [
        sql.SQL("{}::" + kind).format(name)
        for name, kind in zip(names, reference.types, strict=True)
    ]
    rows = sql.SQL("SELECT {} FROM {} WHERE ({}) IN (SELECT {} FROM unnest({}) AS k ({}))").format(
        _list(reference.columns),
        reference.parent,
        _list(reference.far),
        sql.SQL(", ").join(typed),
        sql.SQL(", ").join(sql.SQL("{}::text[]").format(values) for values in keys),
        sql.SQL(", ").join(names),
    )
    _carry(live, copy, rows, reference.parent, reference.columns)
    return len(missing)


def _carry(
    live: Connection,
    copy: Connection,
    query: sql.Composed,
    table: sql.Identifier,
    columns: Sequence[str],
) -> None:
    out = sql.SQL("COPY ({}) TO STDOUT").format(query)
    names = sql.SQL("({})").format(_list(columns)) if columns else sql.SQL("")
    into = sql.SQL("COPY {} {} FROM STDIN").format(table, names)
    with live.cursor().copy(out) as reading, copy.cursor().copy(into) as writing:
        for block in reading:
            writing.write(block)


def _reference(row: Sequence[Any]) -> _Reference:
    schema, name, far_schema, far_name, *columns = row
    return _Reference(sql.Identifier(schema, name), sql.Identifier(far_schema, far_name), *columns)


def _list(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(_name, columns))


def _name(column: str) -> sql.Identifier:
    return sql.Identifier(column)
