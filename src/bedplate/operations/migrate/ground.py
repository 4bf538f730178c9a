"""Where a migration is rehearsed: databases made for it alone, and gone afterwards."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from bedplate.catalog import Connection, connect
from bedplate.operations.migrate import transfer
from bedplate.operations.migrate.target import Target

GroundKind = Literal["same server", "private server"]
DataKind = Literal["full", "sampled", "schema", "empty"]
PURPOSE = "rehearsal"
COPY = "bedplate_copy"
LEAVE_LIMIT_S = 0.3
POLL_S = 0.01

# A database's own privileges are all that neither a template nor a dump brings along.
PRIVILEGES = """
SELECT coalesce(pg_catalog.pg_get_userbyid(nullif(a.grantee, 0))::text, ''), a.privilege_type
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a WHERE d.datname = %s
"""
CONNECTED = "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE datname = %s LIMIT 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One database to rehearse on, as each role; `data` says what it holds of the live rows."""

    name: str
    owner_url: str
    app_url: str | None
    admin_url: str
    data: DataKind


class Ground(Protocol):
    """A server on which databases may be made and dropped; they have the live roles' names."""

    @property
    def kind(self) -> GroundKind:
        """Whether it is the live database's own server, or one started for this."""
        ...

    def empty(self) -> AbstractContextManager[Copy]:
        """Make an empty database of the owner's, and drop it when the block ends."""
        ...

    def copy(self) -> AbstractContextManager[Copy]:
        """Copy the live database, and drop the copy when the block ends."""
        ...


@contextmanager
def grounds(target: Target) -> Generator[Ground]:
    """Choose where to rehearse: beside the live database where we are the server's administrator.

    Raises RehearsalRefused where no ground can be had, DatabaseUnreachable, AuthenticationFailed.
    """
    assert target.admin_url is not None
    with connect(
        with_database(target.admin_url, "postgres"), autocommit=True, purpose=PURPOSE
    ) as admin:
        yield SameServer(target, admin)


class SameServer:
    """The embedded server itself: a copy is a clone of the live database by its files."""

    kind: GroundKind = "same server"

    def __init__(self, target: Target, admin: Connection) -> None:
        assert target.admin_url is not None
        self._target = target
        self._admin_url = target.admin_url
        self._admin = admin
        self._live = database_of(target.admin_url)
        self._owner = str(conninfo_to_dict(target.owner_url)["user"])
        self._numbers = itertools.count(1)
        drop_orphans(admin)

    @contextmanager
    def empty(self) -> Generator[Copy]:
        """Make an empty database of the owner's, and drop it when the block ends."""
        with self._made() as name:
            yield self._copy(name, "empty")

    @contextmanager
    def copy(self) -> Generator[Copy]:
        """Copy the live database, and drop the copy when the block ends.

        The files are cloned while nobody is connected; else its dump is restored.
        """
        with ExitStack() as stack:
            name = stack.enter_context(self._cloned())
            if name is not None:
                yield self._copy(name, "full")
                return
            copy = self._copy(stack.enter_context(self._made()), "full")
            major = self._admin.info.server_version // 10_000
            transfer.carry(self._admin_url, copy.admin_url, major=major)
            yield copy

    @contextmanager
    def _cloned(self) -> Generator[str | None]:
        """Clone the live database by its files; None where somebody is connected to it."""
        # Who is leaving is waited for, not long: PostgreSQL itself would for 5 s.
        deadline = time.monotonic() + LEAVE_LIMIT_S
        while self._admin.execute(CONNECTED, [self._live]).fetchone() is not None:
            if time.monotonic() > deadline:
                yield None
                return
            time.sleep(POLL_S)
        with ExitStack() as stack:
            try:
                name: str | None = stack.enter_context(self._made(template=self._live))
            except psycopg.errors.ObjectInUse:
                name = None
            yield name

    @contextmanager
    def _made(self, template: str | None = None) -> Generator[str]:
        name = f"{COPY}_{self._admin.info.backend_pid}_{next(self._numbers)}"
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            sql.Identifier(name),
            sql.Identifier(self._owner),
            sql.Identifier(template or "template1"),
        )
        self._admin.execute(create)
        try:
            self._grant(name)
            yield name
        finally:
            drop(self._admin, name)

    def _grant(self, name: str) -> None:
        """Let the same roles in as into the live database, and nobody else."""
        database = sql.Identifier(name)
        self._admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        for role, privilege in self._admin.execute(PRIVILEGES, [self._live]).fetchall():
            self._admin.execute(
                sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
                    sql.SQL(privilege),
                    database,
                    sql.Identifier(role) if role else sql.SQL("PUBLIC"),
                )
            )

    def _copy(self, name: str, data: DataKind) -> Copy:
        target = self._target
        return Copy(
            name=name,
            owner_url=with_database(target.owner_url, name),
            app_url=with_database(target.app_url, name) if target.app_url else None,
            admin_url=with_database(self._admin_url, name),
            data=data,
        )


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
