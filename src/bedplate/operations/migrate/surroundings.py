"""Who runs the steps, who is granted what: asked of the server, not guessed from URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from bedplate.catalog import Connection, connect
from bedplate.kernel import roles
from bedplate.kernel.bindings import Binding
from bedplate.kernel.lines import LineContext, homes_of
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate.alembic_bridge import MigrationSession
from bedplate.operations.migrate.books import Decision
from bedplate.operations.migrate.places import definitions_of


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every step of one run shares; roles are None where the owner serves as them too.

    Use it `with` where steps are run: at the end its session is closed. `proof` is the SHA-256 of
    the proof that allows the run, which each receipt repeats. `decisions` are an operator's that
    wait for the step which makes the books, to be written with it.
    """

    session: MigrationSession
    owner: str
    app: str | None = None
    reader: str | None = None
    guarded: str | None = None
    bindings: Mapping[str, Binding] = field(default_factory=dict[str, Binding])
    homes: Mapping[str, str] = field(default_factory=dict[str, str])
    proof: str | None = None
    decisions: Sequence[Decision] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    @property
    def url(self) -> str:
        """The owner's URL."""
        return self.session.url

    @property
    def roles(self) -> dict[str, str]:
        """The names of the roles that there are beside the owner, by what they are for."""
        named = {"app": self.app, "reader": self.reader, "guarded": self.guarded}
        return {role: name for role, name in named.items() if name is not None}

    def context(
        self, schema: str, execute: Callable[[str], object], connection: Connection
    ) -> LineContext:
        """Return what a revision of a schema's line may ask while it runs on this connection."""
        return LineContext(
            schema=schema,
            execute=execute,
            bindings=self.bindings,
            homes=self.homes,
            app=self.app,
            reader=self.reader,
            guarded=self.guarded,
            definitions=partial(definitions_of, connection, schema, self.roles),
        )


def survey(
    registry: Registry,
    connection: Connection,
    owner_url: str,
    app_url: str | None,
    bindings: Mapping[str, Binding],
) -> Surroundings:
    """Find the roles: the app's by asking over its own URL, the reader's by its name.

    A pooler may log a role in under another name than its own, so the URL's user says little.
    """
    owner, database = _who(connection)
    app = None
    if app_url is not None and app_url != owner_url:
        with connect(app_url, autocommit=True, purpose="migrate") as other:
            app, _ = _who(other)
    # A copy of a database (a test's, a rehearsal's) keeps the roles of the one it came from.
    named = roles.names(owner.removesuffix("_owner") if owner.endswith("_owner") else database)
    beside = {
        name
        for (name,) in connection.execute(
            "SELECT rolname::text FROM pg_catalog.pg_roles "
            "WHERE rolname = ANY(%s) AND rolname <> %s",
            [[named.reader, named.guarded], owner],
        )
    }
    return Surroundings(
        session=MigrationSession(owner_url),
        owner=owner,
        app=app if app != owner else None,
        reader=named.reader if named.reader in beside else None,
        guarded=named.guarded if named.guarded in beside else None,
        bindings=bindings,
        homes=homes_of(registry.ordered),
    )


def _who(connection: Connection) -> tuple[str, str]:
    row = connection.execute(
        "SELECT current_user::text, pg_catalog.current_database()::text"
    ).fetchone()
    assert row is not None, "SELECT without FROM answers one row"
    return row[0], row[1]
