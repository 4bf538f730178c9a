"""How much room tables take, and about how many rows they hold, without reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bedplate.catalog.connection import Connection

# -1 is PostgreSQL's word for a table that was never analyzed.
SIZES = """
SELECT n.nspname || '.' || c.relname, nullif(c.reltuples, -1)::bigint,
       pg_catalog.pg_table_size(c.oid), pg_catalog.pg_indexes_size(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'm')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""


@dataclass(frozen=True, slots=True)
class Size:
    """One table's size: in bytes, its large values with the table, its indexes apart.

    `rows_estimated` is what the last ANALYZE or VACUUM reckoned, None where there was none.
    """

    rows_estimated: int | None
    table_bytes: int
    index_bytes: int

    @property
    def total_bytes(self) -> int:
        """The table and its indexes."""
        return self.table_bytes + self.index_bytes


def sizes(connection: Connection, schemas: Sequence[str]) -> dict[str, Size]:
    """Return the size of each table and materialized view by its full name, in one statement.

    Of a partitioned table the partitions are listed, apart; the parent itself takes no room.
    """
    rows = connection.execute(SIZES, [list(schemas)])
    # A table that is dropped at this moment has no size any more.
    return {name: Size(*rest) for name, *rest in rows if None not in rest[1:]}
