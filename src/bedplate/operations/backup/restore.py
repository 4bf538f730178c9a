"""Bring a backup back into a new database, and see that it is what was saved."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from bedplate.catalog import Connection, connect, tools
from bedplate.kernel import sqlstates
from bedplate.kernel.errors import RestoreDiffers, RestoreRefused
from bedplate.operations.backup import making, survey
from bedplate.operations.backup.create import jobs
from bedplate.operations.backup.manifest import CATALOG, DUMP, Backup
from bedplate.operations.backup.progress import OnProgress, Progress, tell, watching
from bedplate.operations.backup.survey import State
from bedplate.operations.backup.verify import verify

NAME_BYTES_MAX = 63
GROUPING = str.maketrans("", "", "()")
DIFFERENCES_SHOWN = 5
EXISTS = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s"
# Whatever does not belong to an extension was made by someone.
HAS_ANYTHING = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_namespace n
    WHERE n.nspname NOT IN ('public', 'information_schema') AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                        AND d.objid = n.oid AND d.deptype = 'e')
) OR EXISTS (
    SELECT FROM pg_catalog.pg_namespace n
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                               AND d.refobjid = n.oid AND d.deptype = 'n'
    WHERE n.nspname = 'public' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend e
        WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
)
"""
SIZE = "SELECT pg_catalog.pg_database_size(%s::name)"


@dataclass(frozen=True, slots=True)
class Restored:
    """A database that came out of a backup and was compared with it."""

    backup: Backup
    database: str
    tables: int
    rows: int


def restore(
    backup: Backup, url: str, into: str, *, on_progress: OnProgress | None = None
) -> Restored:
    """Restore a backup into the database `into`, and compare catalog and contents with it.

    `url` is of a role that may create databases, at any database of the server: the
    administrator's, or one with CREATEDB. An empty database that is there already does as well; any
    other is refused, so nothing is ever overwritten. Every file is verified before anything is
    created; what was created is dropped again where PostgreSQL cannot restore it.

    Raises BackupDamaged, RestoreRefused, ToolsMissing, ToolFailed, RestoreDiffers (the database is
    kept, to be looked at) and the ConnectionFailed errors.
    """
    _check_name(into)
    verify(backup, on_progress=on_progress)
    manifest = backup.manifest
    programs = tools(manifest.major)
    into_url = make_conninfo(url, dbname=into)
    with connect(url, autocommit=True, purpose="restore") as connection:
        _check_server(connection, backup)
        created = not _is_there(connection, into, into_url)
        if created:
            making.make(connection, into, manifest.making)
        try:
            with watching(on_progress, lambda: _grown(connection, into, manifest.database_bytes)):
                options = [f"--jobs={jobs(manifest.size)}"]
                programs.restore(into_url, backup.folder / DUMP, options)
            if created:
                making.grant(connection, into, manifest.making)
        except BaseException:
            if created:
                _drop(connection, into)
            raise
    _compare(backup, into, into_url, on_progress)
    return Restored(backup, into, len(manifest.contents), backup.rows)


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > NAME_BYTES_MAX:
        raise RestoreRefused(
            "That is no name of a database.", f"Give one of 1 to {NAME_BYTES_MAX} bytes."
        )


def _check_server(connection: Connection, backup: Backup) -> None:
    manifest = backup.manifest
    found = survey.facts(connection)
    if found.major != manifest.major:
        raise RestoreRefused(
            f"The backup {backup.id} is of PostgreSQL {manifest.major}, and this server is"
            f" PostgreSQL {found.major}.",
            f"Restore it on a server of PostgreSQL {manifest.major}.",
        )
    if missing := making.missing_roles(connection, manifest.making):
        raise RestoreRefused(
            f"This server has no role {', '.join(missing)}, to whom the backup {backup.id} refers.",
            "Create it (`CREATE ROLE`), and restore again.",
        )


def _is_there(connection: Connection, name: str, url: str) -> bool:
    if connection.execute(EXISTS, [name]).fetchone() is None:
        return False
    with connect(url, autocommit=True, purpose="restore") as inside:
        row = inside.execute(HAS_ANYTHING).fetchone()
    if row is None or row[0]:
        raise RestoreRefused(
            f"There is a database {name} already, and it is not empty.",
            "Choose a name that is not taken: a backup is never restored over a database.",
        )
    return True


def _grown(connection: Connection, name: str, total: int) -> Progress:
    """pg_restore does not say how far it is: the bytes of the database have to."""
    try:
        row = connection.execute(SIZE, [name]).fetchone()
    except psycopg.Error:
        # Whatever is wrong, the restore itself will tell.
        row = None
    return Progress("Restoring", min(row[0], total) if row else 0, total)


def _drop(connection: Connection, name: str) -> None:
    try:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )
    except psycopg.Error as error:
        raise sqlstates.translate(error) from None


def _compare(backup: Backup, into: str, url: str, on_progress: OnProgress | None) -> None:
    with connect(url, autocommit=True, purpose="restore") as connection:
        state = survey.state(connection, on_progress=on_progress)
        # Without statistics the first queries of a restored database are planned blindly.
        connection.execute("ANALYZE")
    tell(on_progress, "Comparing", 1, 1)
    different = list(_differences(backup, state))
    if different:
        shown = "; ".join(different[:DIFFERENCES_SHOWN])
        more = f" and {len(different) - DIFFERENCES_SHOWN} more" if len(different) > 5 else ""
        raise RestoreDiffers(
            f"The database {into} is not what was saved as {backup.id}: {shown}{more}.",
            f"Look at {into}, which is kept, and drop it then.",
        )


def _differences(backup: Backup, state: State) -> list[str]:
    saved = backup.manifest.contents
    found = [
        f"the rows of {name}"
        for name in sorted(saved.keys() | state.contents.keys())
        if saved.get(name) != state.contents.get(name)
    ]
    if state.fingerprint != backup.manifest.fingerprint:
        before = _lines((backup.folder / CATALOG).read_text("utf-8"))
        after = _lines(state.catalog)
        found += [f"missing: {before[key]}" for key in sorted(before.keys() - after.keys())]
        found += [f"new: {after[key]}" for key in sorted(after.keys() - before.keys())]
    return found


def _lines(catalog: str) -> dict[str, str]:
    """The catalog's lines, each after the name of the object that it is indented below.

    They are by themselves without parentheses: PostgreSQL keeps (a, b) IS DISTINCT FROM (c, d) as
    conditions inside one another, and reads what it shows of them as a list. A dump changes no
    meaning; what it left out is looked for.
    """
    found: list[str] = []
    whole = ""
    for line in catalog.splitlines():
        if line.startswith(" "):
            found.append(f"{whole}, {line.strip()}")
        else:
            whole = line.partition(":")[0]
            found.append(line)
    return {line.translate(GROUPING): line for line in found}
