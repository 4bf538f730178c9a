"""Databases made for a rehearsal alone, and gone afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, LiteralString

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from bedplate.catalog import Connection, connect
from bedplate.operations.migrate import sample, transfer
from bedplate.operations.migrate.telling import watched

GroundKind = Literal["same server", "private server"]
DataKind = Literal["full", "sampled", "schema", "empty"]
PURPOSE = "rehearsal"
COPY = "bedplate_copy"

NO_OPTIONS = sql.SQL("")

FULL_BYTES_MAX = 2 * 1024**3
"""Up to this size, as pg_database_size says it, a copy holds every row."""

MEGABYTE = 1024**2

# A database's own privileges are all that neither a template nor a dump brings along. Where nobody
# changed them the catalog holds none, and PostgreSQL's defaults hold: PUBLIC may connect.
PRIVILEGES = """
SELECT coalesce(pg_catalog.pg_get_userbyid(nullif(a.grantee, 0))::text, ''), a.privilege_type
FROM pg_catalog.pg_database d,
     pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
WHERE d.datname = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One database to rehearse on, as each role; `data` says what it holds of the live rows."""

    name: str
    owner_url: str
    app_url: str | None
    admin_url: str
    data: DataKind


class Databases:
    """Makes databases on one server, each gone when its block ends, and those of the killed too."""

    def __init__(
        self, admin: Connection, owner: str, privileges: Iterable[tuple[str, LiteralString]] = ()
    ) -> None:
        """`privileges` are those of the live database: (role, privilege), PUBLIC as ''."""
        self._admin = admin
        self._owner = owner
        self._privileges = tuple(privileges)
        self._numbers = itertools.count(1)
        drop_orphans(admin)

    @contextmanager
    def made(
        self, template: str = "template1", options: sql.Composable = NO_OPTIONS
    ) -> Generator[str]:
        """Make a database of the owner's; `options` are more of CREATE DATABASE's."""
        name = f"{COPY}_{self._admin.info.backend_pid}_{next(self._numbers)}"
        database, owner = sql.Identifier(name), sql.Identifier(self._owner)
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} {}")
        self._admin.execute(create.format(database, owner, sql.Identifier(template), options))
        try:
            # Nobody needs what a copy holds after a power loss.
            relaxed = sql.SQL("ALTER DATABASE {} SET synchronous_commit = off")
            self._admin.execute(relaxed.format(database))
            self._grant(database)
            yield name
        finally:
            drop(self._admin, name)

    def _grant(self, database: sql.Identifier) -> None:
        """Let the same roles in as into the live database, and nobody else."""
        self._admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        for role, privilege in self._privileges:
            self._admin.execute(
                sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
                    sql.SQL(privilege),
                    database,
                    sql.Identifier(role) if role else sql.SQL("PUBLIC"),
                )
            )


def fill(source_url: str, into_url: str, major: int) -> DataKind:
    """Load a database into an empty one, all rows up to a size, beyond it a sample of them.

    Raises RehearsalRefused.
    """
    with connect(source_url, autocommit=True, purpose=PURPOSE) as live:
        size = _bytes(live, database_of(source_url))
    is_whole = size <= FULL_BYTES_MAX
    rows = None if is_whole else partial(sample.load, source_url, into_url)
    with watched(into_url, partial(_progress, size if is_whole else None)):
        transfer.carry(source_url, into_url, major=major, schema_only=not is_whole, rows=rows)
        if not is_whole:
            sample.refresh(source_url, into_url)
    return "full" if is_whole else "sampled"


def is_large(connection: Connection, database: str) -> bool:
    """Tell whether a database is too large to be copied whole."""
    return _bytes(connection, database) > FULL_BYTES_MAX


def _bytes(connection: Connection, database: str) -> int:
    query = "SELECT pg_catalog.pg_database_size(%s::name)"
    row = connection.execute(query, [database]).fetchone()
    return int(row[0]) if row is not None else 0


def _progress(total: int | None, copy: Connection) -> str:
    done = _bytes(copy, copy.info.dbname) // MEGABYTE
    of = f" of about {total // MEGABYTE:,} MB" if total is not None else " MB of a sample"
    return f"Copying the database: {done:,}{of}"


def with_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server, as the same role."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def database_of(url: str) -> str:
    """Return the name of the database that a URL leads to."""
    return str(conninfo_to_dict(url)["dbname"])


def drop(admin: Connection, name: str) -> None:
    """Drop a copy, whoever is still connected to it."""
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def drop_orphans(admin: Connection) -> None:
    """Drop the copies of rehearsals that were killed; a copy carries its maker's number."""
    living = {
        str(pid)
        for (pid,) in admin.execute(
            "SELECT pid FROM pg_catalog.pg_stat_activity WHERE application_name = %s",
            [f"bedplate {PURPOSE}"],
        )
    }
    found = admin.execute(
        "SELECT datname::text FROM pg_catalog.pg_database WHERE datname LIKE %s",
        [COPY.replace("_", r"\_") + r"\_%"],
    ).fetchall()
    for (name,) in found:
        if name.removeprefix(f"{COPY}_").split("_")[0] not in living:
            drop(admin, name)
