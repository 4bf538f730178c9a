"""The table of a backfill as it is: its key, its columns' types, and the statements over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from bedplate.catalog import Connection
from bedplate.kernel.backfills import Backfill
from bedplate.kernel.errors import BackfillFailed

# One row for the primary key, or for the unique index over exactly the named columns.
KEY = """
SELECT ARRAY(
    SELECT a.attname::text
    FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    ORDER BY k.place
) AS columns
FROM pg_catalog.pg_index i
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
    AND i.indimmediate AND NOT 0 = ANY (i.indkey[0:i.indnkeyatts - 1])
    AND (i.indisprimary OR %s)
"""
COLUMNS = """
SELECT attname::text, pg_catalog.format_type(atttypid, atttypmod), attnotnull, attgenerated <> ''
FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
"""
PLACE = """
SELECT c.oid, c.reltuples::bigint FROM pg_catalog.pg_class c
WHERE c.oid = pg_catalog.to_regclass(%s) AND c.relkind IN ('r', 'p')
"""


@dataclass(frozen=True, slots=True)
class FilledTable:
    """A table that a backfill changes; `key` and `columns` are pairs of a name and its type."""

    name: str
    key: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    rows_estimated: int


def look_up(connection: Connection, backfill: Backfill) -> FilledTable:
    """Read the table's key and columns. Raises BackfillFailed where the backfill cannot work."""
    schema, _, table = backfill.table.partition(".")
    name = sql.Identifier(schema, table).as_string()
    found = connection.execute(PLACE, [name]).fetchone()
    if found is None:
        raise BackfillFailed(
            f"The backfill {backfill.name} has no table {backfill.table}.",
            "Make it in an earlier revision; nothing was changed.",
        )
    oid, estimated = found
    columns = {row[0]: row[1:] for row in connection.execute(COLUMNS, [oid]).fetchall()}
    key = _key(connection, oid, backfill)
    unfit = [each for each in backfill.set if each not in columns or columns[each][2]]
    unfit.extend(each for each in key if each in backfill.set)
    if unfit:
        raise BackfillFailed(
            f"The backfill {backfill.name} cannot set {', '.join(unfit)}.",
            "A column must be there, not generated and not of the key; nothing was changed.",
        )
    if not key or not all(columns[each][1] for each in key):
        raise BackfillFailed(
            f"The backfill {backfill.name} finds no key to walk along.",
            "The table needs a primary key, or key= names columns that are NOT NULL and under a"
            " unique index; nothing was changed.",
        )
    return FilledTable(
        name,
        tuple((each, columns[each][0]) for each in key),
        tuple((each, columns[each][0]) for each in backfill.set),
        max(estimated, 0),
    )


def _key(connection: Connection, oid: int, backfill: Backfill) -> Sequence[str]:
    wanted = tuple(backfill.key)
    for (columns,) in connection.execute(KEY, [oid, bool(wanted)]).fetchall():
        if not wanted or sorted(columns) == sorted(wanted):
            return tuple(columns)
    return ()


def choose(table: FilledTable, backfill: Backfill, *, from_start: bool, again: bool) -> bytes:
    """Return the keys of the next batch, in their order: as text, one array a row.

    This may read the whole table where few rows need it, so it locks none: see `lock`.
    Parameters: after (the last key's values, text), backfill, limit.
    """
    names = ", ".join(_quoted(name) for name, _ in table.key)
    conditions = [f"({_escaped(backfill.where)})"] if backfill.where else []
    if not from_start:
        after = ", ".join(
            f"(%(after)s::text[])[{place}]::{_escaped(type_)}"
            for place, (_, type_) in enumerate(table.key, 1)
        )
        conditions.append(f"({names}) > ({after})")
    if again:
        conditions.append(
            "NOT EXISTS (SELECT FROM bedplate.before_images bedplate_image WHERE"
            f" bedplate_image.backfill = %(backfill)s AND bedplate_image.key ="
            f" {_texts(table.key, f'{_escaped(table.name)}.')})"
        )
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        f"SELECT {_texts(table.key)} FROM {_escaped(table.name)}{where}"
        f" ORDER BY {names} LIMIT %(limit)s"
    ).encode()


def lock(table: FilledTable, backfill: Backfill) -> bytes:
    """Lock the rows of a batch that still need it, in their order, and return their keys.

    Parameters: k1, k2 … (the keys' values, text arrays).
    """
    names = ", ".join(_quoted(name) for name, _ in table.key)
    needed = f" AND ({_escaped(backfill.where)})" if backfill.where else ""
    return (
        f"SELECT {_texts(table.key)} FROM {_escaped(table.name)} WHERE {_is_given(table)}{needed}"
        f" ORDER BY {names} FOR NO KEY UPDATE"
    ).encode()


def change(table: FilledTable, backfill: Backfill) -> bytes:
    """Set the columns of the locked rows, and put what they held before into the books.

    Parameters: backfill, and k1, k2 … (the keys' values, text arrays).
    """
    own = ", ".join(
        f"{_quoted(name)} AS bedplate_k{place}" for place, (name, _) in enumerate(table.key, 1)
    )
    join = " AND ".join(
        f"{_escaped(table.name)}.{_quoted(name)} = bedplate_chosen.bedplate_k{place}"
        for place, (name, _) in enumerate(table.key, 1)
    )
    assignments = ", ".join(
        f"{_quoted(name)} = ({_escaped(expression)})" for name, expression in backfill.set.items()
    )
    qualified = f"{_escaped(table.name)}."
    return (
        "WITH bedplate_chosen AS MATERIALIZED ("
        f" SELECT {own}, {_texts(table.columns)} AS bedplate_before"
        f" FROM {_escaped(table.name)} WHERE {_is_given(table)}"
        "), bedplate_changed AS ("
        f" UPDATE {_escaped(table.name)} SET {assignments} FROM bedplate_chosen WHERE {join}"
        f" RETURNING {_texts(table.key, qualified)} AS key, bedplate_before AS before,"
        f" {_texts(table.columns, qualified)} AS after"
        ") INSERT INTO bedplate.before_images (backfill, key, before, after)"
        " SELECT %(backfill)s, key, before, after FROM bedplate_changed"
    ).encode()


def restore(table: FilledTable) -> bytes:
    """Give rows that are still as they were left their old values.

    Returns each one's key, and whether it holds the old values now. Parameters: backfill, and the
    first and the last key of the batch.
    """
    assignments = ", ".join(
        f"{_quoted(name)} = (i.before)[{place}]::{_escaped(type_)}"
        for place, (name, type_) in enumerate(table.columns, 1)
    )
    return (
        f"UPDATE {_escaped(table.name)} AS t SET {assignments} FROM bedplate.before_images i"
        " WHERE i.backfill = %(backfill)s AND i.key >= %(first)s::text[]"
        f" AND i.key <= %(last)s::text[] AND NOT i.kept AND {_is_of_image(table)}"
        f" AND {_texts(table.columns, 't.')} = i.after"
        f" RETURNING i.key, {_texts(table.columns, 't.')} = i.before"
    ).encode()


def present(table: FilledTable) -> bytes:
    """Return the keys, among the images of one batch, of rows that are still there."""
    return (
        f"SELECT i.key FROM bedplate.before_images i JOIN {_escaped(table.name)} AS t"
        f" ON {_is_of_image(table)} WHERE i.backfill = %(backfill)s"
        " AND i.key >= %(first)s::text[] AND i.key <= %(last)s::text[] AND NOT i.kept"
    ).encode()


def _is_given(table: FilledTable) -> str:
    names = ", ".join(_quoted(name) for name, _ in table.key)
    values = ", ".join(
        f"bedplate_v{place}::{_escaped(type_)}" for place, (_, type_) in enumerate(table.key, 1)
    )
    arrays = ", ".join(f"%(k{place})s::text[]" for place in range(1, len(table.key) + 1))
    places = ", ".join(f"bedplate_v{place}" for place in range(1, len(table.key) + 1))
    return f"({names}) IN (SELECT {values} FROM unnest({arrays}) AS bedplate_given ({places}))"


def _is_of_image(table: FilledTable) -> str:
    return " AND ".join(
        f"t.{_quoted(name)} = (i.key)[{place}]::{_escaped(type_)}"
        for place, (name, type_) in enumerate(table.key, 1)
    )


def _texts(columns: Sequence[tuple[str, str]], qualified: str = "") -> str:
    return f"ARRAY[{', '.join(f'{qualified}{_quoted(name)}::text' for name, _ in columns)}]"


def _quoted(name: str) -> str:
    return _escaped(sql.Identifier(name).as_string())


def _escaped(text: str) -> str:
    """A text for a statement with parameters, in which a % of its own is doubled."""
    return text.replace("%", "%%")
