"""A revision whose statements commit one by one: each can be taken up again where it was cut off.

`transactional = False` in its file. Alembic only dictates; every statement passes the allow-list,
is compared with what is there already, and runs by itself on a connection of this run's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import psycopg

from bedplate.catalog import Connection, connect
from bedplate.kernel import clock
from bedplate.kernel.backfills import run_by
from bedplate.kernel.errors import MigrationFailed
from bedplate.operations.migrate import (
    alembic_bridge,
    books,
    existing,
    patience,
    schemas,
    witnesses,
)
from bedplate.operations.migrate.allowed import PATIENT, Allowed, Kind, allowed
from bedplate.operations.migrate.backfill import BackfillRunner
from bedplate.operations.migrate.failures import STOPPED_NEXT_STEP, explained, stopped
from bedplate.operations.migrate.make_way import make_way
from bedplate.operations.migrate.patience import giving_way
from bedplate.operations.migrate.receipt import Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.stepwise_watch import StepwiseWatch
from bedplate.operations.migrate.surroundings import Surroundings
from bedplate.operations.migrate.telling import watched

CLIENT_CHECK_MS = 1_000
"""How soon the server notices that we are gone, and ends what it still does for us."""

WHOLE: frozenset[Kind] = frozenset(
    {
        *("add constraint", "validate constraint", "drop constraint", "use index"),
        *("set not null", "drop not null", "finish detaching", "add enum label"),
    }
)
"""What may run in a transaction, and has one of its own: so its locks can be read before it ends,
and what it did is noted with it."""

STATEMENT_CHARACTERS_MAX = 80
PROGRESS = """
SELECT phase, coalesce(100 * tuples_done / nullif(tuples_total, 0),
    100 * blocks_done / nullif(blocks_total, 0))
FROM pg_catalog.pg_stat_progress_create_index WHERE pid = %s
"""


def run_stepwise(step: Step, surroundings: Surroundings, revision: Revision) -> Receipt:
    """Run one step statement by statement, then record the version; return its receipt.

    What was done before a failure, or a kill, is kept; running the step again goes on from there.
    Raises StepNotAllowed, DefinitionDiffers, BackfillFailed, UndeclaredTouch and other
    MigrationFailed.
    """
    line = step.line
    if step.before is None or step.after is None:
        raise MigrationFailed(
            f"Module {line.name}, revision {revision.name}: a line's first revision comes and goes"
            " with its schema, in one transaction.",
            "Remove transactional = False from the file, or number it later.",
        )
    with connect(surroundings.url, autocommit=True, purpose="migrate") as connection:
        _prepare(connection)
        watch = StepwiseWatch(connection, step, revision)
        stepper = Stepper(surroundings.url, connection, revision, watch)
        context = surroundings.context(line.schema, stepper.execute, connection)
        backfills = BackfillRunner(connection, revision, watch)
        try:
            with run_by(backfills):
                alembic_bridge.dictate(
                    line, revision.name, step.direction, context, stepper.execute
                )
        except Exception as error:
            raise explained(line, revision.name, error, STOPPED_NEXT_STEP) from None
        receipt, document = watch.end()
        with connection.transaction():
            watch.books.forget()
            has_books = books.ensure(connection, surroundings.app, surroundings.reader)
            schemas.record(connection, line, before=step.before, after=step.after)
            if has_books:
                books.append(connection, "receipts", {**document, "proof": surroundings.proof})
    return receipt


@dataclass(frozen=True, slots=True)
class Stepper:
    """Runs the statements of one revision; its watch is told of each."""

    url: str
    connection: Connection
    revision: Revision
    watch: StepwiseWatch

    def execute(self, text: str) -> None:
        """Run one statement, unless it was run before; at its end nothing INVALID is left."""
        step = allowed(text)
        try:
            self._converge(step)
        except psycopg.Error as error:
            raise stopped(self.revision.line, self.revision.name, text, error) from None

    def _converge(self, step: Allowed) -> None:
        self._wait_at_most(0 if step.kind in PATIENT else patience.LOCK_TIMEOUTS_MS[-1])
        found = existing.state(self.connection, step)
        if found == "there":
            self.watch.skipped(step)
            return
        self.watch.before(step)
        if found == "half":
            self._wait_for_others(step)
            found = existing.state(self.connection, step)
        if found == "half":
            found = self._clear(step)
        if found != "there":
            self._persistently(step)
        self.watch.after(step)

    def _persistently(self, step: Allowed) -> None:
        """Run it, giving way to others' locks a bounded number of times; clear what breaks."""

        def make(_: BaseException) -> None:
            make_way(self.connection, step.text)

        giving_way(partial(self._attempt, step), make)

    def _attempt(self, step: Allowed, lock_timeout_ms: int) -> None:
        self._wait_at_most(0 if step.kind in PATIENT else lock_timeout_ms)
        try:
            self._run(step)
        except psycopg.Error:
            if self.connection.closed:
                raise
            if existing.state(self.connection, step) != "half" or self._clear(step) != "there":
                raise

    def _run(self, step: Allowed) -> None:
        began = clock.nanoseconds()
        pid = self.connection.info.backend_pid
        with watched(self.url, partial(_progress, step.text, pid, began)):
            if step.kind not in WHOLE:
                self._send(step.text)
                self.watch.ran(step, None, began)
                return
            with self.connection.transaction():
                self._send(step.text)
                self.watch.ran(step, witnesses.locks(self.connection), began)

    def _clear(self, step: Allowed) -> existing.State:
        """Take away what a broken attempt left; a partition half detached is detached."""
        self._wait_at_most(0)
        if step.kind in ("detach partition", "finish detaching"):
            table, name = existing.quoted(step.table), existing.quoted(step.name)
            self._send(f"ALTER TABLE {table} DETACH PARTITION {name} FINALIZE")
            return "there"
        broken = (
            [(*step.table[:-1], *step.name)]
            if step.kind == "create index"
            else existing.leftovers(self.connection, step.name)
        )
        for index in broken:
            self._send(f"DROP INDEX CONCURRENTLY {existing.quoted(index)}")
        return "absent"

    def _wait_for_others(self, step: Allowed) -> None:
        """Wait until nobody builds on the table: a killed run's server process may still do so."""
        if step.table and step.kind != "finish detaching":
            with self.connection.transaction():
                table = existing.quoted(step.table)
                self._send(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")

    def _wait_at_most(self, lock_timeout_ms: int) -> None:
        """Say how long statements may wait for a lock; 0 is as long as they may run."""
        self._send(f"SET lock_timeout = {lock_timeout_ms}")

    def _send(self, text: str) -> None:
        self.connection.execute(text.encode())


def _prepare(connection: Connection) -> None:
    connection.execute(f"SET statement_timeout = '{patience.STATEMENT_TIMEOUT_S}s'".encode())
    connection.execute(f"SET client_connection_check_interval = '{CLIENT_CHECK_MS}ms'".encode())


def _progress(statement: str, pid: int, began: int, connection: Connection) -> str:
    """Say how long a statement has run, and of an index that is built how far it is."""
    seconds = (clock.nanoseconds() - began) / 1e9
    phase, percent = connection.execute(PROGRESS, [pid]).fetchone() or (None, None)
    phases = f", {phase}" if phase else ""
    far = f", {percent} %" if percent is not None else ""
    shown = " ".join(statement.split())[:STATEMENT_CHARACTERS_MAX]
    return f"{shown}: {seconds:.0f} s{phases}{far}"
