"""A new, empty database for a test, on a server that all tests of the process share.

The server is the one under test: embedded, of the major of `[test]`, or the one that was given by
its URL (Debian's).
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from bedplate.kernel import embedded, roles
from bedplate.kernel.embedded import Attachment, RoleName
from bedplate.kernel.settings import load

_numbers = itertools.count(1)


class Server(Protocol):
    """A server with the roles of one database, which all of its test databases share."""

    def url(self, role: RoleName = "app", database: str | None = None) -> str: ...


@dataclass(frozen=True)
class TestDatabase:
    """Where a test's database is, as each role."""

    __test__ = False

    name: str
    owner_url: str
    app_url: str
    reader_url: str
    admin_url: str

    @property
    def roles(self) -> tuple[str, str, str]:
        owner, app, reader = (
            str(conninfo_to_dict(url)["user"])
            for url in (self.owner_url, self.app_url, self.reader_url)
        )
        return owner, app, reader


@contextmanager
def running_server(major: int) -> Iterator[Attachment]:
    """A server in a folder of its own, gone with all its data afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bedplate-tests-"))
    attachment = embedded.attach(folder, major=major, durable=False)
    try:
        yield attachment
    finally:
        attachment.detach()
        embedded.purge(folder)
        shutil.rmtree(folder, ignore_errors=True)


class GivenServer:
    """A server that somebody else runs, such as Debian's; it gets roles of its own for the run."""

    def __init__(self, admin_url: str) -> None:
        self.database = f"tests_{os.getpid()}"
        self._admin_url = admin_url
        self._passwords = {role: secrets.token_hex(8) for role in ("owner", "app", "reader")}
        roles.ensure(admin_url, self.database, self._passwords)

    def url(self, role: RoleName = "app", database: str | None = None) -> str:
        url = make_url(self._admin_url).set(database=database or self.database)
        if role != "admin":
            url = url.set(username=f"{self.database}_{role}", password=self._passwords[role])
        return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server under test: one for all that runs in this process."""
    settings = load().test
    if settings.database_url is not None:
        yield GivenServer(settings.database_url)
        return
    with running_server(settings.postgres_major) as attachment:
        yield attachment


@pytest.fixture
def database(server: Server) -> Iterator[TestDatabase]:
    """A new, empty database on it."""
    with new_database(server) as made:
        yield made


@contextmanager
def new_database(server: Server, template: str = "template1") -> Iterator[TestDatabase]:
    """A database that the owner's role owns and the app's and the reader's may connect to."""
    name = f"t{os.getpid()}_{next(_numbers)}"
    made = TestDatabase(
        name,
        owner_url=server.url("owner", name),
        app_url=server.url("app", name),
        reader_url=server.url("reader", name),
        admin_url=server.url("admin", name),
    )
    owner, app, reader = made.roles
    with psycopg.connect(server.url("admin"), autocommit=True) as admin:
        database = sql.Identifier(name)
        # FILE_COPY instead of the WAL: what it writes is gone with the test.
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY").format(
                database, sql.Identifier(owner), sql.Identifier(template)
            )
        )
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        admin.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
                database, sql.Identifier(app), sql.Identifier(reader)
            )
        )
        # On PostgreSQL 15 a role that inherits nothing does not even own its database's public.
        with psycopg.connect(made.admin_url, autocommit=True) as inside:
            inside.execute(
                sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(owner))
            )
        try:
            yield made
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
