"""A server of the live one's major version, started for one rehearsal and deleted afterwards."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString
from urllib.parse import quote

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bedplate.catalog import Connection, connect
from bedplate.kernel import embedded
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.errors import EmbeddedError, RehearsalRefused
from bedplate.kernel.roles import scram_rounds, scram_verifier
from bedplate.operations.migrate.copies import (
    PRIVILEGES,
    PURPOSE,
    Copy,
    Databases,
    DataKind,
    GroundKind,
    database_of,
    fill,
)
from bedplate.operations.migrate.target import Target

# Every role may own something or be granted something, so all of them go along.
ROLES = """
SELECT rolname::text, rolinherit, rolcreaterole, rolcreatedb, rolbypassrls
FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname
"""
MEMBERS = """
SELECT granted.rolname::text, member.rolname::text
FROM pg_catalog.pg_auth_members m
JOIN pg_catalog.pg_roles granted ON granted.oid = m.roleid
JOIN pg_catalog.pg_roles member ON member.oid = m.member
WHERE member.rolname !~ '^pg_'
"""
FACTS = """
SELECT current_user::text, pg_catalog.pg_encoding_to_char(d.encoding),
       ARRAY(SELECT extname::text FROM pg_catalog.pg_extension)
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
AVAILABLE = "SELECT name::text FROM pg_catalog.pg_available_extensions"


@dataclass(frozen=True, slots=True)
class _Live:
    """What a private server must have like the live one."""

    major: int
    owner: str
    app: str | None
    encoding: str
    extensions: frozenset[str]
    roles: tuple[tuple[str, bool, bool, bool, bool], ...]
    members: tuple[tuple[str, str], ...]
    privileges: tuple[tuple[str, LiteralString], ...]


@contextmanager
def private_server(target: Target) -> Generator[PrivateServer]:
    """Start the server, with roles of the live one's names; stop and delete it in the end.

    Raises RehearsalRefused where this machine has no PostgreSQL of that major version, or lacks an
    extension that the database uses.
    """
    live = _survey(target)
    folder = Path(tempfile.mkdtemp(prefix="bedplate-rehearsal-"))
    try:
        attachment = _started(folder, live.major)
        try:
            with connect(
                attachment.url("admin", "postgres"), autocommit=True, purpose=PURPOSE
            ) as admin:
                _require_extensions(admin, live)
                password = secrets.token_urlsafe(24)
                _make_roles(admin, live, password)
                yield PrivateServer(target, live, attachment, admin, password)
        finally:
            attachment.detach()
            embedded.purge(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PrivateServer:
    """The server started for this rehearsal; a copy is a restored dump."""

    kind: GroundKind = "private server"

    def __init__(
        self,
        target: Target,
        live: _Live,
        attachment: Attachment,
        admin: Connection,
        password: str,
    ) -> None:
        self._target = target
        self._live = live
        self._attachment = attachment
        self._password = password
        self._databases = Databases(admin, live.owner, live.privileges)

    @contextmanager
    def empty(self) -> Generator[Copy]:
        """Make an empty database of the owner's, and drop it when the block ends."""
        utf8 = self._live.encoding == "UTF8"
        locale = sql.SQL("" if utf8 else "LOCALE_PROVIDER libc LOCALE 'C'")
        encoding = sql.Literal(self._live.encoding)
        options = sql.SQL("ENCODING {} {}").format(encoding, locale)
        with self._databases.made("template0", options) as name:
            yield self._copy(name, "empty")

    @contextmanager
    def copy(self) -> Generator[Copy]:
        """Copy the live database, and drop the copy when the block ends."""
        with self.empty() as copy:
            data = fill(self._target.owner_url, copy.admin_url, self._live.major)
            yield replace(copy, data=data)

    def _copy(self, name: str, data: DataKind) -> Copy:
        app = self._live.app
        return Copy(
            name=name,
            owner_url=self._url(self._live.owner, name),
            app_url=None if app is None else self._url(app, name),
            admin_url=self._attachment.url("admin", name),
            data=data,
        )

    def _url(self, role: str, database: str) -> str:
        parts = conninfo_to_dict(self._attachment.url("admin", database))
        where = f"{parts['host']}:{parts['port']}/{quote(database, safe='')}"
        return f"postgresql://{quote(role, safe='')}:{self._password}@{where}"


def _survey(target: Target) -> _Live:
    app = None
    if target.app_url is not None and target.app_url != target.owner_url:
        with connect(target.app_url, autocommit=True, purpose=PURPOSE) as connection:
            row = connection.execute("SELECT current_user::text").fetchone()
            app = row[0] if row else None
    with connect(target.owner_url, autocommit=True, purpose=PURPOSE) as connection:
        facts = connection.execute(FACTS).fetchone()
        assert facts is not None, "a connection is to a database"
        owner, encoding, extensions = facts
        return _Live(
            major=connection.info.server_version // 10_000,
            owner=owner,
            app=app,
            encoding=encoding,
            extensions=frozenset(extensions),
            roles=tuple(connection.execute(ROLES).fetchall()),
            members=tuple(connection.execute(MEMBERS).fetchall()),
            privileges=tuple(
                connection.execute(PRIVILEGES, [database_of(target.owner_url)]).fetchall()
            ),
        )


def _started(folder: Path, major: int) -> Attachment:
    try:
        return embedded.attach(folder, major=major, durable=False)
    except EmbeddedError as error:
        embedded.purge(folder)
        raise RehearsalRefused(
            f"No private PostgreSQL {major} can be started here to rehearse on. {error}",
            f"Rehearse where PostgreSQL {major} is installed; or do without a proof:"
            " `bedplate migrate apply --without-proof`.",
        ) from None


def _require_extensions(admin: Connection, live: _Live) -> None:
    available = {name for (name,) in admin.execute(AVAILABLE)}
    missing = sorted(live.extensions - available)
    if missing:
        raise RehearsalRefused(
            f"The private PostgreSQL {live.major} lacks extensions that the database uses:"
            f" {', '.join(missing)}.",
            f"Install them for the PostgreSQL {live.major} of this machine, or rehearse on a"
            " machine that has them.",
        )


def _make_roles(admin: Connection, live: _Live, password: str) -> None:
    """Make every role by its name, none of them a superuser; only ours can log in."""
    there = {name for (name, *_) in admin.execute(ROLES)}
    for name, *attributes in live.roles:
        if name not in there:
            create = sql.SQL("CREATE ROLE {} NOSUPERUSER {}")
            admin.execute(create.format(sql.Identifier(name), _spelled(attributes)))
    rounds = scram_rounds(admin)
    for who in filter(None, {live.owner, live.app}):
        login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
        verifier = sql.Literal(scram_verifier(password, rounds=rounds))
        admin.execute(login.format(sql.Identifier(who), verifier))
    for granted, member in live.members:
        grant = sql.SQL("GRANT {} TO {}")
        admin.execute(grant.format(sql.Identifier(granted), sql.Identifier(member)))


def _spelled(attributes: Iterable[bool]) -> sql.Composed:
    words = (
        (sql.SQL("INHERIT"), sql.SQL("NOINHERIT")),
        (sql.SQL("CREATEROLE"), sql.SQL("NOCREATEROLE")),
        (sql.SQL("CREATEDB"), sql.SQL("NOCREATEDB")),
        (sql.SQL("BYPASSRLS"), sql.SQL("NOBYPASSRLS")),
    )
    chosen = [yes if has else no for (yes, no), has in zip(words, attributes, strict=True)]
    return sql.SQL(" ").join(chosen)
