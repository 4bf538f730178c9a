"""Copies of a module's tables for the peers: the same columns, rules and rows, no triggers."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

_COLUMNS = """
    SELECT array_agg(column_name::text ORDER BY ordinal_position)
    FROM information_schema.columns
    WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER'
"""
_FOREIGN_KEYS = """
    SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND conrelid = ANY(%s::regclass[])
"""
_OPTIONS = "SELECT reloptions FROM pg_class WHERE oid = %s::regclass"


def copy(
    connection: psycopg.Connection, source: str, schema: str, tables: Sequence[str], role: str
) -> None:
    """Copy tables of the schema `source` with indexes, checks and foreign keys, but no triggers.

    Foreign keys between the tables lead to the copies. `role` may read and write them.
    """
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    for table in tables:
        own, copied = sql.Identifier(source, table), sql.Identifier(schema, table)
        connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(copied, own))
        name = f"{source}.{table}"
        options = connection.execute(_OPTIONS, [name]).fetchall()[0][0]
        for option in options or ():
            connection.execute(sql.SQL("ALTER TABLE {} SET ({})").format(copied, sql.SQL(option)))
        columns = connection.execute(_COLUMNS, [source, table]).fetchall()[0][0]
        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        connection.execute(
            sql.SQL("INSERT INTO {0} ({2}) SELECT {2} FROM {1}").format(copied, own, listed)
        )
    sources = [f"{source}.{table}" for table in tables]
    for table, definition in connection.execute(_FOREIGN_KEYS, [sources]).fetchall():
        for each in sources:
            there = f"{schema}.{each.partition('.')[2]}"
            definition = definition.replace(f"REFERENCES {each}(", f"REFERENCES {there}(")
        connection.execute(
            f"ALTER TABLE {schema}.{table.partition('.')[2]} ADD {definition}".encode()
        )
    for statement in (
        "GRANT USAGE ON SCHEMA {0} TO {1}",
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {0} TO {1}",
    ):
        connection.execute(sql.SQL(statement).format(sql.Identifier(schema), sql.Identifier(role)))
