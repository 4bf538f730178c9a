"""Where a migration is rehearsed: beside the live database, or on a server started for it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bedplate.catalog import Connection, connect
from bedplate.operations.migrate.copies import (
    PRIVILEGES,
    PURPOSE,
    Copy,
    Databases,
    DataKind,
    GroundKind,
    database_of,
    fill,
    is_large,
    with_database,
)
from bedplate.operations.migrate.private_server import private_server
from bedplate.operations.migrate.target import Target

LEAVE_LIMIT_S = 0.3
POLL_S = 0.01
CONNECTED = "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE datname = %s LIMIT 1"


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


def grounds(target: Target) -> AbstractContextManager[Ground]:
    """Choose where to rehearse: beside the live database where we administer its server.

    Else on a private server of its major version. Entering it raises RehearsalRefused where no
    ground can be had, DatabaseUnreachable, AuthenticationFailed.
    """
    return _beside(target) if target.admin_url is not None else private_server(target)


@contextmanager
def _beside(target: Target) -> Generator[Ground]:
    assert target.admin_url is not None
    url = with_database(target.admin_url, "postgres")
    with connect(url, autocommit=True, purpose=PURPOSE) as admin:
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
        owner = str(conninfo_to_dict(target.owner_url)["user"])
        privileges = admin.execute(PRIVILEGES, [self._live]).fetchall()
        self._databases = Databases(admin, owner, privileges)

    @contextmanager
    def empty(self) -> Generator[Copy]:
        """Make an empty database of the owner's, and drop it when the block ends."""
        with self._databases.made() as name:
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
            copy = self._copy(stack.enter_context(self._databases.made()), "full")
            major = self._admin.info.server_version // 10_000
            data = fill(self._admin_url, copy.admin_url, major)
            yield replace(copy, data=data)

    @contextmanager
    def _cloned(self) -> Generator[str | None]:
        """Clone the live database by its files; None where it is in use, or large."""
        if is_large(self._admin, self._live) or not self._is_left():
            yield None
            return
        with ExitStack() as stack:
            try:
                name: str | None = stack.enter_context(self._databases.made(self._live))
            except psycopg.errors.ObjectInUse:
                name = None
            yield name

    def _is_left(self) -> bool:
        """Wait a moment for those who are leaving: PostgreSQL itself would for 5 s."""
        deadline = time.monotonic() + LEAVE_LIMIT_S
        while self._admin.execute(CONNECTED, [self._live]).fetchone() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def _copy(self, name: str, data: DataKind) -> Copy:
        target = self._target
        return Copy(
            name=name,
            owner_url=with_database(target.owner_url, name),
            app_url=with_database(target.app_url, name) if target.app_url else None,
            admin_url=with_database(self._admin_url, name),
            data=data,
        )
