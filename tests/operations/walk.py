"""A walk along the lines of a registry, one revision at a time, over rows in every table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bedplate.catalog import (
    Connection,
    Content,
    Snapshot,
    Table,
    connect,
    contents,
    difference,
    fingerprint,
    read,
    user_schemas,
)
from bedplate.kernel.bindings import Binding
from bedplate.kernel.lines import Line
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import audit_view, steps, undo
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.surroundings import survey
from bedplate.testing import generate_rows
from bedplate.testing.generated_rows.generate import RUNNER_TABLES
from tests.databases import TestDatabase

ROWS = 3


@dataclass(frozen=True)
class Look:
    """A database at one moment: what it is, and what is in it."""

    snapshot: Snapshot
    contents: Mapping[str, Content]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.snapshot)


@dataclass(frozen=True)
class Stop:
    """A revision on the walk, and the one before it on its line."""

    line: Line
    before: str | None
    revision: str

    def __str__(self) -> str:
        return f"{self.line.name}-{self.revision}"


def stops(registry: Registry) -> Iterator[Stop]:
    """Every revision of the registry's lines, in the order in which they are applied."""
    for line in registry.lines:
        for before, revision in zip((None, *line.revisions), line.revisions, strict=False):
            yield Stop(line, before, revision)


class Walk:
    """One database, and where on the lines it is; forward only. Close it at the end."""

    def __init__(
        self,
        registry: Registry,
        database: TestDatabase,
        bindings: Mapping[str, Binding] | None = None,
        host_sql: str = "",
    ) -> None:
        self.registry = registry
        self.database = database
        self.bindings = bindings or {}
        self._to_come = list(stops(registry))
        self._filled: dict[str, Table] = {}
        # One for all looks: a connection's first questions to the catalog are its dear ones.
        self._connection = connect(database.owner_url, autocommit=True)
        if host_sql:
            self._connection.execute(host_sql.encode())

    def close(self) -> None:
        self._connection.close()

    def leads_to(self, stop: Stop | None) -> bool:
        """Whether it is not over yet, and has not gone past the revision (None: its end)."""
        return not self._connection.closed and (stop is None or stop in self._to_come)

    def go_before(self, stop: Stop | None) -> None:
        """Apply what comes before the revision (None: everything), and put rows in every table.

        Into those, that is, which are new or became others since they last got some.
        """
        while self._to_come and self._to_come[0] != stop:
            self.up(self._to_come[0])
        schemas = user_schemas(self._connection)
        if schemas:
            tables = {each.full_name: each for each in read(self._connection, schemas).tables}
            same = [name for name, table in tables.items() if self._filled.get(name) == table]
            generate_rows(self._connection, schemas, count=ROWS, skip=same)
            self._filled = tables

    def up(self, stop: Stop) -> None:
        urls = self.database.owner_url, self.database.app_url
        step = Step(stop.line, stop.revision, "up", stop.before, stop.revision)
        with survey(self.registry, self._connection, *urls, self.bindings) as surroundings:
            steps.run(step, surroundings)
            audit_view.rebuild(self._connection, self.registry, surroundings)
        if self._to_come and self._to_come[0] == stop:
            self._to_come.pop(0)

    def down(self, line: Line, to: str | None) -> None:
        undo(
            self.registry,
            line.name,
            to=to,
            owner_url=self.database.owner_url,
            bindings=self.bindings,
        )

    def look(self, *, rows: bool = True) -> Look:
        return look(self._connection, rows=rows)


def look(connection: Connection, *, rows: bool = True) -> Look:
    """Look at all that is not PostgreSQL's own; what the runner writes of itself is no matter."""
    schemas = user_schemas(connection)
    found = contents(connection, schemas) if rows else {}
    return Look(
        read(connection, schemas),
        {name: content for name, content in found.items() if name not in RUNNER_TABLES},
    )


def differences(before: Look, after: Look) -> list[str]:
    """Say what is not as it was, in sentences."""
    said = [change.sentence for change in difference(before.snapshot, after.snapshot)]
    if not said and before.fingerprint != after.fingerprint:
        said.append("The fingerprints differ.")
    said += [
        f"The rows of {name} are not what they were: {_rows(before, name)} before,"
        f" {_rows(after, name)} after."
        for name in sorted({*before.contents, *after.contents})
        if before.contents.get(name) != after.contents.get(name)
    ]
    return said


def _rows(at: Look, name: str) -> str:
    found = at.contents.get(name)
    return f"{found.rows} rows" if found else "no table"


def check(walk: Walk, stop: Stop) -> None:
    """Take a revision up, down and up again over rows; AssertionError says what is not the same."""
    walk.go_before(stop)
    before = walk.look()
    walk.up(stop)
    first = walk.look(rows=False)
    walk.down(stop.line, stop.before)
    left = differences(before, walk.look())
    assert not left, f"{stop}: the way back does not lead back. {' '.join(left)}"
    walk.up(stop)
    left = differences(first, walk.look(rows=False))
    assert not left, f"{stop}: going up again leads elsewhere. {' '.join(left)}"
