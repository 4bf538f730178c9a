"""The witnesses around one revision: read before it, asked at each statement, read again after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bedplate.catalog import Connection
from bedplate.kernel import clock
from bedplate.kernel.errors import MigrationFailed, UndeclaredTouch
from bedplate.kernel.lines import KERNEL_LINE, VERSION_TABLE
from bedplate.operations.migrate import verdict, witnesses
from bedplate.operations.migrate.books import made_by, signed
from bedplate.operations.migrate.document import document
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.timeline import Timeline
from bedplate.operations.migrate.touch import TABLE_KINDS, Touch, line_to_add, undeclared

XID = "SELECT pg_catalog.pg_current_xact_id()::text"
UNSEEN = "(not sent through op or lines)"
BOOKS = ("receipts", "journal", "backfills", "before_images", "steps")
REWRITING = frozenset({"rewritten", "derived", "emptied"})
SHAPING = frozenset({"shape", "behaviour", "gone"})


class Watch:
    """One revision's watch; the connection is inside the revision's transaction when it begins."""

    def __init__(self, step: Step, revision: Revision) -> None:
        self.step = step
        self.revision = revision
        self._started = clock.nanoseconds()
        self._cost_ns = 0
        self._sequences: dict[int, tuple[Any, ...]] = {}
        self._timeline: Timeline | None = None

    def before_begin(self, connection: Connection) -> None:
        """Do what must be done on the connection before its transaction begins."""
        asked = clock.nanoseconds()
        self._sequences = witnesses.before_begin(connection)
        self._cost_ns += clock.nanoseconds() - asked

    def begin(self, connection: Connection) -> None:
        """Read the witnesses; from now on every statement is the revision's."""
        asked = clock.nanoseconds()
        touches = self.revision.touches
        self._connection = connection
        self._before = witnesses.begin(
            connection, sequences=self._sequences, sizes=(*touches.rewritten, *touches.rows)
        )
        self._caveats = witnesses.caveats(connection)
        self._made = self._made_by_the_way_up()
        self._xid = _xid(connection)
        self._tables = {
            oid: relation.full_name
            for oid, relation in self._before.relations.items()
            if relation.kind in TABLE_KINDS and not _own(relation.schema, relation.name)
        }
        self._cost_ns += clock.nanoseconds() - asked
        self._timeline = Timeline(connection, self._tables)

    def begins(self, statement: str) -> None:
        """Tell of a statement that is about to run."""
        if self._timeline is not None:
            self._timeline.begins(statement)

    def ended(self, statement: str) -> None:
        """Tell of a statement that has run."""
        if self._timeline is not None:
            self._timeline.ended(statement)

    def end(self) -> tuple[Receipt, dict[str, Any]]:
        """Read the witnesses again; return the receipt, and the whole of it as it is stored.

        Raises UndeclaredTouch, or MigrationFailed where the revision ended its own transaction.
        """
        timeline, self._timeline = self._timeline, None
        assert timeline is not None, "a watch ends after it began"
        asked = clock.nanoseconds()
        if _xid(self._connection) != self._xid:
            raise MigrationFailed(
                f"Module {self.step.line.name}, revision {self.step.revision} ended its own"
                " transaction: what it wrote before that is kept.",
                "Compare the database with a backup, and leave the transaction to the runner.",
            )
        before, after = witnesses.end(self._connection, self._before)
        timeline.note(UNSEEN, after.locks)
        touches = verdict.touches(before, after)
        self._refuse(touches)
        self._cost_ns += clock.nanoseconds() - asked + timeline.cost_ns
        receipt = self._receipt(touches, timeline)
        whole = document(self.step, self.revision, receipt, touches, self._started)
        return receipt, {**whole, **signed(self._connection)}

    def _made_by_the_way_up(self) -> set[tuple[str, str]] | None:
        if self.step.direction == "up":
            return set()
        return made_by(self._connection, self.step.line, self.step.revision)

    def _refuse(self, touches: Sequence[Touch]) -> None:
        declared, line = self.revision.touches, self.step.line
        beyond = undeclared(touches, declared, line.schema, self._made)
        if beyond:
            raise refusal(line.name, self.revision, beyond, self._caveats)

    def _receipt(self, touches: Sequence[Touch], timeline: Timeline) -> Receipt:
        def names(verdicts: Iterable[str]) -> tuple[str, ...]:
            return tuple(
                dict.fromkeys(each.existing for each in touches if each.verdict in verdicts)
            )

        existing = [each for each in touches if each.verdict == "rows"]
        shape = names(SHAPING)
        return Receipt(
            module=self.step.line.name,
            revision=self.step.revision,
            rows_touched=sum(each.count for each in existing),
            rewritten=names(REWRITING),
            shape_changes=shape,
            locks=timeline.locks(),
            tables_watched=len(self._tables),
            receipt_ms=round(self._cost_ns / 1e6, 3),
            caveats=self._caveats,
            external=names(["external"]),
        )


def refusal(
    module: str, revision: Revision, beyond: Sequence[Touch], caveats: Sequence[str]
) -> UndeclaredTouch:
    """Return the error that names every touch beyond the declaration, and the line to write."""
    listed = "; ".join(dict.fromkeys(each.sentence for each in beyond))
    return UndeclaredTouch(
        f"Module {module}, revision {revision.name} touches what it does not declare: {listed}."
        f" It was rolled back. {' '.join(caveats)}".rstrip(),
        f"If all of that is meant, write in its file: {line_to_add(revision.touches, beyond)}",
    )


def _own(schema: str, name: str) -> bool:
    return name == VERSION_TABLE or (schema == KERNEL_LINE.schema and name in BOOKS)


def _xid(connection: Connection) -> str:
    row = connection.execute(XID).fetchone()
    assert row is not None, "SELECT without FROM answers one row"
    return str(row[0])
