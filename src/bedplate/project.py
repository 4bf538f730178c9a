"""The door: one database and the modules enabled on it. App, CLI and Studio open the same thing."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import embedded, registry, roles
from bedplate.kernel.database import Database, FromModules, Limits
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.events import Subscriptions
from bedplate.kernel.pool import AsyncLeaf, Leaf, PoolOptions
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import Settings
from bedplate.kernel.settings import load as load_settings
from bedplate.kernel.versions import versions


class MakeLeaf(Protocol):
    """Makes the leaf that waits for a pool's connections."""

    def __call__(self, options: PoolOptions) -> Leaf:
        """Return a leaf that is not open yet."""
        ...


class Project:
    """One database and its enabled modules; open it with `async with await Project.open()`.

    It reads the same `bedplate.toml`, `.env` and environment as the command line does. Without a
    URL it attaches to the folder's embedded server, starting it when need be.
    """

    def __init__(
        self,
        settings: Settings,
        modules: Registry,
        db: Database,
        *,
        attachment: Attachment | None = None,
    ) -> None:
        self.settings = settings
        self.registry = modules
        self.db = db
        self.attachment = attachment

    @classmethod
    async def open(
        cls,
        folder: Path | str | None = None,
        *,
        settings: Settings | None = None,
        leaf: MakeLeaf = AsyncLeaf,
        check_versions: bool = True,
    ) -> Project:
        """Open the project of a folder (by default the nearest upward with a bedplate.toml).

        Raises SettingsError, a RegistryError (OutdatedLine names the command to run), an
        EmbeddedError, DatabaseUnreachable or AuthenticationFailed. Starting the embedded server
        for the first time takes a few seconds, during which the event loop waits.
        """
        if settings is None:
            settings = load_settings(Path(folder) if folder is not None else None)
        modules = registry.load(settings.modules, settings.folder, settings.bind)
        attachment = None
        if settings.database_url is None:
            attachment = embedded.attach(settings.folder, major=settings.postgres_major)
        try:
            url = settings.database_url or _url(attachment)
            db = database(settings, modules, url, leaf)
            project = cls(settings, modules, db, attachment=attachment)
            try:
                await db.open()
                if check_versions:
                    await project.require_current()
            except BaseException:
                await db.close()
                raise
        except BaseException:
            if attachment is not None:
                attachment.detach()
            raise
        return project

    async def require_current(self) -> None:
        """Refuse a database whose lines are not the code's; raises OutdatedLine."""
        self.registry.require_current(
            await versions(self.db, [line.schema for line in self.registry.lines])
        )

    async def close(self) -> None:
        """Close every connection, and stop the embedded server if nobody else uses it."""
        await self.db.close()
        if self.attachment is not None:
            self.attachment.detach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def database(
    settings: Settings, modules: Registry, url: str, leaf: MakeLeaf = AsyncLeaf
) -> Database:
    """Return a closed Database for a project's settings and modules at an address."""
    return Database(
        leaf(PoolOptions.of(settings, url)),
        BoundDialect(settings.bind, modules.adoptable),
        url=url,
        limits=Limits(slow_statement_ms=settings.slow_statement_ms, rows_max=settings.rows_max),
        modules=FromModules(
            subscriptions=Subscriptions(modules.subscriptions()),
            settings=modules.settings(settings.sections),
        ),
        guarded_role=_guarded_role(url),
    )


def _guarded_role(url: str) -> str | None:
    """Return the guarded role beside the app role; None where one role serves for all."""
    user = str(conninfo_to_dict(url).get("user", ""))
    prefix = user.removesuffix("_app")
    return roles.names(prefix).guarded if prefix != user else None


def _url(attachment: Attachment | None) -> str:
    assert attachment is not None
    return attachment.url()
