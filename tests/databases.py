"""A new, empty database for a test, on an embedded server that the whole run shares."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import embedded
from bedplate.kernel.embedded import Attachment

_numbers = itertools.count(1)


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


@contextmanager
def new_database(server: Attachment) -> Iterator[TestDatabase]:
    """A database that the owner's role owns and the app's and the reader's may connect to."""
    name = f"t{next(_numbers)}"
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
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(owner))
        )
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        admin.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
                database, sql.Identifier(app), sql.Identifier(reader)
            )
        )
        try:
            yield made
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
