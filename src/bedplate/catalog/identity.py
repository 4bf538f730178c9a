"""Which database this is: a copy of it elsewhere, or a later one of its name, is another."""

from __future__ import annotations

from bedplate.catalog.connection import Connection

MAY_ASK = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
SYSTEM = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
NUMBER = """
SELECT d.oid::text FROM pg_catalog.pg_database d
WHERE d.datname = pg_catalog.current_database()
"""


def identity(connection: Connection) -> str:
    """Return what tells the database from every other: its server's number and its own.

    Where the role may not ask for the server's number, the server's address has to do.
    """
    server = system_identifier(connection) or f"{connection.info.host}:{connection.info.port}"
    return f"{server}/{_one(connection, NUMBER)}"


def system_identifier(connection: Connection) -> str | None:
    """Return the number that the server got when it was made; None where it may not be asked."""
    return str(_one(connection, SYSTEM)) if _one(connection, MAY_ASK) else None


def _one(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None, "each of them answers one row"
    return row[0]
