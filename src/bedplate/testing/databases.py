"""Databases for tests: one template with every line applied, and clones of it by the file.

A clone costs some 20 ms, whatever the lines cost; each test may therefore have one of its own.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from psycopg import sql
from sqlalchemy import make_url

from bedplate.catalog import Connection, connect
from bedplate.kernel import capture, leased, lines, registry, roles
from bedplate.kernel.audit import log_of
from bedplate.kernel.model import NAMING_CONVENTION
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import Settings
from bedplate.operations import migrate
from bedplate.testing import clock
from bedplate.testing.server import Server

TEMPLATE = "bedplate_template"
CLONE = "bedplate_clone"
TEMPLATES_MAX = 16
"""How many templates a server keeps; the oldest that nobody uses goes first."""

# One number for all of a server's templates: building is rare, and never twice at a time.
BUILDING = 0x62_65_64_70_6C_61_74_65
# What a Template holds, shared, while it is open: another run on the server keeps its hands off.
IN_USE = "pg_catalog.hashtextextended(%s, 0)"
PURPOSE = "tests"

HOST_SCHEMAS = """
SELECT DISTINCT n.nspname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v') AND pg_catalog.pg_get_userbyid(c.relowner) = current_user
"""
GRANT_HOST = """
GRANT USAGE ON SCHEMA {0} TO {1};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {0} TO {1}
"""


@dataclass(frozen=True, slots=True)
class Clone:
    """A database of a test's own: what it commits is gone after the test."""

    name: str
    settings: Settings

    @property
    def url(self) -> str:
        """The app's URL."""
        assert self.settings.database_url is not None
        return self.settings.database_url

    @property
    def owner_url(self) -> str:
        """The owner's URL, for what only lines may do."""
        assert self.settings.database_owner_url is not None
        return self.settings.database_owner_url


class Template:
    """A database with every line of some settings applied, and the clones made of it.

    One per process; close it. `host_sql` makes the tables that the settings bind, before any line
    runs. Raises what registry.load and migrate.apply_unproven raise.
    """

    def __init__(self, server: Server, settings: Settings, host_sql: str = "") -> None:
        modules = registry.load(settings.modules, settings.folder, settings.bind)
        self.name = f"{TEMPLATE}_{fingerprint(modules, settings, host_sql)}"
        self._server = server
        self._settings = settings
        self._numbers = itertools.count(1)
        self._admin = connect(server.admin_url, autocommit=True, purpose=PURPOSE)
        try:
            self._drop_orphans()
            with _building(self._admin):
                self._admin.execute(
                    f"SELECT pg_catalog.pg_advisory_lock_shared({IN_USE})", [self.name]
                )
                if not _is_complete(self._admin, self.name):
                    self._build(modules, host_sql)
        except BaseException:
            self._admin.close()
            raise

    def close(self) -> None:
        """Drop the clones that are left; the template stays for the next run."""
        with self._admin:
            for name in _databases(self._admin, f"{self._prefix}_%"):
                _drop(self._admin, name)

    def clone(self) -> Clone:
        """Make a new database like the template; `drop` it when done."""
        name = f"{self._prefix}_{next(self._numbers)}"
        own = roles.names(self.name)
        # FILE_COPY instead of the WAL: half the time where nothing waits for the disk.
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(self.name), sql.Identifier(own.owner)
            )
        )
        # A database's own privileges are all that its clones do not have.
        self._admin.execute(
            sql.SQL(
                "REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO {1}, {2}"
            ).format(*map(sql.Identifier, (name, own.app, own.reader)))
        )
        settings = replace(
            self._settings,
            database_url=self._url("app", name),
            database_owner_url=self._url("owner", name),
            transaction_pooler=False,
        )
        return Clone(name, settings)

    def drop(self, clone: Clone) -> None:
        """Drop a clone, whoever is still connected to it."""
        _drop(self._admin, clone.name)

    @property
    def _prefix(self) -> str:
        # A clone carries the number of the backend that made it, so that the clones of a run that
        # was killed can be told from those of a run that is going on.
        return f"{CLONE}_{self._admin.info.backend_pid}"

    def _url(self, role: str, database: str) -> str:
        url = make_url(self._server.admin_url).set(
            username=f"{self.name}_{role}",
            password=self._server.passwords[role],
            database=database,
        )
        return url.render_as_string(hide_password=False)

    def _build(self, modules: Registry, host_sql: str) -> None:
        admin, name = self._admin, self.name
        _drop(admin, name)  # what a build that was killed has left
        roles.ensure(self._server.admin_url, name, self._server.passwords)
        owner_url = self._url("owner", name)
        if host_sql:
            self._make_host(owner_url, host_sql)
        migrate.apply_unproven(
            modules,
            owner_url=owner_url,
            app_url=self._url("app", name),
            bindings=self._settings.bind,
        )
        with connect(owner_url, autocommit=True, purpose=PURPOSE) as owner:
            owner.execute(clock.SQL.encode())
        # What is marked as a template is complete.
        admin.execute(
            sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false").format(
                sql.Identifier(name)
            )
        )
        for old in _databases(admin, f"{TEMPLATE}_%")[:-TEMPLATES_MAX]:
            if not _is_in_use(admin, old):
                _drop_template(admin, old)

    def _make_host(self, owner_url: str, host_sql: str) -> None:
        """Make the host's tables, which the app may use as the host's own would be."""
        own = roles.names(self.name)
        admin_url = make_url(self._server.admin_url).set(database=self.name)
        with connect(
            admin_url.render_as_string(hide_password=False), autocommit=True, purpose=PURPOSE
        ) as admin:
            # On PostgreSQL 15 a role that inherits nothing does not even own its database's public.
            admin.execute(
                sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(own.owner))
            )
        with connect(owner_url, autocommit=True, purpose=PURPOSE) as owner:
            owner.execute(host_sql.encode())
            for (schema,) in owner.execute(HOST_SCHEMAS).fetchall():
                owner.execute(
                    sql.SQL(GRANT_HOST).format(sql.Identifier(schema), sql.Identifier(own.app))
                )

    def _drop_orphans(self) -> None:
        living = {
            str(row[0])
            for row in self._admin.execute(
                "SELECT pid FROM pg_catalog.pg_stat_activity WHERE application_name = %s"
                " AND pid <> pg_catalog.pg_backend_pid()",
                [f"bedplate {PURPOSE}"],
            )
        }
        for name in _databases(self._admin, f"{CLONE}_%"):
            if name.split("_")[2] not in living:
                _drop(self._admin, name)


def fingerprint(modules: Registry, settings: Settings, host_sql: str = "") -> str:
    """Return what tells one template from another: the lines' text, the bindings, the clock.

    Revisions leave a part to the kernel (grants, guards, audit logs, leases); its text counts too.
    """
    digest = hashlib.sha256()
    for asked in (lines, capture, leased):
        digest.update(inspect.getsource(asked).encode())
    for manifest in modules.ordered:
        digest.update(f"{manifest.name} {log_of(manifest) is not None}\n".encode())
    for line in modules.lines:
        digest.update(f"{line.name} {line.schema}\n".encode())
        for revision in line.revisions:
            digest.update((line.folder / f"{revision}.py").read_bytes())
    for name, binding in sorted(settings.bind.items()):
        digest.update(f"{name} {binding}\n".encode())
    digest.update(f"{host_sql}\n{clock.SQL}\n{NAMING_CONVENTION}".encode())
    return digest.hexdigest()[:12]


@contextmanager
def _building(admin: Connection) -> Generator[None]:
    admin.execute("SELECT pg_catalog.pg_advisory_lock(%s)", [BUILDING])
    try:
        yield
    finally:
        admin.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [BUILDING])


def _is_complete(admin: Connection, name: str) -> bool:
    query = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s AND datistemplate"
    return admin.execute(query, [name]).fetchone() is not None


def _is_in_use(admin: Connection, name: str) -> bool:
    # Whoever begins to use one waits for `_building`, so nobody comes between this and the drop.
    query = (
        f"SELECT CASE WHEN pg_catalog.pg_try_advisory_lock({IN_USE})"
        f" THEN NOT pg_catalog.pg_advisory_unlock({IN_USE}) ELSE true END"
    )
    return admin.execute(query, [name, name]).fetchone() == (True,)


def _databases(admin: Connection, pattern: str) -> list[str]:
    """Return the databases whose names match, oldest first."""
    found = admin.execute(
        "SELECT datname FROM pg_catalog.pg_database WHERE datname LIKE %s ORDER BY oid",
        [pattern.replace("_", r"\_")],
    )
    return [row[0] for row in found]


def _drop(admin: Connection, name: str) -> None:
    # FORCE: a connection that a failed test has left open must not keep the database alive.
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_template(admin: Connection, name: str) -> None:
    admin.execute(sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(name)))
    _drop(admin, name)
    own = roles.names(name)
    for role in (own.owner, own.app, own.guarded, own.reader):
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
