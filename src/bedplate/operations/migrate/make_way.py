"""Makes maintenance give way before a statement asks again for the lock that it did not get."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from psycopg import sql

from bedplate.catalog import Connection
from bedplate.operations.migrate.tokens import SqlUnreadable, tokens

WAIT_LIMIT_MS = 3_000
TABLES = """
SELECT n.nspname::text, c.relname::text
FROM unnest(%s::text[]) AS named
JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(named) AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2
"""


def make_way(connection: Connection, statement: str) -> None:
    """Wait until no VACUUM, ANALYZE or index build works on the tables that a statement names.

    Autovacuum takes itself away after deadlock_timeout, 1 s, where somebody waits for it: longer
    than a statement may wait that the app queues behind. SHARE UPDATE EXCLUSIVE stands in the way
    of maintenance only, so nobody queues behind us here. What may not be locked is left out. The
    connection is in autocommit.
    """
    named = [sql.Identifier(*name).as_string() for name in _names(statement)]
    for table in connection.execute(TABLES, [named]).fetchall():
        with suppress(psycopg.Error), connection.transaction():
            limit = f"SET LOCAL lock_timeout = {WAIT_LIMIT_MS}"
            connection.execute(limit.encode())
            lock = sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE")
            connection.execute(lock.format(sql.Identifier(*table)))


def _names(statement: str) -> list[tuple[str, str]]:
    """Return what could be a schema's name and a table's."""
    try:
        found = tokens(statement)
    except SqlUnreadable:
        return []
    threes = zip(found, found[1:], found[2:], strict=False)
    return [
        (schema.identifier, table.identifier)
        for schema, dot, table in threes
        if dot.value == "." and schema.identifier and table.identifier
    ]
