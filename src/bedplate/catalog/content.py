"""A hash of all rows of a table: equal exactly when the rows are, in whatever order they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from bedplate.catalog.connection import Connection
from bedplate.catalog.pinned import pinned
from bedplate.kernel.errors import UsageError

# The columns by name: a column that was dropped and added again stands last, with the same rows.
TABLES = """
SELECT n.nspname, c.relname, c.relkind::text, coalesce(own.names, '{}'), c.relispopulated
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY a.attname COLLATE "C") AS names
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
) own ON true
WHERE n.nspname = ANY (%s) AND c.relname = coalesce(%s, c.relname) AND c.relkind::text = ANY (%s)
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

# A sum, since it sees a row that is there twice; two seeds, since 64 bits are few for many rows.
# The text of a row tells NULL (nothing) from '' (""), and every type has one, json too.
HASH = """
SELECT count(*), coalesce(sum(pg_catalog.hashtextextended(r.line, 0)), 0),
       coalesce(sum(pg_catalog.hashtextextended(r.line, 1)), 0)
FROM (SELECT ROW({columns})::text COLLATE "C" AS line FROM {only}{table}) r
"""

PARTITIONED = "p"
WITH_ROWS_OF_THEIR_OWN = ["r", "m"]
READABLE = [*WITH_ROWS_OF_THEIR_OWN, PARTITIONED, "v", "f"]


@dataclass(frozen=True, slots=True)
class Content:
    """How many rows a table has, and a hash of all of them (hexadecimal)."""

    rows: int
    hash: str


def content(connection: Connection, schema: str, table: str) -> Content:
    """Return the content of one table, view or partitioned table (all of its partitions' rows).

    The whole table is read: about 3 s for 10 million narrow rows. Columns count by their names and
    values; their order and types do not. Raises UsageError where there is no such table, or a
    materialized view was never filled; what the role may not see whole is the driver's error.
    """
    with pinned(connection):
        found = connection.execute(TABLES, [[schema], table, READABLE]).fetchone()
        if found is None:
            raise UsageError(
                f"There is no table {schema}.{table}.",
                "Look at the names in `bedplate docs build`.",
            )
        *which, is_filled = found
        if not is_filled:
            raise UsageError(
                f"The materialized view {schema}.{table} was never filled: it cannot be read.",
                "Run REFRESH MATERIALIZED VIEW for it.",
            )
        return _content(connection, *which)


def contents(connection: Connection, schemas: Sequence[str]) -> dict[str, Content]:
    """Return the content of each table and materialized view by its full name, as of one moment.

    Of a partitioned table the partitions are listed, apart; views, foreign tables and materialized
    views that were never filled (PostgreSQL refuses to read them) are not.
    """
    with pinned(connection):
        tables = connection.execute(
            TABLES, [list(schemas), None, WITH_ROWS_OF_THEIR_OWN]
        ).fetchall()
        return {
            f"{which[0]}.{which[1]}": _content(connection, *which)
            for *which, is_filled in tables
            if is_filled
        }


def _content(
    connection: Connection, schema: str, table: str, kind: str, columns: list[str]
) -> Content:
    query = sql.SQL(HASH).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        # The rows of a table that inherits from it are that table's.
        only=sql.SQL("ONLY " if kind in WITH_ROWS_OF_THEIR_OWN else ""),
        table=sql.Identifier(schema, table),
    )
    row = connection.execute(query).fetchone()
    assert row is not None, "an aggregate answers one row"
    rows, *sums = row
    return Content(rows, "".join(f"{int(each) % 2**64:016x}" for each in sums))
