"""The demo's own server and project, in a temporary folder, gone afterwards."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import select

from bedplate.catalog import connect
from bedplate.cli.demo import naive
from bedplate.cli.demo.errands import MODULES, settings_for
from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel import embedded, processes, registry
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.registry import Registry
from bedplate.modules import credits
from bedplate.modules.auth import User
from bedplate.operations import migrate
from bedplate.project import Project

DATABASE = "demo"
CONNECTIONS_MAX = 2


@dataclass(frozen=True, slots=True)
class Stage:
    """A server of our own with the modules' schemas."""

    folder: Path
    attachment: Attachment
    modules: Registry

    @property
    def url(self) -> str:
        """The app's address, with its password."""
        return self.attachment.url()

    @contextmanager
    def project(self) -> Generator[Project]:
        """Open the project, to be used with `wait`."""
        modules = tuple(self.modules.by_name)
        settings = settings_for(self.folder, self.url, CONNECTIONS_MAX, modules)
        project = open_project(settings=settings)
        try:
            yield project
        finally:
            wait(project.close())

    def kill_server(self) -> int | None:
        """Kill the server with SIGKILL, as a crash would; return its pid."""
        pid = embedded.status(self.folder).pid
        if pid is not None:
            processes.terminate(pid, ((signal.SIGKILL, 10.0),))
        return pid

    def start_server(self) -> None:
        """Start the killed server again: it recovers what was committed."""
        self.attachment.ensure_running()

    def people(self, grant: int) -> dict[UUID, str]:
        """Load the sample users, grant credits to each, and return their names."""
        with self.project() as project:
            return load_people(project, grant)

    def copy_for_the_naive(self) -> None:
        """Make the naive copy of the tables, with the same credits."""
        app = str(conninfo_to_dict(self.url)["user"])
        with connect(self.attachment.url("owner"), autocommit=True, purpose="demo") as owner:
            owner.execute(naive.TABLES.format(app=app).encode())


def load_people(project: Project, grant: int) -> dict[UUID, str]:
    """Load the sample users, grant credits to each, and return their names."""
    wait(_load_users(project))
    found = wait(project.db.all(select(User.id, User.name).order_by(User.id)))
    for user_id, _ in found:
        wait(credits.grant(project.db, user_id, grant, key="demo"))
    return {user_id: name or "" for user_id, name in found}


async def _load_users(project: Project) -> None:
    """Load the users alone: the other modules' samples would be charges that nobody asked for."""
    samples = project.registry.by_name["auth"].samples
    assert samples is not None
    async with project.db.transaction() as tx:
        await samples(tx)


@contextmanager
def set_stage(*, durable: bool = True, modules: tuple[str, ...] = MODULES) -> Generator[Stage]:
    """Start a throwaway server with every schema applied; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bedplate-demo-"))
    try:
        attachment = embedded.attach(folder, database=DATABASE, durable=durable)
        try:
            loaded = registry.load(modules, folder)
            migrate.apply_unproven(
                loaded, owner_url=attachment.url("owner"), app_url=attachment.url("app")
            )
            yield Stage(folder, attachment, loaded)
        finally:
            attachment.detach()
    finally:
        embedded.purge(folder)
        shutil.rmtree(folder, ignore_errors=True)
