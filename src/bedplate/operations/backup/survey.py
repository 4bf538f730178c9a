"""What is to be known of a database to tell its copies from it, and from one another."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from bedplate.catalog import (
    Connection,
    canonical,
    contents,
    fingerprint,
    identity,
    read,
    user_schemas,
)
from bedplate.kernel import sqlstates
from bedplate.kernel.errors import BackupRefused, BedplateError
from bedplate.kernel.lines import VERSION_TABLE
from bedplate.operations.backup.manifest import SavedContent
from bedplate.operations.backup.progress import OnProgress, tell

DATABASE = """
SELECT d.datname, pg_catalog.pg_database_size(d.oid),
       pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('server_version_num')::int / 10000
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
OUR_SCHEMAS = """
SELECT n.nspname, pg_catalog.obj_description(n.oid, 'pg_namespace')
FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = %s
WHERE pg_catalog.obj_description(n.oid, 'pg_namespace') LIKE 'Bedplate module %%'
ORDER BY 1
"""


# What is in them follows from tables; a restore computes it anew, so it need not be what it was.
DERIVED = "SELECT schemaname || '.' || matviewname FROM pg_catalog.pg_matviews"


@dataclass(frozen=True, slots=True)
class Facts:
    """A database's name and place; the size in bytes."""

    name: str
    identity: str
    size: int
    server_version: str
    major: int


@dataclass(frozen=True, slots=True)
class State:
    """What a database has: its catalog as text and as a fingerprint, and what is in its tables."""

    catalog: str
    fingerprint: str
    contents: dict[str, SavedContent]


def facts(connection: Connection) -> Facts:
    """Return a database's name and place."""
    row = connection.execute(DATABASE).fetchone()
    assert row is not None, "a session is in a database"
    name, size, version, major = row
    return Facts(name, identity(connection), size, version.partition(" ")[0], major)


def state(connection: Connection, *, on_progress: OnProgress | None = None) -> State:
    """Read the catalog and every table; raises BackupRefused where the role may not."""
    try:
        schemas = user_schemas(connection)
        snapshot = read(connection, schemas)
        derived = {name for (name,) in connection.execute(DERIVED)}
        found: dict[str, SavedContent] = {}
        for number, schema in enumerate(schemas, start=1):
            for name, content in contents(connection, [schema]).items():
                if name not in derived:
                    found[name] = SavedContent(content.rows, content.hash)
            tell(on_progress, "Reading every table", number, len(schemas))
    except psycopg.Error as error:
        raise _refused(connection, error) from None
    return State(canonical(snapshot), fingerprint(snapshot), found)


def modules(connection: Connection) -> dict[str, str | None]:
    """Return the revision of each module's schema, by the module's name."""
    found: dict[str, str | None] = {}
    for schema, comment in connection.execute(OUR_SCHEMAS, [VERSION_TABLE]).fetchall():
        query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(schema, VERSION_TABLE))
        row = connection.execute(query).fetchone()
        found[str(comment).removeprefix("Bedplate module ")] = row[0] if row else None
    return found


def _refused(connection: Connection, error: psycopg.Error) -> BedplateError:
    if error.sqlstate != "42501":
        return sqlstates.translate(error)
    # PostgreSQL's own sentence names the table, and no row.
    return BackupRefused(
        f"The role {connection.info.user} may not read all of the database:"
        f" {error.diag.message_primary}.",
        f'Run `GRANT pg_read_all_data TO "{connection.info.user}"` as an administrator (row-level'
        " security also needs BYPASSRLS), or give the owner's address of what it may not read.",
    )
