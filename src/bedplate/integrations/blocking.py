"""Bedplate without an event loop: the same coroutines, driven to their end by a plain call.

Everything in Bedplate is written once, as `async def`, and the only code that waits is the leaf
that talks to psycopg. The leaf here stands on psycopg's blocking API and never suspends, so a
coroutine runs from start to finish in one `send(None)`: no loop, no thread but psycopg_pool's own,
no generated twin. What talks to others (mail, S3, HTTP, Redis) does suspend, and is refused.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from psycopg import Pipeline, RawCursor
from psycopg_pool import ConnectionPool

from bedplate.kernel.errors import HandleClosed, Suspended
from bedplate.kernel.pool import (
    STREAM_ROWS,
    PoolOptions,
    Statement,
    Values,
    affected,
    connection_options,
    has_failed,
    make_factory,
    may_run_again,
    pool_options,
    session_sql,
    stream_name,
)
from bedplate.kernel.rows import Make
from bedplate.kernel.settings import Settings
from bedplate.kernel.sqlstates import translate, unreachable
from bedplate.project import Project

T = TypeVar("T")


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits on nothing but the database; return what it returns.

    Raises Suspended when it waits on something else, which needs an event loop.
    """
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    name = getattr(coroutine, "__qualname__", "A coroutine")
    raise Suspended(
        f"{name} waited on something other than the database.",
        "Run it in an event loop (asyncio.run), on a project opened without the blocking leaf.",
    )


def open_project(
    folder: Path | str | None = None,
    *,
    settings: Settings | None = None,
    check_versions: bool = True,
) -> Project:
    """Open a project whose coroutines are run with `wait`; raises what Project.open raises."""
    return wait(
        Project.open(folder, settings=settings, leaf=BlockingLeaf, check_versions=check_versions)
    )


class _Pipeline(Pipeline):
    """Sends no Flush after its last Sync, nor a warning; kernel/pool.py says why."""

    def _fetch_gen(self, *, flush: bool) -> Any:
        return super()._fetch_gen(flush=False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(None, None, None)
        except psycopg.errors.PipelineAborted:
            if error is None:
                raise


class BlockingLeaf:
    """The leaf on psycopg's blocking API: its coroutines never suspend."""

    suspends = False

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._pool: ConnectionPool[Any] | None = None
        self.wait_timeout_ms = options.wait_timeout_ms
        self.prepares = not options.pooler
        self.round_trips = 0

    async def open(self) -> None:
        """Connect once, to learn what answers; raises DatabaseUnreachable and the like."""
        try:
            first = psycopg.connect(self._options.url, **connection_options(self._options))
        except psycopg.Error as error:
            raise unreachable(error) from None
        with first:
            if self._options.pooler is None:
                pid = first.execute("SELECT pg_backend_pid()").fetchone()
                self.prepares = pid is not None and pid[0] == first.info.backend_pid
        self._pool = ConnectionPool(
            self._options.url, configure=self._configure, **pool_options(self._options)
        )
        self._pool.open()

    def _configure(self, connection: Any) -> None:
        if not self.prepares:
            connection.prepare_threshold = None
        connection.execute(session_sql(self._options, not self.prepares))

    async def close(self) -> None:
        """Close every connection; those in use when they come back."""
        if self._pool is not None:
            self._pool.close()

    async def acquire(self) -> Any:
        """Take a connection; raises PoolTimeout after the stated wait, HandleClosed at the end."""
        if self._pool is None:
            raise HandleClosed("The database is not open.", "Open the project first.")
        try:
            return self._pool.getconn()
        except psycopg.Error as error:
            raise translate(error) from None

    async def release(self, connection: Any) -> None:
        """Give a connection back; one that broke, or may prepare no more, is replaced."""
        if self._pool is not None:
            if self.prepares and connection.prepare_threshold is None:
                connection.close()
            self._pool.putconn(connection)

    async def fetch(self, connection: Any, statement: Statement, make: Make) -> list[Any]:
        """Run one statement and make its rows: one round trip."""
        self.round_trips += 1
        cursor = RawCursor(connection, row_factory=make_factory(make))
        self._send(cursor, statement)
        return cursor.fetchall()

    async def execute(self, connection: Any, statement: Statement) -> int:
        """Run one statement without rows; return how many it touched."""
        self.round_trips += 1
        cursor = RawCursor(connection)
        self._send(cursor, statement)
        return affected(cursor)

    def _send(self, cursor: RawCursor[Any], statement: Statement) -> None:
        try:
            cursor.execute(statement[0], statement[1], prepare=self.prepares)
        except psycopg.errors.FeatureNotSupported:
            if not may_run_again(cursor.connection):
                raise
            cursor.execute(statement[0], statement[1], prepare=False)

    async def command(self, connection: Any, sql: str) -> str:
        """Run COMMIT and its like; return the server's command tag."""
        self.round_trips += 1
        return str(connection.execute(sql.encode(), prepare=False).statusmessage)

    async def opened(
        self,
        connection: Any,
        opening: Sequence[Statement],
        statement: Statement,
        make: Make,
        *,
        commit: bool = False,
    ) -> tuple[list[Any], int]:
        """Run `opening` and the first statement of a transaction in one round trip.

        COMMIT is a statement of its own: of what fails with the Sync that would end an implicit
        transaction, such as a deferred key, libpq tells nothing but that it lost its place.
        """
        self.round_trips += 1
        connection._pipeline = _Pipeline(connection)
        try:
            with connection.pipeline():
                for sql, values in opening:
                    RawCursor(connection).execute(sql, values, prepare=self.prepares)
                cursor = RawCursor(connection, row_factory=make_factory(make))
                cursor.execute(statement[0], statement[1], prepare=self.prepares)
                if commit:
                    RawCursor(connection).execute(b"COMMIT", prepare=self.prepares)
        except psycopg.Error as error:
            is_stale = isinstance(error, psycopg.errors.FeatureNotSupported)
            if (commit or is_stale) and has_failed(connection):
                connection.rollback()
            if not is_stale or not may_run_again(connection):
                raise
            return await self.opened(connection, opening, statement, make, commit=commit)
        rows = cursor.fetchall() if cursor.description else []
        return rows, affected(cursor)

    async def stream(
        self, connection: Any, statement: Statement, make: Make
    ) -> AsyncIterator[list[Any]]:
        """Yield rows in blocks, read as they are wanted, from a server-side cursor."""
        name = stream_name()
        self.round_trips += 1
        declare = f"DECLARE {name} NO SCROLL CURSOR FOR ".encode() + statement[0]
        RawCursor(connection).execute(declare, statement[1])
        fetch = (f"FETCH {STREAM_ROWS} FROM {name}".encode(), ())
        while block := await self.fetch(connection, fetch, make):
            yield block
            if len(block) < STREAM_ROWS:
                break
        await self.command(connection, f"CLOSE {name}")

    async def copy(self, connection: Any, sql: str, rows: Iterable[Values]) -> int:
        """Send rows by COPY; return how many the server took."""
        self.round_trips += 1
        cursor = connection.cursor()
        with cursor.copy(sql.encode()) as copy:
            for row in rows:
                copy.write_row(row)
        return affected(cursor)

    async def many(self, connection: Any, sql: bytes, rows: Iterable[Values]) -> int:
        """Run one statement for each row, without waiting for one before the next is sent."""
        self.round_trips += 1
        cursor = RawCursor(connection)
        cursor.executemany(sql, rows)
        return affected(cursor)

    async def sleep(self, seconds: float) -> None:
        """Wait without holding anything."""
        time.sleep(seconds)  # noqa: ASYNC251  Blocking is what this leaf is for.

    def statistics(self) -> Mapping[str, int]:
        """Return psycopg_pool's own counters."""
        return {} if self._pool is None else self._pool.get_stats()
