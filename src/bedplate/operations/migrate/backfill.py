"""Runs a backfill, or its way back, batch by batch; each batch commits with what the books say."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import psycopg

from bedplate.catalog import Connection
from bedplate.kernel.backfills import KEPT_NAMED_MAX, Backfill, Filled, Restored
from bedplate.kernel.errors import BackfillFailed
from bedplate.kernel.telemetry import logger
from bedplate.operations.migrate import backfill_books as books
from bedplate.operations.migrate import backfill_table as statements
from bedplate.operations.migrate.backfill_books import Entry
from bedplate.operations.migrate.backfill_table import FilledTable
from bedplate.operations.migrate.failures import stopped
from bedplate.operations.migrate.pace import Pace
from bedplate.operations.migrate.patience import giving_way
from bedplate.operations.migrate.receipt import Kept
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.stepwise_watch import StepwiseWatch
from bedplate.operations.migrate.telling import Telling

PASSES_MAX = 10

# Values are kept as text: these are the settings that how they are written depends on.
SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "row_security": "off",
    "default_transaction_isolation": "read committed",
}
# How many rows a range of keys has, a plan can only guess. One that prepares for a guess too high,
# or even reads the whole table, would hold the first rows' locks as long as that takes.
BY_KEY = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
NEXT_IMAGES = """
SELECT key FROM bedplate.before_images
WHERE backfill = %(backfill)s AND NOT kept AND (%(after)s::text[] IS NULL OR key > %(after)s)
ORDER BY key LIMIT %(limit)s
"""

Result = TypeVar("Result")
Key = tuple[str, ...]


@dataclass(slots=True)
class BackfillRunner:
    """Runs the backfills of one revision over a connection in autocommit.

    `watch` is told of the rows that were written, and of those that a way back left alone.
    """

    connection: Connection
    revision: Revision
    watch: StepwiseWatch
    _telling: Telling = field(default_factory=Telling)

    def fill(self, backfill: Backfill) -> Filled:
        """Change the rows that need it, walking along the key until a walk finds almost none."""
        with self._told(backfill):
            return self._fill(backfill)

    def restore(self, backfill: Backfill) -> Restored:
        """Give rows their old values back; name those that were changed since, and leave them."""
        with self._told(backfill):
            return self._restore(backfill)

    def _fill(self, backfill: Backfill) -> Filled:
        self._prepare(backfill)
        table = statements.look_up(self.connection, backfill)
        books.create(self.connection)
        module, name = self.revision.line, self.revision.name
        entry = books.opened(self.connection, module, name, backfill)
        pace = Pace(backfill.batch)
        while entry.state == "filling":
            with pace.batch():
                more = self._persistently(partial(self._fill_batch, table, backfill, entry, pace))
            done = self._count(entry, "rows")
            self._telling.tell(
                f"{backfill.name}: {done:,} rows (of about {table.rows_estimated:,})"
            )
            if not more:
                break
            time.sleep(backfill.pause_ms / 1_000)
        filled = Filled(self._count(entry, "rows"))
        self.watch.filled(backfill.table, filled.rows)
        logger.info("%s: %s rows filled", backfill.name, f"{filled.rows:,}")
        return filled

    def _restore(self, backfill: Backfill) -> Restored:
        self._prepare(backfill)
        table = statements.look_up(self.connection, backfill)
        entry = books.find(self.connection, self.revision.line, self.revision.name, backfill)
        if entry is None:
            raise BackfillFailed(
                f"The books hold nothing of the backfill {backfill.name}, so it cannot be undone.",
                "It was not run on this database: take its undo() out of the way back.",
            )
        if entry.state != "restored":
            books.whole(self.connection, entry, backfill.name)
            self._restore_all(table, backfill, entry)
        restored = self._restored(entry)
        self.watch.filled(backfill.table, restored.rows)
        logger.info("%s: %s rows restored", backfill.name, f"{restored.rows:,}")
        if restored.rows_kept:
            self.watch.kept(Kept(backfill.name, restored.rows_kept, restored.kept))
            keys = "; ".join(", ".join(key) for key in restored.kept)
            logger.warning(
                "%s: %s rows were changed since and stay as they are: %s",
                *(backfill.name, f"{restored.rows_kept:,}", keys),
            )
        return restored

    def _fill_batch(self, table: FilledTable, backfill: Backfill, entry: Entry, pace: Pace) -> bool:
        """Change one batch; tell whether there is more to do."""
        connection = self.connection
        row = connection.execute(
            "SELECT place, passes, pass_rows FROM bedplate.backfills WHERE id = %s FOR UPDATE",
            [entry.id],
        ).fetchone()
        assert row is not None, "nobody else deletes from the books"
        place, passes, pass_rows = row
        chosen = statements.choose(table, backfill, from_start=place is None, again=passes > 0)
        values = {"after": place, "backfill": entry.id, "limit": pace.rows}
        keys = [key for (key,) in connection.execute(chosen, values).fetchall()]
        pace.locks()
        if not keys:
            # Rows behind the walk may have come to need it; a few will always be on their way.
            last = not backfill.where or pass_rows < backfill.batch or passes + 1 >= PASSES_MAX
            connection.execute(
                "UPDATE bedplate.backfills SET place = NULL, passes = passes + 1, pass_rows = 0,"
                " state = CASE WHEN %s THEN 'filled' ELSE state END WHERE id = %s",
                [last, entry.id],
            )
            return not last
        locked = connection.execute(statements.lock(table, backfill), _columns(keys)).fetchall()
        given = {"backfill": entry.id, **_columns([key for (key,) in locked])}
        changed = (
            connection.execute(statements.change(table, backfill), given).rowcount if locked else 0
        )
        connection.execute(
            "UPDATE bedplate.backfills SET place = %s, rows = rows + %s,"
            " pass_rows = pass_rows + %s WHERE id = %s",
            [keys[-1], changed, changed, entry.id],
        )
        return True

    def _restore_all(self, table: FilledTable, backfill: Backfill, entry: Entry) -> None:
        after: Sequence[str] | None = None
        pace = Pace(backfill.batch)
        self._set(BY_KEY)
        self.connection.execute(
            "UPDATE bedplate.backfills SET state = 'restoring' WHERE id = %s", [entry.id]
        )
        while True:
            values = {"backfill": entry.id, "after": after, "limit": pace.rows}
            found = self.connection.execute(NEXT_IMAGES, values).fetchall()
            if not found:
                break
            first, after = found[0][0], found[-1][0]
            span = {"backfill": entry.id, "first": first, "last": after, "images": len(found)}
            with pace.batch():
                self._persistently(partial(self._restore_batch, table, backfill, span))
            done = self._count(entry, "rows_restored")
            self._telling.tell(f"{backfill.name}: {done:,} rows restored")
            time.sleep(backfill.pause_ms / 1_000)
        self.connection.execute(
            "UPDATE bedplate.backfills SET state = 'restored' WHERE id = %s", [entry.id]
        )

    def _restore_batch(
        self, table: FilledTable, backfill: Backfill, span: Mapping[str, Any]
    ) -> None:
        connection = self.connection
        restored = connection.execute(statements.restore(table), span).fetchall()
        if not all(exact for _, exact in restored):
            raise BackfillFailed(
                f"Rows of {backfill.table} do not take the old values of {backfill.name}.",
                "A trigger or a generated value changes them: disable it, then undo again.",
            )
        done = {tuple(key) for key, _ in restored}
        kept: list[list[str]] = []
        if len(done) < span["images"]:
            there = {tuple(key) for (key,) in connection.execute(statements.present(table), span)}
            kept = [list(key) for key in there - done]
        # An array of arrays would be one with two dimensions: each key goes by itself.
        for key in kept:
            connection.execute(
                "UPDATE bedplate.before_images SET kept = true WHERE backfill = %s AND key = %s",
                [span["backfill"], key],
            )
        gone = connection.execute(
            "DELETE FROM bedplate.before_images WHERE backfill = %(backfill)s AND NOT kept"
            " AND key >= %(first)s::text[] AND key <= %(last)s::text[]",
            span,
        ).rowcount
        connection.execute(
            "UPDATE bedplate.backfills SET rows_restored = rows_restored + %s,"
            " rows_gone = rows_gone + %s WHERE id = %s",
            [len(done), gone - len(done), span["backfill"]],
        )

    def _restored(self, entry: Entry) -> Restored:
        row = self.connection.execute(
            "SELECT rows_restored, rows_gone, (SELECT count(*) FROM bedplate.before_images"
            " WHERE backfill = id AND kept) FROM bedplate.backfills WHERE id = %s",
            [entry.id],
        ).fetchone()
        assert row is not None, "nobody else deletes from the books"
        kept = self.connection.execute(
            "SELECT key FROM bedplate.before_images WHERE backfill = %s AND kept"
            " ORDER BY key LIMIT %s",
            [entry.id, KEPT_NAMED_MAX],
        ).fetchall()
        return Restored(row[0], row[2], row[1], tuple(tuple(key) for (key,) in kept))

    @contextmanager
    def _told(self, backfill: Backfill) -> Generator[None]:
        """Say which backfill it was that the server refused something to."""
        try:
            yield
        except psycopg.Error as error:
            revision = self.revision
            raise stopped(
                revision.line, revision.name, f"backfill {backfill.name}", error
            ) from None

    def _persistently(self, batch: Callable[[], Result]) -> Result:
        """Run a batch in a transaction, giving way to others' locks a bounded number of times."""

        def attempt(lock_timeout_ms: int) -> Result:
            with self.connection.transaction():
                self.connection.execute(f"SET LOCAL lock_timeout = {lock_timeout_ms}".encode())
                return batch()

        return giving_way(attempt)

    def _prepare(self, backfill: Backfill) -> None:
        if backfill.table not in self.revision.touches.rows:
            raise BackfillFailed(
                f"The backfill {backfill.name} is not declared: module {self.revision.line},"
                f" revision {self.revision.name} does not say that it touches {backfill.table}.",
                f'Write touches = Footprint(rows=["{backfill.table}"]) at the top of its file.',
            )
        self._set(SETTINGS)

    def _set(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            self.connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", [name, value])

    def _count(self, entry: Entry, column: str) -> int:
        query = f"SELECT {column} FROM bedplate.backfills WHERE id = %s"
        row = self.connection.execute(query.encode(), [entry.id]).fetchone()
        assert row is not None, "nobody else deletes from the books"
        return int(row[0])


def _columns(keys: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return keys as a statement takes them: an array for each of the key's columns."""
    return {f"k{place}": list(column) for place, column in enumerate(zip(*keys, strict=True), 1)}
