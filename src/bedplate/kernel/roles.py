"""The roles of one database, and what each may do before any line has run.

    <database>_owner     owns the database; runs lines
    <database>_app       runs the product: what lines grant, no DDL
    <database>_guarded   no login; the app enters it by SET ROLE, and row-level security applies
    <database>_reader    for people: read only by default

None is a superuser, makes roles or databases, or passes row-level security by.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

CONNECT_LIMIT_S = 10
SCRAM_ROUNDS = 4096
ATTRIBUTES = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of a database's roles."""

    owner: str
    app: str
    guarded: str
    reader: str


def names(database: str) -> Roles:
    """Return the names of a database's roles."""
    return Roles(*(f"{database}_{part}" for part in ("owner", "app", "guarded", "reader")))


def ensure(admin_url: str, database: str, passwords: Mapping[str, str]) -> bool:
    """Bring roles and database to their state; True when the database was created.

    `admin_url` is a superuser's, at any database of the server; `passwords` holds those of
    owner, app and reader. Safe to repeat: what is right already is left alone. Raises
    psycopg's errors; no statement holds a password, only its SCRAM verifier.
    """
    roles = names(database)
    with _connect(admin_url) as connection:
        for role in (roles.owner, roles.app, roles.reader):
            _ensure_login(connection, role, passwords[role.removeprefix(f"{database}_")])
        _ensure_role(connection, roles.guarded)
        _let_enter(connection, roles)
        created = _ensure_database(connection, database, roles)
    with _connect(make_conninfo(admin_url, dbname=database)) as connection:
        # PostgreSQL 14 and databases upgraded from it let everyone create here.
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    return created


def scram_verifier(password: str, salt: bytes | None = None, rounds: int = SCRAM_ROUNDS) -> str:
    """Return what PostgreSQL stores for a password, so that the password need never be sent."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *parts)


def scram_rounds(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Return how many rounds the server asks for; PostgreSQL 15 and older leave no choice."""
    query = "SELECT pg_catalog.current_setting('scram_iterations', true)::integer"
    (rounds,) = connection.execute(query).fetchone() or (None,)
    return rounds or SCRAM_ROUNDS


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT_LIMIT_S, application_name="bedplate roles"
    )


def _ensure_role(connection: psycopg.Connection[tuple[Any, ...]], role: str) -> str | None:
    """Create the role where it is missing; return its stored verifier."""
    query = "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = %s"
    row = connection.execute(query, [role]).fetchone()
    if row is None:
        statement = f"CREATE ROLE {{}} NOLOGIN NOINHERIT {ATTRIBUTES}"
        connection.execute(sql.SQL(statement).format(sql.Identifier(role)))
        return None
    verifier: str | None = row[0]
    return verifier


def _ensure_login(
    connection: psycopg.Connection[tuple[Any, ...]], role: str, password: str
) -> None:
    if _fits(password, _ensure_role(connection, role)):
        return
    name = sql.Identifier(role)
    verifier = sql.Literal(scram_verifier(password, rounds=scram_rounds(connection)))
    statement = sql.SQL(f"ALTER ROLE {{}} LOGIN {ATTRIBUTES} PASSWORD {{}}")
    connection.execute(statement.format(name, verifier))
    if role.endswith("_reader"):
        connection.execute(
            sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name)
        )


def _fits(password: str, verifier: str | None) -> bool:
    if verifier is None or not verifier.startswith("SCRAM-SHA-256$"):
        return False
    rounds, _, salt = verifier.split("$")[1].partition(":")
    return hmac.compare_digest(scram_verifier(password, b64decode(salt), int(rounds)), verifier)


def _let_enter(connection: psycopg.Connection[tuple[Any, ...]], roles: Roles) -> None:
    """Let the app enter the guarded role by SET ROLE, without its rights before that."""
    query = "SELECT pg_catalog.pg_has_role(%s::name, %s::name, 'MEMBER')"
    row = connection.execute(query, [roles.app, roles.guarded]).fetchone()
    if row is not None and row[0]:
        return
    # PostgreSQL 15 has no such options; there the app's NOINHERIT says the same.
    options = " WITH INHERIT FALSE, SET TRUE" if connection.info.server_version >= 160000 else ""
    connection.execute(
        sql.SQL(f"GRANT {{}} TO {{}}{options}").format(
            sql.Identifier(roles.guarded), sql.Identifier(roles.app)
        )
    )


def _ensure_database(
    connection: psycopg.Connection[tuple[Any, ...]], database: str, roles: Roles
) -> bool:
    query = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s"
    created = connection.execute(query, [database]).fetchone() is None
    name, owner = sql.Identifier(database), sql.Identifier(roles.owner)
    if created:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
    # PUBLIC may otherwise connect and make temporary tables, which is DDL.
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(
            name, sql.Identifier(roles.app), sql.Identifier(roles.reader)
        )
    )
    return created
