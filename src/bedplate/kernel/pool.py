"""The pool, and the only code that waits: the leaf that talks to psycopg.

Everything above awaits a `Leaf` and nothing else. `AsyncLeaf` suspends on psycopg's async API; the
blocking leaf (`integrations/blocking.py`) has the same methods on the blocking API and never
suspends, which is what lets one body of code serve both worlds.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import psycopg
from psycopg import AsyncPipeline, AsyncRawCursor
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from bedplate.kernel import errors
from bedplate.kernel.rows import Make
from bedplate.kernel.settings import Settings
from bedplate.kernel.sqlstates import translate, unreachable

Values = Sequence[Any]
Statement = tuple[bytes, Values]
"""SQL with $1-style placeholders, and the values to send."""


class Write(bytes):
    """The SQL of a statement that changes rows: on `db` it travels with who is acting."""


STREAM_ROWS = 1_000
"""How many rows a stream holds in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """One pool's address and limits; times are milliseconds."""

    url: str
    size_max: int = 10
    wait_timeout_ms: int = 5_000
    connect_timeout_ms: int = 5_000
    session: Mapping[str, str] = field(default_factory=dict[str, str])
    pooler: bool | None = None

    @classmethod
    def of(cls, settings: Settings, url: str) -> PoolOptions:
        """Take the limits of a project's settings."""
        return cls(
            url=url,
            size_max=settings.pool_size_max,
            wait_timeout_ms=settings.pool_wait_timeout_ms,
            connect_timeout_ms=settings.connect_timeout_ms,
            pooler=settings.transaction_pooler,
            session={
                "statement_timeout": str(settings.statement_timeout_ms),
                "lock_timeout": str(settings.lock_timeout_ms),
                "idle_in_transaction_session_timeout": str(settings.idle_in_transaction_timeout_ms),
            },
        )


class Leaf(Protocol):
    """What waits. Connections are opaque to everything above; errors are the driver's own."""

    suspends: bool
    """Whether others run while it waits."""
    wait_timeout_ms: int
    """How long a caller waits for a connection."""
    prepares: bool
    round_trips: int

    async def open(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...

    async def acquire(self) -> Any:
        """Take a connection."""
        ...

    async def release(self, connection: Any) -> None:
        """Give it back."""
        ...

    async def fetch(self, connection: Any, statement: Statement, make: Make) -> list[Any]:
        """Run a statement and make its rows."""
        ...

    async def execute(self, connection: Any, statement: Statement) -> int:
        """Run a statement; count rows."""
        ...

    async def command(self, connection: Any, sql: str) -> str:
        """Run COMMIT and its like."""
        ...

    async def opened(
        self,
        connection: Any,
        opening: Sequence[Statement],
        statement: Statement,
        make: Make,
        *,
        commit: bool = False,
    ) -> tuple[list[Any], int]:
        """Run what opens a transaction, and its first statement, in one round trip.

        With `commit` that statement is all of it, and the transaction's end travels along.
        """
        ...

    def stream(self, connection: Any, statement: Statement, make: Make) -> AsyncIterator[list[Any]]:
        """Yield rows in blocks."""
        ...

    async def copy(self, connection: Any, sql: str, rows: Iterable[Values]) -> int:
        """Send rows by COPY."""
        ...

    async def many(self, connection: Any, sql: bytes, rows: Iterable[Values]) -> int:
        """Run one statement for each row."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def statistics(self) -> Mapping[str, int]:
        """Return the pool's counters."""
        ...


def connection_options(options: PoolOptions) -> dict[str, Any]:
    """Return psycopg's connect arguments: explicit transactions only, limits in seconds."""
    return {
        "autocommit": True,
        "connect_timeout": max(1, options.connect_timeout_ms // 1000),
        "application_name": "bedplate",
        # A database or role may have another one set for itself.
        "client_encoding": "utf8",
    }


def pool_options(options: PoolOptions) -> dict[str, Any]:
    """Return psycopg_pool's arguments; the pool opens late, so that forking is safe."""
    return {
        "min_size": 1,
        "max_size": options.size_max,
        "timeout": options.wait_timeout_ms / 1000,
        "open": False,
        "kwargs": connection_options(options),
    }


def session_sql(options: PoolOptions, pooled: bool) -> str:
    """Return what each new connection is told.

    UTC makes both row paths give equal moments; a transaction pooler follows it, but no other
    setting, so behind one the limits must stand on the role or in the pooler.
    """
    # A database or role may also have a style that psycopg does not read.
    lines = ["SET TIME ZONE 'UTC'", "SET DateStyle = 'ISO'"]
    if not pooled:
        lines += ["SET IntervalStyle = 'postgres'", "SET extra_float_digits = 1"]
        lines += [f"SET {name} = '{value}'" for name, value in options.session.items()]
    return "; ".join(lines)


def make_factory(make: Make) -> Callable[[Any], Make]:
    """Wrap a row maker as psycopg wants it: chosen once per result."""
    return lambda cursor: make


_streams = itertools.count(1)


def stream_name() -> str:
    """Return a new cursor's name: one transaction may read several streams at a time."""
    return f"bedplate_stream_{next(_streams)}"


def affected(cursor: Any) -> int:
    """Return how many rows a statement touched; 0 where the server does not say."""
    count: int = cursor.rowcount
    return max(0, count)


def has_failed(connection: Any) -> bool:
    """Tell whether a transaction is open that an error ended: nothing runs before it is undone."""
    status: TransactionStatus = connection.info.transaction_status
    return status == TransactionStatus.INERROR


def may_run_again(connection: Any) -> bool:
    """Tell whether a statement was refused only because it was prepared; prepare no more then.

    Once a column has changed its type, PostgreSQL refuses what was prepared before for as long as
    the connection lives ("cached plan must not change result type").
    """
    was_prepared = connection.prepare_threshold is not None
    connection.prepare_threshold = None
    return was_prepared and connection.info.transaction_status == TransactionStatus.IDLE


class _Pipeline(AsyncPipeline):
    """psycopg's pipeline without the Flush that it sends after its last Sync.

    PostgreSQL takes the Flush for the start of a new statement and stops the clock of
    idle_in_transaction_session_timeout: a transaction left open would hold its locks for good.
    """

    def _fetch_gen(self, *, flush: bool) -> Any:
        return super()._fetch_gen(flush=False)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the pipeline; that what follows a failed statement is skipped is no warning."""
        try:
            await super().__aexit__(None, None, None)
        except psycopg.errors.PipelineAborted:
            if error is None:
                raise


class AsyncLeaf:
    """The leaf on psycopg's async API."""

    suspends = True

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._pool: AsyncConnectionPool[Any] | None = None
        self.wait_timeout_ms = options.wait_timeout_ms
        self.prepares = not options.pooler
        self.round_trips = 0

    async def open(self) -> None:
        """Connect once, to learn what answers; raises DatabaseUnreachable and the like."""
        try:
            first = await psycopg.AsyncConnection.connect(
                self._options.url, **connection_options(self._options)
            )
        except psycopg.Error as error:
            raise unreachable(error) from None
        try:
            if self._options.pooler is None:
                pid = await (await first.execute("SELECT pg_backend_pid()")).fetchone()
                # A pooler makes up the process id it announces, so the two differ behind one.
                self.prepares = pid is not None and pid[0] == first.info.backend_pid
        finally:
            await first.close()
        self._pool = AsyncConnectionPool(
            self._options.url, configure=self._configure, **pool_options(self._options)
        )
        await self._pool.open()

    async def _configure(self, connection: Any) -> None:
        if not self.prepares:
            connection.prepare_threshold = None
        await connection.execute(session_sql(self._options, not self.prepares))

    async def close(self) -> None:
        """Close every connection; those in use when they come back."""
        if self._pool is not None:
            await self._pool.close()

    async def acquire(self) -> Any:
        """Take a connection; raises PoolTimeout after the stated wait, HandleClosed at the end."""
        if self._pool is None:
            raise errors.HandleClosed("The database is not open.", "Open the project first.")
        try:
            return await self._pool.getconn()
        except psycopg.Error as error:
            raise translate(error) from None

    async def release(self, connection: Any) -> None:
        """Give a connection back; one that broke, or may prepare no more, is replaced."""
        if self._pool is not None:
            if self.prepares and connection.prepare_threshold is None:
                await connection.close()
            await self._pool.putconn(connection)

    async def fetch(self, connection: Any, statement: Statement, make: Make) -> list[Any]:
        """Run one statement and make its rows: one round trip."""
        self.round_trips += 1
        cursor = AsyncRawCursor(connection, row_factory=make_factory(make))
        await self._send(cursor, statement)
        return await cursor.fetchall()

    async def execute(self, connection: Any, statement: Statement) -> int:
        """Run one statement without rows; return how many it touched."""
        self.round_trips += 1
        cursor = AsyncRawCursor(connection)
        await self._send(cursor, statement)
        return affected(cursor)

    async def _send(self, cursor: AsyncRawCursor[Any], statement: Statement) -> None:
        try:
            await cursor.execute(statement[0], statement[1], prepare=self.prepares)
        except psycopg.errors.FeatureNotSupported:
            if not may_run_again(cursor.connection):
                raise
            await cursor.execute(statement[0], statement[1], prepare=False)

    async def command(self, connection: Any, sql: str) -> str:
        """Run COMMIT and its like; return the server's command tag."""
        self.round_trips += 1
        cursor = await connection.execute(sql.encode(), prepare=False)
        return str(cursor.statusmessage)

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
            async with connection.pipeline():
                for sql, values in opening:
                    await AsyncRawCursor(connection).execute(sql, values, prepare=self.prepares)
                cursor = AsyncRawCursor(connection, row_factory=make_factory(make))
                await cursor.execute(statement[0], statement[1], prepare=self.prepares)
                if commit:
                    await AsyncRawCursor(connection).execute(b"COMMIT", prepare=self.prepares)
        except psycopg.Error as error:
            is_stale = isinstance(error, psycopg.errors.FeatureNotSupported)
            if (commit or is_stale) and has_failed(connection):
                await connection.rollback()
            if not is_stale or not may_run_again(connection):
                raise
            return await self.opened(connection, opening, statement, make, commit=commit)
        rows = await cursor.fetchall() if cursor.description else []
        return rows, affected(cursor)

    async def stream(
        self, connection: Any, statement: Statement, make: Make
    ) -> AsyncIterator[list[Any]]:
        """Yield rows in blocks, read as they are wanted, from a server-side cursor."""
        name = stream_name()
        await AsyncRawCursor(connection).execute(
            f"DECLARE {name} NO SCROLL CURSOR FOR ".encode() + statement[0], statement[1]
        )
        self.round_trips += 1
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
        async with cursor.copy(sql.encode()) as copy:
            for row in rows:
                await copy.write_row(row)
        return affected(cursor)

    async def many(self, connection: Any, sql: bytes, rows: Iterable[Values]) -> int:
        """Run one statement for each row, without waiting for one before the next is sent."""
        self.round_trips += 1
        cursor = AsyncRawCursor(connection)
        await cursor.executemany(sql, rows)
        return affected(cursor)

    async def sleep(self, seconds: float) -> None:
        """Wait without holding anything."""
        await asyncio.sleep(seconds)

    def statistics(self) -> Mapping[str, int]:
        """Return psycopg_pool's own counters."""
        return {} if self._pool is None else self._pool.get_stats()


logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
