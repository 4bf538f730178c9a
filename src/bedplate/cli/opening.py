"""Open what a command works on: settings, modules, and a database to talk to."""

from __future__ import annotations

import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import typer
from psycopg.conninfo import conninfo_to_dict

from bedplate.cli.options import Role, invocation
from bedplate.cli.output import Output
from bedplate.kernel import embedded, registry
from bedplate.kernel.database import Database
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.errors import BedplateError, RegistryError, SettingsError
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import Settings, load
from bedplate.operations.migrate import Target
from bedplate.project import database

CONNECTIONS_MAX = 2
"""The command line runs one statement at a time, and health probes beside it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A project's settings, modules and database; `attachment` is None behind DATABASE_URL."""

    settings: Settings
    registry: Registry
    attachment: Attachment | None

    def url(self, role: Role) -> str:
        """Return an address with its password; raises SettingsError for one that is not known."""
        if self.attachment is not None:
            return self.attachment.url(role.value)
        settings = self.settings
        given = {
            Role.APP: settings.database_url,
            Role.OWNER: settings.database_owner_url or settings.database_url,
        }.get(role)
        if given is None:
            raise SettingsError(
                f"No URL is set for the role {role}.",
                "Behind DATABASE_URL only app and owner are known.",
            )
        return given

    @property
    def app_url(self) -> str:
        """The address of the role that runs the product."""
        return self.url(Role.APP)

    @property
    def owner_url(self) -> str:
        """The address of the role that runs lines."""
        return self.url(Role.OWNER)

    @property
    def target(self) -> Target:
        """The database and modules, as the verbs of migrating take them."""
        return Target(
            registry=self.registry,
            owner_url=self.owner_url,
            folder=self.settings.folder,
            app_url=self.app_url,
            admin_url=None if self.attachment is None else self.url(Role.ADMIN),
            bindings=self.settings.bind,
            backups=self.settings.backups,
        )

    def database(self, connections: int = CONNECTIONS_MAX) -> Database:
        """Return a database, not open yet; by default for a command's few statements."""
        settings = replace(self.settings, pool_size_max=connections)
        return database(settings, self.registry, self.app_url)


def settings_of(context: typer.Context) -> Settings:
    """Read the project's settings, of the folder that was named or the nearest upward."""
    return load(invocation(context).folder)


def modules_of(settings: Settings, names: tuple[str, ...] | None = None) -> Registry:
    """Import the enabled modules (or others); raises a RegistryError that names the bad line."""
    try:
        wanted = settings.modules if names is None else names
        return registry.load(wanted, settings.folder, settings.bind)
    except BedplateError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise RegistryError(
            f"A module cannot be imported: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno}).",
            "Correct it; `bedplate --traceback ...` shows the way there.",
        ) from error


@contextmanager
def opened(settings: Settings, out: Output) -> Generator[Opened]:
    """Give the project's database, from the embedded server where no URL is set.

    A server that was started for this is stopped at the end, unless others came to use it.
    """
    modules = modules_of(settings)
    if settings.database_url is not None:
        yield Opened(settings, modules, None)
        return
    with out.working(f"Opening PostgreSQL {settings.postgres_major} in {settings.folder}"):
        attachment = embedded.attach(settings.folder, major=settings.postgres_major)
    try:
        yield Opened(settings, modules, attachment)
    finally:
        attachment.detach()


def address(url: str) -> dict[str, str]:
    """Return the parts of a URL that are no secret."""
    parts = conninfo_to_dict(url)
    names = {"user": "user", "host": "host", "port": "port", "dbname": "database"}
    return {ours: str(parts[theirs]) for theirs, ours in names.items() if parts.get(theirs)}


def shown(url: str) -> str:
    """Return a URL as it may be shown: without its password and parameters."""
    parts = address(url)
    user = f"{parts['user']}@" if "user" in parts else ""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('database', '')}"
