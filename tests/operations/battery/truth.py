"""The truth, found without the witnesses: every row of every table and view as it reads."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

RELATIONS = """
SELECT n.nspname::text, c.relname::text, c.relkind::text,
    ARRAY(SELECT a.attname::text FROM pg_attribute a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('shop', 'host') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    AND (c.relkind <> 'm' OR c.relispopulated)
"""
LARGE_OBJECTS = "SELECT oid::text, md5(lo_get(oid)) FROM pg_largeobject_metadata"
CATALOG = """
SELECT md5(string_agg(x, ',' ORDER BY x)) FROM (
    SELECT concat(attrelid, attname, atttypid, attnotnull) x FROM pg_attribute
        WHERE attrelid > 16384
    UNION ALL SELECT concat(oid, relname, relfilenode, relacl, relrowsecurity) FROM pg_class
        WHERE oid > 16384 AND relkind <> 'S'
    UNION ALL SELECT concat(tgrelid, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT concat(proname, prosrc) FROM pg_proc WHERE oid > 16384
    UNION ALL SELECT concat(enumtypid, enumlabel) FROM pg_enum
    UNION ALL SELECT concat(conname, conbin) FROM pg_constraint
    UNION ALL SELECT concat(objoid, description) FROM pg_description WHERE objoid > 16384
) everything
"""

Truth = dict[str, str]
Columns = dict[str, list[str]]


def columns(connection: psycopg.Connection[Any]) -> Columns:
    """Name the columns of every table and view."""
    rows = connection.execute(RELATIONS).fetchall()
    return {f"{schema}.{name}": names for schema, name, _, names in rows}


def truth(connection: psycopg.Connection[Any], known: Columns | None = None) -> Truth:
    """Hash what a reader of each relation gets, column names and enum labels included.

    Of a relation that is `known` the columns that are new since then are left out.
    """
    parts = [
        _row_hash(f"{schema}.{name}", schema, name, names, known or {})
        if kind != "S"
        else sql.SQL("SELECT {}::text, concat(last_value, is_called) FROM {}").format(
            sql.Literal(f"{schema}.{name}"), sql.Identifier(schema, name)
        )
        for schema, name, kind, names in connection.execute(RELATIONS).fetchall()
    ]
    found = dict(connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall())
    return {**found, **dict(connection.execute(LARGE_OBJECTS).fetchall())}


def catalog(connection: psycopg.Connection[Any]) -> str:
    """Return one hash of the definitions."""
    row = connection.execute(CATALOG).fetchone()
    assert row is not None
    return str(row[0])


def changed(before: Truth, after: Truth) -> set[str]:
    """Name what reads differently of what was there before."""
    return {name for name, rows in before.items() if after.get(name, "gone") != rows}


def _row_hash(
    full_name: str, schema: str, name: str, names: list[str], known: Columns
) -> sql.Composed:
    new = [each for each in names if each not in known.get(full_name, names)]
    return sql.SQL(
        "SELECT {}::text, md5(string_agg(row, ',' ORDER BY row)) FROM"
        " (SELECT (to_jsonb(t) - {}::text[])::text AS row FROM {} t) rows"
    ).format(sql.Literal(full_name), sql.Literal(new), sql.Identifier(schema, name))
