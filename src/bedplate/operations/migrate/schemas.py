"""A module's schema and the version table in it: made, kept and dropped by the runner alone."""

from __future__ import annotations

import psycopg
from psycopg import sql

from bedplate.catalog import Connection
from bedplate.kernel.errors import MigrationFailed, SchemaRefused
from bedplate.kernel.lines import KERNEL_LINE, VERSION_TABLE, Line
from bedplate.operations.migrate import books

CREATE = """
CREATE SCHEMA {schema};
COMMENT ON SCHEMA {schema} IS {mark};
"""
CREATE_TABLE = """
CREATE TABLE {table} (version_num text PRIMARY KEY);
COMMENT ON TABLE {table} IS 'The revision this schema is at; one row, kept by bedplate migrate.';
COMMENT ON COLUMN {table}.version_num IS 'The newest revision that was applied.';
"""
GRANT = """
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON {table} TO {role};
"""
DROP = "DROP TABLE {table}; DROP SCHEMA {schema};"


def create(raw: Connection, line: Line, *roles: str | None) -> None:
    """Create the schema, marked as ours, and let the roles see it.

    Raises SchemaRefused with the GRANT to run where the server does not let the owner create one.
    """
    names = _names(line)
    try:
        raw.execute(sql.SQL(CREATE).format(mark=sql.Literal(line.mark), **names))
    except psycopg.errors.InsufficientPrivilege:
        who = sql.Identifier(raw.info.user).as_string()
        where = sql.Identifier(raw.info.dbname).as_string()
        raise SchemaRefused(
            f"The server does not let {who} create the schema {line.schema}.",
            f"As an administrator run: GRANT CREATE ON DATABASE {where} TO {who};",
        ) from None
    create_table(raw, line, *roles)


def create_table(raw: Connection, line: Line, *roles: str | None) -> None:
    """Create the version table in a schema that is there, and let the roles see both."""
    names = _names(line)
    raw.execute(sql.SQL(CREATE_TABLE).format(**names))
    for role in filter(None, roles):
        raw.execute(sql.SQL(GRANT).format(role=sql.Identifier(role), **names))


def record(raw: Connection, line: Line, *, before: str | None, after: str | None) -> None:
    """Move the version from `before` to `after`; refuse when it is not at `before`."""
    table = _names(line)["table"]
    if before is None:
        raw.execute(sql.SQL("INSERT INTO {} VALUES (%s)").format(table), [after])
        return
    if after is None:
        statement, values = "DELETE FROM {} WHERE version_num = %s", [before]
    else:
        statement, values = "UPDATE {} SET version_num = %s WHERE version_num = %s", [after, before]
    moved = raw.execute(sql.SQL(statement).format(table), values).rowcount
    # The advisory lock makes this impossible, unless its connection broke in the meantime.
    if moved != 1:
        raise MigrationFailed(
            f"Schema {line.schema} is no longer at {before}: somebody else migrates it.",
            "Run `bedplate migrate status`, then apply again.",
        )


def drop(raw: Connection, line: Line) -> None:
    """Drop the schema, which its first revision's way back has left empty.

    The kernel's schema takes the runner's books with it: there is nothing left to keep them for.
    """
    if line == KERNEL_LINE:
        books.drop(raw)
    raw.execute(sql.SQL(DROP).format(**_names(line)))


def _names(line: Line) -> dict[str, sql.Composable]:
    return {
        "schema": sql.Identifier(line.schema),
        "table": sql.Identifier(line.schema, VERSION_TABLE),
    }
