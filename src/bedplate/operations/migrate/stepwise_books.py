"""What the runner keeps of statements that commit one by one, until their receipt is written.

A statement is noted before it is sent, with what it will touch, and again once it has run, with
what it did touch. So the receipt of a revision that was killed in between says what one that ran
undisturbed says. The notes go when the receipt is written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from bedplate.catalog import Connection
from bedplate.kernel import clock
from bedplate.operations.migrate.receipt import HeldLock
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.touch import Touch

TABLE = "bedplate.steps"

CREATE = """
CREATE TABLE bedplate.steps (
    module text NOT NULL,
    revision text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('up', 'down')),
    statement text NOT NULL,
    began timestamptz NOT NULL,
    touches jsonb NOT NULL,
    locks jsonb NOT NULL,
    ended boolean NOT NULL,
    PRIMARY KEY (module, revision, direction, statement)
);
COMMENT ON TABLE bedplate.steps IS
    'Statements of revisions that are under way outside of a transaction.';
COMMENT ON COLUMN bedplate.steps.module IS 'The module whose line it is in.';
COMMENT ON COLUMN bedplate.steps.revision IS 'The revision it is in.';
COMMENT ON COLUMN bedplate.steps.direction IS 'up or down.';
COMMENT ON COLUMN bedplate.steps.statement IS 'SHA-256 of the statement.';
COMMENT ON COLUMN bedplate.steps.began IS 'When it was sent last.';
COMMENT ON COLUMN bedplate.steps.touches IS 'What it touches.';
COMMENT ON COLUMN bedplate.steps.locks IS 'What it locks, and for how long.';
COMMENT ON COLUMN bedplate.steps.ended IS 'Whether the runner saw its end.';
"""
PRESENT = "SELECT pg_catalog.to_regclass('bedplate.steps') IS NOT NULL"
WRITE = """
INSERT INTO bedplate.steps AS s
    (module, revision, direction, statement, began, touches, locks, ended)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (module, revision, direction, statement) DO UPDATE SET
    began = CASE WHEN excluded.ended THEN s.began ELSE excluded.began END,
    touches = excluded.touches, locks = excluded.locks, ended = excluded.ended
"""
FIND = """
SELECT touches, locks, CASE WHEN NOT ended THEN began END FROM bedplate.steps
WHERE module = %s AND revision = %s AND direction = %s AND statement = %s
"""
FORGET = "DELETE FROM bedplate.steps WHERE module = %s AND revision = %s"


@dataclass(frozen=True, slots=True)
class Note:
    """What one statement touches, and the locks that it takes."""

    touches: tuple[Touch, ...] = ()
    locks: tuple[HeldLock, ...] = ()


@dataclass(frozen=True, slots=True)
class StepwiseBooks:
    """The notes of one revision on its way."""

    connection: Connection
    step: Step

    def create(self) -> None:
        """Make the table, unless it is there."""
        with self.connection.transaction():
            row = self.connection.execute(PRESENT).fetchone()
            if row != (True,):
                self.connection.execute(CREATE)

    def write(self, statement: str, note: Note, *, ended: bool) -> None:
        """Note a statement that is about to be sent, or that has run."""
        said = [json.dumps([asdict(each) for each in part]) for part in (note.touches, note.locks)]
        self.connection.execute(WRITE, [*self._key(statement), clock.now(), *said, ended])

    def find(self, statement: str) -> Note | None:
        """Return what was noted of a statement by a run before this one.

        Of one whose end was not seen nobody knows how long it held its locks: at most until now.
        """
        row = self.connection.execute(FIND, self._key(statement)).fetchone()
        if row is None:
            return None
        touches, locks, began = row
        found = tuple(HeldLock(**each) for each in locks)
        if began is not None:
            most_ms = round((clock.now() - began) / timedelta(milliseconds=1), 3)
            found = tuple(replace(each, held_ms=most_ms) for each in found)
        told = (Touch(**each) for each in touches)
        # JSON has no tuples.
        return Note(tuple(replace(each, within=tuple(each.within)) for each in told), found)

    def forget(self) -> None:
        """Take the revision's notes away: its receipt says it all."""
        self.connection.execute(FORGET, [self.step.line.name, self.step.revision])

    def _key(self, statement: str) -> list[str]:
        digest = hashlib.sha256(statement.encode()).hexdigest()
        return [self.step.line.name, self.step.revision, self.step.direction, digest]
