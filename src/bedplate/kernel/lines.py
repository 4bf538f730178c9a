"""Lines: a module's linear sequence of revisions, and what a revision may ask while it runs.

A revision is a plain Alembic file. What it cannot know (the project's users table, its roles) it
asks here; the runner of `operations/migrate` answers for as long as the revision runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql
from sqlalchemy.types import TypeEngine

from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import MigrationFailed, OutdatedLine, RegistryError, UsageError
from bedplate.kernel.model import mapper_of, table_name
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.types import KEY_TYPES

VERSION_TABLE = "schema_version"
"""The table, one row long, in which each module's schema keeps the revision it is at."""

SQUASHED = "squashed.json"
"""The file, beside a line's revisions, that says which revisions one of them replaced."""

DATA_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""What the app's role may do with a table: data only, no TRUNCATE and no DDL."""


@dataclass(frozen=True, slots=True)
class Line:
    """One module's revisions: the files of a folder, in the order of their names."""

    name: str
    schema: str
    folder: Path

    @property
    def revisions(self) -> tuple[str, ...]:
        """Every revision, oldest first; a revision's name is its file's (0001_users)."""
        return tuple(sorted(path.stem for path in self.folder.glob("[0-9]*.py")))

    @property
    def squashed(self) -> Mapping[str, str]:
        """Each revision that `bedplate migrate squash` took away, and the one it is part of now."""
        try:
            found: dict[str, str] = json.loads((self.folder / SQUASHED).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise MigrationFailed(
                f"{self.folder / SQUASHED} is not JSON: {error}.", "Restore the file."
            ) from None
        return found

    @property
    def head(self) -> str | None:
        """The newest revision, or None for a line without any."""
        return self.revisions[-1] if self.revisions else None

    @property
    def mark(self) -> str:
        """The comment that tells our schema from a host's of the same name."""
        return f"Bedplate module {self.name}"

    def pending(self, current: str | None) -> tuple[str, ...]:
        """Return the revisions after `current`; OutdatedLine when this code does not know it."""
        revisions = self.revisions
        if current is None:
            return revisions
        if current in self.squashed:
            raise OutdatedLine(
                f"Schema {self.schema} is at {current}, which was squashed into"
                f" {self.squashed[current]}.",
                f"Install the version of the code from before the squash, apply up to"
                f" {self.squashed[current]}, and come back; a database without rows can be reset.",
            )
        if current not in revisions:
            raise OutdatedLine(
                f"Schema {self.schema} is at {current}, which this code does not have.",
                "The database is ahead: install the version of the code that migrated it.",
            )
        return revisions[revisions.index(current) + 1 :]


KERNEL_LINE = Line("bedplate", "bedplate", Path(__file__).parent / "migrations")
"""The kernel's own line; it goes before every module's."""


def lines_of(manifests: Iterable[ModuleManifest]) -> tuple[Line, ...]:
    """Return the kernel's line and those of the modules, in the order in which they are applied."""
    return (KERNEL_LINE, *(Line(each.name, each.schema, each.line) for each in manifests))


def homes_of(manifests: Iterable[ModuleManifest]) -> dict[str, str]:
    """Return the key of every table that may be adopted: users to auth.users.id."""
    return {
        name: f"{table_name(model)}.{mapper_of(model).primary_key[0].name}"
        for manifest in manifests
        for name, model in manifest.adoptable.items()
    }


Place = tuple[str, str]
"""What an object is and its full name: ("index", "shop.items.ix_items_price")."""


@dataclass(frozen=True, slots=True)
class Drifted:
    """One object that a database had otherwise than its line makes it; None: not at all."""

    place: Place
    found: str | None
    made: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineContext:
    """What the project fixes and a revision may need.

    `definitions` reads those of the schema as it is now. `homes` maps the name of each table that
    may be adopted to the key of our own (users to auth.users.id). `app`, `reader` and `guarded`
    are None where no such role exists apart from the owner.
    """

    schema: str
    execute: Callable[[str], object]
    bindings: Mapping[str, Binding] = field(default_factory=dict[str, Binding])
    homes: Mapping[str, str] = field(default_factory=dict[str, str])
    app: str | None = None
    reader: str | None = None
    guarded: str | None = None
    definitions: Callable[[], Mapping[Place, str]] = dict


_current: ContextVar[LineContext] = ContextVar("bedplate_line")


@contextmanager
def running(context: LineContext) -> Generator[None]:
    """Answer the questions of the revision that runs inside this block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> LineContext:
    """Return the running revision's context; UsageError outside of one."""
    context = _current.get(None)
    if context is None:
        raise UsageError("No revision is running.", "Run revisions with `bedplate migrate apply`.")
    return context


def is_bound(name: str) -> bool:
    """Tell whether the project adopts a host's table under this name (users)."""
    return name in current().bindings


def drifted(*drift: Drifted) -> bool:
    """Tell whether a repair has to run: every object is as it was found when it was drafted.

    False where every one is as the line makes it. Raises MigrationFailed for anything in between:
    then the repair would not lead to what the line makes.
    """
    now = current().definitions()
    other = [each for each in drift if now.get(each.place) not in (each.found, each.made)]
    is_found = [each for each in drift if now.get(each.place) == each.found]
    if other or 0 < len(is_found) < len(drift):
        names = ", ".join(" ".join(each.place) for each in other or is_found)
        raise MigrationFailed(
            f"The repair was drafted for another drift; it differs in: {names}.",
            "Delete the repair's file if it was never applied, and draft it anew:"
            " `bedplate migrate diff --repair`.",
        )
    return bool(is_found)


def key_type(name: str) -> TypeEngine[Any]:
    """Return the type of a foreign key to the table: the adopted key's, or uuid."""
    binding = current().bindings.get(name)
    return KEY_TYPES[binding.key_type if binding else "uuid"]()


def reference(name: str) -> str:
    """Return the table's key as sqlalchemy.ForeignKey takes it: schema.table.column."""
    context = current()
    binding = context.bindings.get(name)
    if binding is not None:
        return f"{binding.table}.{binding.key}"
    if name not in context.homes:
        raise RegistryError(
            f"No enabled module has the table {name!r}, and none is bound under that name.",
            f"Enable the module that has it, or write [bind.{name}] in bedplate.toml.",
        )
    return context.homes[name]


def user_key_type() -> TypeEngine[Any]:
    """Return the type of a column that holds a user's key."""
    return key_type("users")


def users_reference() -> str:
    """Return the users table's key as sqlalchemy.ForeignKey takes it."""
    return reference("users")


def grant(*tables: str, privileges: tuple[str, ...] = DATA_PRIVILEGES) -> None:
    """Let the app's role use tables of the module's schema, and the reader's role read them.

    `privileges` are the app's: an append-only table takes ("SELECT", "INSERT"). Nothing is
    granted where the owner serves the product itself.
    """
    context = current()
    for table in tables:
        _grant(context, table, privileges, context.app)
        _grant(context, table, ("SELECT",), context.reader)


def _grant(context: LineContext, table: str, privileges: tuple[str, ...], role: str | None) -> None:
    if role is None:
        return
    context.execute(_granted(sql.Identifier(context.schema, table), privileges, role).as_string())


def _granted(place: sql.Identifier, privileges: tuple[str, ...], role: str) -> sql.Composed:
    unknown = [privilege for privilege in privileges if privilege not in DATA_PRIVILEGES]
    if unknown:
        raise UsageError(
            f"A line does not grant {', '.join(unknown)} on {place.as_string()}.",
            f"Grant {', '.join(DATA_PRIVILEGES)}, or fewer of them.",
        )
    return sql.SQL("GRANT {} ON {} TO {}").format(
        sql.SQL(", ").join(
            [sql.SQL(privilege) for privilege in DATA_PRIVILEGES if privilege in privileges]
        ),
        place,
        sql.Identifier(role),
    )


def with_places(text: str) -> str:
    """Fill in the places of tables that may be adopted: {users} is `schema.table (key)`.

    {users_table} and {users_id} are its parts, {users_key} (or {user_key}) the key's type,
    {users.email} a column of it and {users.email?} the same, or NULL where the host has none; so
    for every other such table of the enabled modules. Raises RegistryError for a column that is
    needed and not bound.
    """
    context = current()
    for name in context.homes.keys() | context.bindings.keys():
        table, _, key = reference(name).rpartition(".")
        quoted = ".".join(sql.Identifier(part).as_string() for part in table.split("."))
        column = sql.Identifier(key).as_string()
        binding = context.bindings.get(name)
        places = {
            "": f"{quoted} ({column})",
            "_table": quoted,
            "_id": column,
            "_key": binding.key_type if binding else "uuid",
        }
        for part, value in places.items():
            text = text.replace("{" + name + part + "}", value)
            if name == "users" and part == "_key":
                text = text.replace("{user_key}", value)
    return _COLUMN.sub(_column, text)


_COLUMN = re.compile(r"\{(\w+)\.(\w+)(\??)\}")


def _column(place: re.Match[str]) -> str:
    name, field_name, optional = place.groups()
    binding = current().bindings.get(name)
    column = field_name if binding is None else binding.column(field_name)
    if column is not None:
        return sql.Identifier(column).as_string()
    if optional:
        return "NULL::text"
    raise RegistryError(
        f"The adopted table {name} has no column bound to {field_name!r}.",
        f'Name it in bedplate.toml: [bind.{name}.columns] {field_name} = "…".',
    )


def execute(text: str) -> None:
    """Run one statement as it is written, with {role:app} and its like filled in.

    A drafted revision names the roles so: app, reader and guarded. Nothing happens where it names
    one that does not exist apart from the owner.
    """
    context = current()
    named = {"app": context.app, "reader": context.reader, "guarded": context.guarded}
    for role, name in named.items():
        mark = f"{{role:{role}}}"
        if mark in text and name is None:
            return
        text = text.replace(mark, sql.Identifier(name or "").as_string() if name else mark)
    context.execute(text)


def executable(*signatures: str) -> None:
    """Let the app's role, and nobody else, call functions of the module's schema.

    A signature names the argument types: `deduct(uuid, text)`. The function is the one way to do
    what its tables' privileges refuse, so it is taken from PUBLIC first.
    """
    context = current()
    schema = sql.Identifier(context.schema).as_string()
    for signature in signatures:
        context.execute(f"REVOKE ALL ON FUNCTION {schema}.{signature} FROM PUBLIC")
        if context.app is not None:
            role = sql.Identifier(context.app).as_string()
            context.execute(f"GRANT EXECUTE ON FUNCTION {schema}.{signature} TO {role}")


def append_only(*tables: str) -> None:
    """Refuse UPDATE, DELETE and TRUNCATE of tables of the module's schema, whoever asks."""
    context = current()
    for table in tables:
        statement = sql.SQL(
            "CREATE TRIGGER {} BEFORE UPDATE OR DELETE OR TRUNCATE ON {} "
            "FOR EACH STATEMENT EXECUTE FUNCTION bedplate.refuse_change()"
        ).format(sql.Identifier(f"tr_{table}_append_only"), sql.Identifier(context.schema, table))
        context.execute(statement.as_string())


def guard(table: str, column: str, *, privileges: tuple[str, ...] = ("SELECT", "UPDATE")) -> None:
    """Show the guarded role only the rows of `table` whose `column` is the acting user's key.

    `privileges` are the guarded role's; a ledger takes ("SELECT",). Row-level security is the
    second wall: the app and the reader see every row, and carry their owner predicates
    themselves. Nothing happens where one role serves for all.
    """
    context = current()
    if context.guarded is None:
        return
    place = sql.Identifier(context.schema, table)
    own = sql.SQL("{}::text = pg_catalog.current_setting('bedplate.actor', true)")
    policies = {
        "every_row_app": (context.app, sql.SQL("true")),
        "every_row_reader": (context.reader, sql.SQL("true")),
        "own_rows": (context.guarded, own.format(sql.Identifier(column))),
    }
    statements = [
        sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(place),
        _granted(place, privileges, context.guarded),
    ]
    for name, (role, condition) in policies.items():
        if role is not None:
            create = sql.SQL("CREATE POLICY {} ON {} TO {} USING ({}) WITH CHECK ({})")
            statements.append(
                create.format(
                    sql.Identifier(name), place, sql.Identifier(role), condition, condition
                )
            )
    for statement in statements:
        context.execute(statement.as_string())
