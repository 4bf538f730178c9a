"""Databases as Django, Rails, Prisma and a hand-written product leave them, watched from outside.

A watch of the administrator's own tells of every DDL command in the database, and whose object it
was done to.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import UUID

from psycopg import sql
from sqlalchemy import make_url

from bedplate import Binding, Settings, UserId
from bedplate.catalog import Connection, canonical, connect, contents, read
from bedplate.kernel import registry, roles
from bedplate.kernel.registry import Registry
from bedplate.operations import checks, migrate
from bedplate.operations.migrate import Receipt, Step
from bedplate.testing import Server

_numbers = itertools.count(1)
DDL = Path(__file__).parent / "host_layouts_ddl"
CUIDS = ("clh3am1f30000udocbhqg4151", "clh3am1f30001udoc0v9t2x7d", "clh3am1f30002udoc5q8wz3ka")
EMAILS = ("ada@example.com", "grace@example.com", "tony@example.com")


@dataclass(frozen=True)
class Layout:
    """What a tool made: its file, where its tables lie, its users, and what else is adopted."""

    name: str
    schema: str
    users: Binding
    keys: tuple[UserId, UserId, UserId]
    modules: tuple[str, ...] = ("auth", "credits")
    others: Mapping[str, Binding] = field(default_factory=dict[str, Binding])

    @property
    def bind(self) -> dict[str, Binding]:
        return {"users": self.users, **self.others}

    @property
    def our_schemas(self) -> set[str]:
        return {"bedplate", *self.modules}

    @property
    def ddl(self) -> str:
        return (DDL / f"{self.name}.sql").read_text("utf-8")


LAYOUTS = (
    Layout(
        "django",
        "public",
        Binding(
            "public.auth_user",
            key_type="bigint",
            columns={"email": "email", "name": "username", "is_active": "is_active"},
        ),
        (1, 2, 3),
    ),
    Layout(
        "rails",
        "public",
        Binding("public.users", key_type="bigint", columns={"email": "email", "name": "name"}),
        (1, 2, 3),
    ),
    Layout(
        "prisma",
        "public",
        Binding("public.User", key_type="text", columns={"email": "email", "name": "name"}),
        CUIDS,
    ),
    Layout(
        "own_schema",
        "crm",
        Binding(
            "crm.contacts",
            key="contact_id",
            key_type="uuid",
            columns={"email": "e-mail", "name": "name"},
        ),
        (
            UUID("00000000-0000-4000-8000-000000000001"),
            UUID("00000000-0000-4000-8000-000000000002"),
            UUID("00000000-0000-4000-8000-000000000003"),
        ),
    ),
    Layout(
        "mining",
        "public",
        Binding("public.users", key_type="text", columns={"email": "email", "name": "name"}),
        CUIDS,
        ("auth", "credits", "mining"),
        {
            "miners": Binding(
                "public.miners",
                key_type="text",
                columns={"user_id": "userId", "name": "name", "status": "status"},
            ),
            "cost_payments": Binding(
                "public.cost_payments",
                key_type="bigint",
                columns={"user_id": "userId", "amount": "amount", "paid_at": "paidAt"},
            ),
        },
    ),
)

# It tells by NOTIFY: a table of its own would be one more that a migration writes to.
WATCH = """
CREATE SCHEMA watch;
CREATE FUNCTION watch.tell(kind text, object text, owner text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('ddl', json_build_array(kind, object, owner)::text)
$$;
CREATE FUNCTION watch.see() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF tg_event = 'sql_drop' THEN
        PERFORM watch.tell(object_type, object_identity, '')
        FROM pg_event_trigger_dropped_objects();
    ELSIF tg_event = 'table_rewrite' THEN
        PERFORM watch.tell('rewrite', c.oid::regclass::text, c.relowner::regrole::text)
        FROM pg_class c WHERE c.oid = pg_event_trigger_table_rewrite_oid();
    ELSE
        PERFORM watch.tell(d.object_type, d.object_identity, c.relowner::regrole::text)
        FROM pg_event_trigger_ddl_commands() d
        LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid;
    END IF;
END $$;
CREATE EVENT TRIGGER watch_ends ON ddl_command_end EXECUTE FUNCTION watch.see();
CREATE EVENT TRIGGER watch_drops ON sql_drop EXECUTE FUNCTION watch.see();
CREATE EVENT TRIGGER watch_rewrites ON table_rewrite EXECUTE FUNCTION watch.see();
LISTEN ddl;
"""
NOTICE_S = 30.0
ASKED = "asked"
# Those of foreign keys are internal: PostgreSQL names them so, and they go with the keys.
OF_FOREIGN_KEYS = '"RI_ConstraintTrigger'
# Everything PostgreSQL knows of the host's tables, byte for byte, but for its own statistics and
# the triggers by which foreign keys work; oids and file numbers included, so that a table that was
# rewritten, or dropped and made again alike, is told.
RAW = """
WITH host AS (SELECT c.* FROM pg_class c WHERE c.relnamespace = to_regnamespace(%(schema)s))
SELECT 'relation' AS kind, to_jsonb(h) - '{relpages,reltuples,relallvisible,relallfrozen,
       relhastriggers,relfrozenxid,relminmxid}'::text[] AS what FROM host h
UNION ALL SELECT 'column', to_jsonb(a) FROM pg_attribute a JOIN host h ON h.oid = a.attrelid
UNION ALL SELECT 'default', to_jsonb(d) FROM pg_attrdef d JOIN host h ON h.oid = d.adrelid
UNION ALL SELECT 'constraint', to_jsonb(k) FROM pg_constraint k JOIN host h ON h.oid = k.conrelid
UNION ALL SELECT 'index', to_jsonb(i) FROM pg_index i JOIN host h ON h.oid = i.indrelid
UNION ALL SELECT 'trigger', to_jsonb(t) FROM pg_trigger t JOIN host h ON h.oid = t.tgrelid
          WHERE NOT t.tgisinternal
UNION ALL SELECT 'policy', to_jsonb(p) FROM pg_policy p JOIN host h ON h.oid = p.polrelid
UNION ALL SELECT 'rule', to_jsonb(r) FROM pg_rewrite r JOIN host h ON h.oid = r.ev_class
UNION ALL SELECT 'comment', to_jsonb(d) FROM pg_description d JOIN host h ON h.oid = d.objoid
UNION ALL SELECT 'type', to_jsonb(t) FROM pg_type t
          WHERE t.typnamespace = to_regnamespace(%(schema)s)
UNION ALL SELECT 'label', to_jsonb(e) FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
          WHERE t.typnamespace = to_regnamespace(%(schema)s)
UNION ALL SELECT 'function', to_jsonb(f) FROM pg_proc f
          WHERE f.pronamespace = to_regnamespace(%(schema)s)
UNION ALL SELECT 'schema', to_jsonb(n) FROM pg_namespace n WHERE n.oid = to_regnamespace(%(schema)s)
UNION ALL SELECT 'sequence', to_jsonb(s) FROM pg_sequences s WHERE s.schemaname = %(schema)s::text
"""
UNDONE = """
SELECT number, document FROM bedplate.receipts
WHERE document ->> 'direction' = 'down' ORDER BY number
"""
INTERNAL_TRIGGERS = """
SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgisinternal AND c.relnamespace = to_regnamespace(%s)
"""


class Command(NamedTuple):
    """One object that a DDL command was about; the owner's name is known for relations.

    GRANT and REVOKE do not tell theirs: what they did stands in the state of the host's tables.
    """

    kind: str
    object: str | None
    owner: str | None


@dataclass(frozen=True)
class Hosted:
    """A host's database, a project's settings beside it, and who is who."""

    layout: Layout
    settings: Settings
    admin_url: str
    host_role: str
    watch: Connection

    def state(self) -> frozenset[str]:
        """All of the host's schema: as we read it, as PostgreSQL stores it, and its rows."""
        with connect(self.admin_url, autocommit=True, purpose="journey") as admin:
            schema = self.layout.schema
            raw = admin.execute(RAW.encode(), {"schema": schema}).fetchall()
            rows = contents(admin, [schema])
            return frozenset(
                [
                    canonical(read(admin, [schema])),
                    *(f"{kind} {sorted(what.items())}" for kind, what in raw),
                    *(f"rows of {name}: {each}" for name, each in rows.items()),
                ]
            )

    def foreign_key_triggers(self) -> int:
        """How many triggers the host's tables have by which foreign keys work, theirs and ours."""
        return int(self._ask(INTERNAL_TRIGGERS, [self.layout.schema])[0][0])

    def commands(self) -> list[Command]:
        """The DDL committed since this was asked last."""
        # Told in the order of the commits: after this one there is nothing to wait for.
        self._ask("SELECT pg_notify('ddl', %s)", [ASKED])
        commands: list[Command] = []
        for each in self.watch.notifies(timeout=NOTICE_S):
            if each.payload == ASKED:
                return commands
            commands.append(Command(*json.loads(each.payload)))
        raise AssertionError("the watch does not hear what it is told itself")

    def is_others(self, command: Command) -> bool:
        """Tell whether a command was about the host's or the administrator's, foreign keys apart.

        An object's identity is `schema.name`, and `name on schema.table` of what belongs to one.
        """
        if command.object is None:
            return False
        if command.kind == "trigger" and command.object.startswith(OF_FOREIGN_KEYS):
            return False
        place = command.object.rpartition(" on ")[2]
        is_theirs = place.partition(".")[0] in (self.layout.schema, "watch")
        return is_theirs or command.owner in (self.host_role, self.watch.info.user)

    def schemas(self) -> set[str]:
        query = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'"
        return {str(name) for (name,) in self._ask(query)}

    def enable(self) -> list[Receipt]:
        """Bring every line to its head, as the owner; return the receipts."""
        receipts: list[Receipt] = []
        migrate.apply_unproven(
            self.registry,
            owner_url=self.owner_url,
            app_url=self.settings.database_url,
            bindings=self.settings.bind,
            on_receipt=receipts.append,
        )
        return receipts

    def disable(self) -> list[dict[str, Any]]:
        """Take back every line, the youngest first and the kernel's last; return the receipts.

        That of the very last step is not among them: it goes with the table that it is in.
        """
        modules, steps = self.registry, list[Step]()
        receipts: dict[int, dict[str, Any]] = {}

        def read(step: Step) -> None:
            receipts.update(cast("list[tuple[int, dict[str, Any]]]", self._ask(UNDONE)))
            steps.append(step)

        for line in modules.lines[::-1]:
            migrate.undo(
                modules,
                line.name,
                to=None,
                owner_url=self.owner_url,
                bindings=self.settings.bind,
                on_step=read,
            )
        assert len(receipts) == len(steps) - 1
        return list(receipts.values())

    def broken(self) -> list[str]:
        """What `check` finds, warnings too: the laws that do not hold, of ours and every module."""
        assert self.settings.database_url is not None
        outcomes = checks.run(
            self.registry, self.settings.database_url, bindings=self.settings.bind
        )
        return [each.id for each in outcomes if not each.ok]

    @property
    def registry(self) -> Registry:
        return registry.load(self.settings.modules, bound=self.settings.bind)

    @property
    def owner_url(self) -> str:
        assert self.settings.database_owner_url is not None
        return self.settings.database_owner_url

    def _ask(self, query: str, parameters: object = None) -> list[tuple[object, ...]]:
        with connect(self.admin_url, autocommit=True, purpose="journey") as admin:
            return admin.execute(query.encode(), parameters).fetchall()  # type: ignore[arg-type]


@contextmanager
def hosted(server: Server, settings: Settings, layout: Layout) -> Iterator[Hosted]:
    """Make the host's database, owned by a role of the host's, with our roles as mere guests."""
    name = f"beside_{os.getpid()}_{next(_numbers)}"
    host_role = f"{name}_host"
    ours = roles.names(name)
    with connect(server.admin_url, autocommit=True, purpose="journey") as admin:
        try:
            roles.ensure(server.admin_url, name, server.passwords)
            _as(admin, "CREATE ROLE {host}", host=host_role)
            url = make_url(server.admin_url).set(database=name)
            urls = {
                role: url.set(username=f"{name}_{role}", password=server.passwords[role])
                for role in ("owner", "app")
            }
            admin_url = url.render_as_string(hide_password=False)
            made = replace(
                settings,
                database_url=urls["app"].render_as_string(hide_password=False),
                database_owner_url=urls["owner"].render_as_string(hide_password=False),
                modules=layout.modules,
                bind=layout.bind,
                transaction_pooler=False,
            )
            with connect(admin_url, autocommit=True, purpose="journey") as inside:
                _move_in(inside, layout, host_role)
                _invite(inside, layout, ours)
                inside.execute(WATCH.encode())
                yield Hosted(layout, made, admin_url, host_role, inside)
        finally:
            _as(admin, "DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=name)
            for role in (ours.owner, ours.app, ours.guarded, ours.reader, host_role):
                _as(admin, "DROP ROLE IF EXISTS {role}", role=role)


def _move_in(inside: Connection, layout: Layout, host_role: str) -> None:
    """Make everything as the host: its role owns what its tool makes."""
    if layout.schema == "public":
        _as(inside, "ALTER SCHEMA public OWNER TO {host}", host=host_role)
    database = inside.info.dbname
    _as(inside, "GRANT CREATE ON DATABASE {db} TO {host}", db=database, host=host_role)
    _as(inside, "SET ROLE {host}", host=host_role)
    inside.execute(layout.ddl.encode())
    inside.execute("RESET ROLE")


def _invite(inside: Connection, layout: Layout, ours: roles.Roles) -> None:
    """Grant what docs/howto/adopt-a-users-table.md asks for, and nothing more."""
    names = {"schema": layout.schema, "owner": ours.owner, "app": ours.app}
    _as(inside, "GRANT USAGE ON SCHEMA {schema} TO {owner}, {app}", **names)
    for binding in layout.bind.values():
        names["table"] = binding.name
        _as(inside, "GRANT SELECT, REFERENCES ON {schema}.{table} TO {owner}", **names)
        _as(inside, "GRANT SELECT ON {schema}.{table} TO {app}", **names)


def _as(connection: Connection, statement: str, **names: str) -> None:
    quoted = {key: sql.Identifier(value) for key, value in names.items()}
    connection.execute(sql.SQL(statement).format(**quoted))  # type: ignore[arg-type]
