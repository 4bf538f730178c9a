"""The schemas of lines."""

from __future__ import annotations

# A schema is ours when its comment says so; only then is its version table's name ours too.
LINES = """
SELECT n.nspname, pg_catalog.obj_description(n.oid, 'pg_namespace'), c.oid IS NOT NULL
FROM pg_catalog.pg_namespace n
LEFT JOIN pg_catalog.pg_class c
    ON c.relnamespace = n.oid AND c.relname = %s AND c.relkind = 'r'
WHERE n.nspname = ANY (%s)
"""
