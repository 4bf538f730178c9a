"""A schema with an audit log of its own, made as a revision makes one, for tests of capture."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from bedplate.kernel import audit, lines
from bedplate.testing import Clone

SCHEMA = "corner"


@dataclass(frozen=True)
class Corner:
    """A schema `corner` on a clone, with a log, and the connections of those who change it."""

    clone: Clone
    owner: psycopg.Connection[Any]
    app: psycopg.Connection[Any]

    def captured(self, columns: str, *, redact: Iterable[str] = ()) -> None:
        """Make the table `things` with these columns, which the app may write, and capture it."""
        self.owner.execute(f"CREATE TABLE corner.things ({columns})".encode())
        with self.revision():
            lines.grant("things")
            audit.capture("things", redact=redact)

    @contextmanager
    def revision(self) -> Generator[None]:
        """Answer what a revision of the schema's line asks."""
        context = lines.LineContext(
            schema=SCHEMA,
            execute=lambda statement: self.owner.execute(statement.encode()),
            homes={"users": "auth.users.id"},
            app=str(conninfo_to_dict(self.clone.url)["user"]),
        )
        with lines.running(context):
            yield

    def log(self) -> list[dict[str, Any]]:
        """What the log says: statement by statement, the entities of each in order."""
        with self.owner.cursor(row_factory=dict_row) as cursor:
            cursor.execute("SELECT * FROM corner.audit_logs ORDER BY transaction_id, entity_id, id")
            return cursor.fetchall()

    def changes(self) -> list[tuple[str, str, Any, Any]]:
        """What was done to which entity, and its values before and after."""
        return [
            (
                entry["action"],
                entry["entity_id"],
                *((entry["changes"] or {}).get(side) for side in ("before", "after")),
            )
            for entry in self.log()
        ]


@contextmanager
def corner(clone: Clone, *actions: str) -> Generator[Corner]:
    """Give the schema; both connections commit each statement."""
    with (
        psycopg.connect(clone.owner_url, autocommit=True) as owner,
        psycopg.connect(clone.url, autocommit=True) as app,
    ):
        made = Corner(clone, owner, app)
        role = conninfo_to_dict(clone.url)["user"]
        owner.execute(f'CREATE SCHEMA corner; GRANT USAGE ON SCHEMA corner TO "{role}"'.encode())
        with made.revision():
            audit.create_log(actions, captures=True)
        yield made
