"""A server of a test's own, which may be killed, with a business on it; and who looks on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from bedplate.integrations.blocking import open_project
from bedplate.kernel import embedded, processes, registry
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.settings import Settings, load
from bedplate.operations import checks, migrate
from bedplate.project import Project
from bedplate.testing import Clone
from tests.modules.accounting.clerks import KILL

CUT_OFF = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""
# What one moment shows of each day: without gaps it is as many as the last.
SEEN = """
SELECT coalesce(sum(last - many), 0), coalesce(sum(many), 0) FROM (
    SELECT count(*) AS many, max(substr(invoice_number, 9)::int) AS last
    FROM accounting.invoices WHERE issued_date IS NOT NULL
    GROUP BY left(invoice_number, 8)) AS d
"""


@dataclass
class Ground:
    """The server, and an auditor's view of it."""

    attachment: Attachment
    folder: Path
    modules: tuple[str, ...]
    seen: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Each time it was looked at: how many numbers were missing, and how many were there."""

    @property
    def url(self) -> str:
        return self.attachment.url()

    @property
    def settings(self) -> Settings:
        return replace(
            load(),
            folder=self.folder,
            database_url=self.url,
            database_owner_url=self.attachment.url("owner"),
            modules=self.modules,
        )

    @property
    def clone(self) -> Clone:
        """As tests know a database."""
        return Clone("ground", self.settings)

    def project(self) -> Project:
        return open_project(settings=self.settings)

    def kill_server(self) -> None:
        pid = embedded.status(self.folder).pid
        assert pid is not None
        assert processes.terminate(pid, KILL)
        self.attachment.ensure_running()

    def cut_off(self) -> None:
        """End every connection of the app's but this one."""
        with psycopg.connect(self.url, autocommit=True) as app:
            app.execute(CUT_OFF)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the numbers again and again, whatever happens to the server."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.01):
                with (
                    suppress(psycopg.OperationalError),
                    psycopg.connect(self.attachment.url("owner"), autocommit=True) as owner,
                ):
                    while not over.wait(0.01):
                        self.seen += owner.execute(SEEN).fetchall()

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def broken(self) -> list[str]:
        """The laws of accounting and of mail that do not hold."""
        outcomes = checks.run(registry.load(self.modules, self.folder), self.url)
        ours = [each for each in outcomes if each.id.startswith(("accounting.", "delivery."))]
        assert len(ours) > 5
        return [each.id for each in ours if not each.ok]


@contextmanager
def ground_in(folder: Path, major: int, *modules: str) -> Iterator[Ground]:
    """A new server with these modules; it is gone after the block, with all its data."""
    folder.mkdir()
    try:
        attachment = embedded.attach(folder, major=major, database="accounting", durable=False)
        try:
            migrate.apply_unproven(
                registry.load(modules, folder),
                owner_url=attachment.url("owner"),
                app_url=attachment.url("app"),
            )
            yield Ground(attachment, folder, modules)
        finally:
            attachment.detach()
    finally:
        embedded.purge(folder)
