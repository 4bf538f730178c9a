"""A host application's users table, in three shapes, and a project that adopts it.

The table belongs to a role of the host's. Our owner may refer to it and both our roles may read it,
and nothing more, as on a host that trusts nobody.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

from psycopg import sql
from sqlalchemy import make_url

from bedplate import Binding, Settings, UserId
from bedplate.catalog import Connection, connect
from bedplate.kernel import registry, roles
from bedplate.operations import migrate
from bedplate.testing import Server

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Host:
    """A host's table: its name, its binding, its DDL, and the keys of its three users."""

    name: str
    binding: Binding
    ddl: str
    keys: tuple[UserId, UserId, UserId]
    new_key: UserId
    unbound: tuple[str, ...] = field(default=("password_hash", "clerk_id", "role"))


HOSTS = (
    Host(
        "text",
        Binding(
            "public.User",
            key="_id",
            key_type="text",
            columns={"email": "emailAddress", "name": "fullName"},
        ),
        """
        CREATE TABLE public."User" (
            "_id" text PRIMARY KEY,
            "emailAddress" text NOT NULL UNIQUE,
            "fullName" text,
            "deletedAt" timestamptz,
            "createdAt" timestamptz NOT NULL DEFAULT transaction_timestamp()
        );
        INSERT INTO public."User" ("_id", "emailAddress", "fullName", "deletedAt") VALUES
            ('u1', 'ada@example.com', 'Ada', NULL),
            ('u2', 'Grace@example.com', 'Grace', transaction_timestamp()),
            ('u3', 'tony@example.com', NULL, NULL);
        """,
        ("u1", "u2", "u3"),
        "u4",
    ),
    Host(
        "bigint",
        Binding(
            "accounts.people",
            key="id",
            key_type="bigint",
            columns={"email": "login", "name": "order", "is_active": "active"},
        ),
        """
        CREATE SCHEMA accounts;
        CREATE TABLE accounts.people (
            id bigint PRIMARY KEY,
            login varchar(80) NOT NULL UNIQUE,
            "order" varchar(80),
            active boolean NOT NULL DEFAULT true
        );
        INSERT INTO accounts.people (id, login, "order") VALUES
            (1, 'ada@example.com', 'Ada'), (2, 'Grace@example.com', 'Grace'),
            (9007199254740993, 'tony@example.com', NULL);
        """,
        (1, 2, 9007199254740993),
        4,
    ),
    Host(
        "uuid",
        Binding(
            "crm.contacts",
            key="contact_id",
            key_type="uuid",
            columns={"email": "e-mail", "name": "name"},
        ),
        """
        CREATE SCHEMA crm;
        CREATE TABLE crm.contacts (
            contact_id uuid PRIMARY KEY, "e-mail" text NOT NULL UNIQUE, name text
        );
        INSERT INTO crm.contacts VALUES
            ('00000000-0000-0000-0000-000000000001', 'ada@example.com', 'Ada'),
            ('00000000-0000-0000-0000-000000000002', 'Grace@example.com', 'Grace'),
            ('00000000-0000-0000-0000-000000000003', 'tony@example.com', NULL);
        """,
        (UUID(int=1), UUID(int=2), UUID(int=3)),
        UUID(int=4),
    ),
)


@dataclass(frozen=True)
class Adopted:
    """A database in which the host's table is adopted, and a project's settings for it."""

    host: Host
    settings: Settings
    admin_url: str
    before: list[tuple[object, ...]]

    @property
    def writable(self) -> Settings:
        """The settings of a project that may also write to the host's table."""
        binding = replace(self.settings.bind["users"], writable=True)
        return replace(self.settings, bind={"users": binding})


@contextmanager
def adopted(
    server: Server, settings: Settings, host: Host, *, granted: str = "SELECT, REFERENCES"
) -> Iterator[Adopted]:
    """Make the host's database, then do to it what `bedplate migrate apply` does."""
    with connect(server.admin_url, autocommit=True, purpose="adoption") as admin:
        name = f"adoption_{admin.info.backend_pid}_{next(_numbers)}"
        owner_of_table = f"{name}_host"
        url = make_url(server.admin_url).set(database=name)
        admin_url = url.render_as_string(hide_password=False)
        try:
            roles.ensure(server.admin_url, name, server.passwords)
            admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner_of_table)))
            urls = {
                role: url.set(username=f"{name}_{role}", password=server.passwords[role])
                for role in ("owner", "app")
            }
            with connect(admin_url, autocommit=True, purpose="adoption") as inside:
                _make_table(inside, host, owner_of_table, roles.names(name), granted)
                before = catalog_of(inside, host)
            made = replace(
                settings,
                database_url=urls["app"].render_as_string(hide_password=False),
                database_owner_url=urls["owner"].render_as_string(hide_password=False),
                bind={"users": host.binding},
                transaction_pooler=False,
            )
            apply(made)
            yield Adopted(host, made, admin_url, before)
        finally:
            _drop(admin, name, owner_of_table)


def apply(settings: Settings) -> None:
    """Bring the lines to their heads, as the owner."""
    assert settings.database_owner_url is not None
    migrate.apply_unproven(
        registry.load(settings.modules),
        owner_url=settings.database_owner_url,
        app_url=settings.database_url,
        bindings=settings.bind,
    )


def catalog_of(connection: Connection, host: Host) -> list[tuple[object, ...]]:
    """Everything PostgreSQL knows of the host's table, but for the triggers of foreign keys."""
    query = """
        SELECT 'table', to_jsonb(c) - '{relpages,reltuples,relallvisible,relallfrozen,
               relhastriggers,relfrozenxid,relminmxid}'::text[] FROM pg_class c WHERE c.oid = %(t)s
        UNION ALL SELECT 'column', to_jsonb(a) FROM pg_attribute a WHERE attrelid = %(t)s
        UNION ALL SELECT 'default', to_jsonb(d) FROM pg_attrdef d WHERE adrelid = %(t)s
        UNION ALL SELECT 'rule', to_jsonb(r) FROM pg_constraint r WHERE conrelid = %(t)s
        UNION ALL SELECT 'index', to_jsonb(i) FROM pg_index i WHERE indrelid = %(t)s
        UNION ALL SELECT 'trigger', to_jsonb(g) FROM pg_trigger g
                  WHERE tgrelid = %(t)s AND NOT tgisinternal
        UNION ALL SELECT 'policy', to_jsonb(p) FROM pg_policy p WHERE polrelid = %(t)s
        UNION ALL SELECT 'comment', to_jsonb(d) FROM pg_description d WHERE objoid = %(t)s
        ORDER BY 1, 2
    """
    quoted = ".".join(f'"{part}"' for part in host.binding.table.split("."))
    found = connection.execute("SELECT %s::regclass::oid", [quoted]).fetchone()
    assert found is not None
    return list(connection.execute(query, {"t": found[0]}).fetchall())


def _make_table(
    inside: Connection, host: Host, owner: str, ours: roles.Roles, granted: str
) -> None:
    schema, table = host.binding.schema, host.binding.name
    inside.execute(host.ddl.encode())
    if schema != "public":
        inside.execute(
            sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(*map(sql.Identifier, (schema, owner)))
        )
    statement = f"""
        ALTER TABLE {{table}} OWNER TO {{owner}};
        GRANT USAGE ON SCHEMA {{schema}} TO {{ours}}, {{app}};
        GRANT {granted} ON {{table}} TO {{ours}};
        GRANT SELECT ON {{table}} TO {{app}};
    """
    inside.execute(
        sql.SQL(statement).format(
            table=sql.Identifier(schema, table),
            schema=sql.Identifier(schema),
            owner=sql.Identifier(owner),
            ours=sql.Identifier(ours.owner),
            app=sql.Identifier(ours.app),
        )
    )


def _drop(admin: Connection, name: str, host_role: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    ours = roles.names(name)
    for role in (ours.owner, ours.app, ours.guarded, ours.reader, host_role):
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
