"""Raw SQL on a test's database, as the app or as its owner."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from bedplate.testing import Clone

WAITING = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
SILENT = """
WITH ours AS (
    SELECT n.oid, n.nspname FROM pg_namespace n
    WHERE n.nspname !~ '^(pg_|information_schema$|public$)'
)
SELECT o.nspname || '.' || p.proname FROM ours o JOIN pg_proc p ON p.pronamespace = o.oid
WHERE obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT t.oid::regtype::text FROM ours o JOIN pg_type t ON t.typnamespace = o.oid
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE (t.typtype IN ('e', 'd') OR c.relkind = 'c') AND obj_description(t.oid, 'pg_type') IS NULL
UNION ALL
SELECT c.oid::regclass::text FROM ours o JOIN pg_class c ON c.relnamespace = o.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND obj_description(c.oid, 'pg_class') IS NULL
UNION ALL
SELECT c.oid::regclass || '.' || a.attname FROM ours o
JOIN pg_class c ON c.relnamespace = o.oid AND c.relkind IN ('r', 'p', 'v', 'm')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE col_description(c.oid, a.attnum) IS NULL
"""
"""What has no comment."""


def ask(clone: Clone, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the app, in a transaction of its own; return its rows, if it has any."""
    return _run(clone.url, statement, values)


def as_owner(clone: Clone, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the owner, whom no privilege stops; return its rows, if it has any."""
    return _run(clone.owner_url, statement, values)


def _run(url: str, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode(), values or None)
        result = cursor.pgresult
        # Rows may have no columns (SELECT FROM …), so whether there are columns says nothing.
        has_rows = result is not None and result.status == ExecStatus.TUPLES_OK
        return cursor.fetchall() if has_rows else []


def waiting(clone: Clone) -> int:
    """How many clients of the database wait for a lock."""
    ((clients,),) = ask(clone, WAITING)
    return int(clients)
