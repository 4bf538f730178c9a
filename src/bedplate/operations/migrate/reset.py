"""Empty a database for development and make it anew; only one that is marked as disposable."""

from __future__ import annotations

from psycopg import sql

from bedplate.catalog import (
    Connection,
    connect,
    difference,
    identity,
    read,
    system_identifier,
    user_schemas,
)
from bedplate.kernel.errors import ResetRefused
from bedplate.operations.migrate import books, lock
from bedplate.operations.migrate.status import LineStatus
from bedplate.operations.migrate.step import OnStep
from bedplate.operations.migrate.target import Target
from bedplate.operations.migrate.unproven import run_pending

STATE = """
SELECT d.datname::text, coalesce(s.description, '')
FROM pg_catalog.pg_database d
LEFT JOIN pg_catalog.pg_shdescription s
    ON s.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND s.objoid = d.oid
WHERE d.datname = pg_catalog.current_database()
"""
OURS = """
SELECT n.nspname::text FROM pg_catalog.pg_namespace n
WHERE pg_catalog.obj_description(n.oid, 'pg_namespace') = 'Bedplate module ' || n.nspname
ORDER BY n.nspname
"""


def mark(target: Target, *, disposable: bool) -> str:
    """Mark the database as one that `reset` may empty, or take the mark off; return its name.

    Raises ResetRefused where the role may not ask which server this is.
    """
    with connect(target.owner_url, autocommit=True, purpose="reset") as connection:
        name, comment, sign = _state(connection)
        lines = [line for line in comment.splitlines() if line != sign]
        text = "\n".join([*lines, sign] if disposable else lines)
        connection.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text))
        )
        return name


def is_marked(connection: Connection) -> tuple[str, bool]:
    """Return the database's name, and whether it is marked as disposable."""
    name, comment, sign = _state(connection)
    return name, sign in comment.splitlines()


def _state(connection: Connection) -> tuple[str, str, str]:
    """Return the database's name, its comment, and the line of it that is the mark.

    The mark names the very database, so that a dump or a clone that carries the comment elsewhere
    marks nothing. An address would not do: another server may have it tomorrow.
    """
    row = connection.execute(STATE).fetchone()
    assert row is not None, "a connection is to a database"
    if system_identifier(connection) is None:
        user = connection.info.user
        raise ResetRefused(
            f"The role {user} may not ask which server this is, so no mark can name the database.",
            f'Run `GRANT EXECUTE ON FUNCTION pg_control_system() TO "{user}"` in it as an'
            " administrator.",
        )
    return row[0], row[1], f"Bedplate may reset this: {identity(connection)}"


def reset(target: Target, name: str, *, on_step: OnStep | None = None) -> tuple[LineStatus, ...]:
    """Drop every schema of Bedplate's, enabled or not, and run every line anew.

    `name` is the database's, as somebody typed it. What else the database has stays: where it
    hangs on ours, nothing is dropped. Raises ResetRefused, and what apply_unproven raises.
    """
    with lock.held(target.owner_url) as migration_lock:
        connection = migration_lock.connection
        found, disposable = is_marked(connection)
        if name != found:
            raise ResetRefused(
                f"The name typed is not {found}.", "Nothing was dropped: type the database's name."
            )
        if not disposable:
            raise ResetRefused(
                f"The database {found} is not marked as disposable.",
                "If nobody needs its data, mark it: `bedplate migrate reset --mark`.",
            )
        dropped = _drop(connection)
    decision = books.Decision("reset", {"dropped": dropped})
    return run_pending(target, decisions=[decision], on_step=on_step)


def _drop(connection: Connection) -> list[str]:
    """Drop our schemas at once; refuse where anything of others would go along."""
    ours = [schema for (schema,) in connection.execute(OURS)]
    if not ours:
        return []
    with connection.transaction():
        others = [schema for schema in user_schemas(connection) if schema not in ours]
        before = read(connection, others)
        names = sql.SQL(", ").join(map(sql.Identifier, ours))
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(names))
        lost = difference(before, read(connection, others))
        if lost:
            raise ResetRefused(
                f"Others' objects hang on ours: {', '.join(each.name for each in lost)}.",
                "Nothing was dropped: drop those first, or use another database.",
            )
    return ours
