"""The view `bedplate.audit_log`: kept to the logs that the enabled modules have in the database."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from bedplate.catalog import Connection
from bedplate.kernel.audit import LOG_TABLE, log_of
from bedplate.kernel.capture import view_comment, view_sql
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate.surroundings import Surroundings

# A module's log may not be there yet, or no longer: the database is asked, not only the manifests.
STATE = """
SELECT
    pg_catalog.to_regclass('bedplate.audit_log') IS NOT NULL,
    pg_catalog.obj_description(pg_catalog.to_regclass('bedplate.audit_log'), 'pg_class'),
    ARRAY(
        SELECT n.nspname::text FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = %s AND c.relkind IN ('r', 'p') AND n.nspname = ANY (%s)
    )
"""


def is_current(connection: Connection, registry: Registry) -> bool:
    """Tell whether the view shows what it is to show; one statement, as any role."""
    exists, comment, schemas = _state(connection, registry.ordered)
    return not exists or comment == view_comment(schemas)


def rebuild(connection: Connection, registry: Registry, surroundings: Surroundings) -> None:
    """Make the view show the log of every enabled module that has one.

    Nothing happens while the kernel's own line has not made the view yet.
    """
    _replace(connection, registry.ordered, surroundings)


def leave_out(
    connection: Connection, registry: Registry, name: str, surroundings: Surroundings
) -> None:
    """Take one module's log out of the view, so that its line can go back."""
    others = [manifest for manifest in registry.ordered if manifest.name != name]
    _replace(connection, others, surroundings)


def _replace(
    connection: Connection, manifests: Iterable[ModuleManifest], surroundings: Surroundings
) -> None:
    exists, comment, schemas = _state(connection, manifests)
    if not exists:
        return
    with connection.transaction():
        if comment != view_comment(schemas):
            connection.execute(view_sql(schemas).encode())
        for role in filter(None, (surroundings.app, surroundings.reader)):
            grant = sql.SQL("GRANT SELECT ON bedplate.audit_log TO {}")
            connection.execute(grant.format(sql.Identifier(role)))


def _state(
    connection: Connection, manifests: Iterable[ModuleManifest]
) -> tuple[bool, str | None, list[str]]:
    """Whether the view exists, its comment, and the schemas whose log it is to show."""
    having = [each.schema for each in manifests if log_of(each) is not None]
    row = connection.execute(STATE, [LOG_TABLE, having]).fetchone()
    assert row is not None, "SELECT without FROM answers one row"
    return row[0], row[1], row[2]
