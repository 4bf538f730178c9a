"""Which schemas of a database are its users' own, and whether any of their tables holds a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from psycopg import sql

from bedplate.catalog.connection import Connection
from bedplate.catalog.pinned import pinned

# What an extension made is the extension's: its version says all there is to say.
USER_SCHEMAS = """
SELECT n.nspname FROM pg_catalog.pg_namespace n
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                    AND d.objid = n.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C"
"""

# An empty file needs no look inside. Where the role may not look, rows that are long deleted
# count as rows: to believe in data that is not there costs a backup, the reverse costs the data.
TABLES_OF_SOME_SIZE = """
SELECT n.nspname, c.relname,
       pg_catalog.has_table_privilege(c.oid, 'SELECT')
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       AND NOT pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND c.relkind = 'r' AND n.nspname || '.' || c.relname <> ALL (%s)
  AND pg_catalog.pg_relation_size(c.oid) > 0
ORDER BY 3, 1, 2
"""
TABLES_PER_STATEMENT = 100


def user_schemas(connection: Connection) -> list[str]:
    """Return every schema that is neither PostgreSQL's own nor made by an extension, by name."""
    return [name for (name,) in connection.execute(USER_SCHEMAS)]


def has_rows(connection: Connection, schemas: Sequence[str], *, but: Collection[str] = ()) -> bool:
    """Tell whether any table of the schemas holds a row; `but` leaves tables out, by full name.

    A table with anything in its file that the role may not read whole counts as holding one.
    """
    with pinned(connection):
        found = connection.execute(TABLES_OF_SOME_SIZE, [list(schemas), list(but)]).fetchall()
        if any(not readable for _, _, readable in found):
            return True
        names = [sql.Identifier(schema, table) for schema, table, _ in found]
        return any(
            _any_has_rows(connection, names[start : start + TABLES_PER_STATEMENT])
            for start in range(0, len(names), TABLES_PER_STATEMENT)
        )


def _any_has_rows(connection: Connection, tables: Sequence[sql.Identifier]) -> bool:
    exists = [sql.SQL("EXISTS (SELECT FROM ONLY {})").format(table) for table in tables]
    row = connection.execute(sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(exists))).fetchone()
    assert row is not None, "SELECT without FROM answers one row"
    return bool(row[0])
