"""Reader and Transaction: several statements as one.

BEGIN travels with the first statement, in its round trip, together with who is acting; a handle
that runs nothing sends nothing. Only the edge opens them, so only the edge commits.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from bedplate.kernel import errors
from bedplate.kernel.clock import nanoseconds
from bedplate.kernel.context import Context, is_empty
from bedplate.kernel.events import Event
from bedplate.kernel.handle import Handle
from bedplate.kernel.pool import Statement
from bedplate.kernel.rows import Make
from bedplate.kernel.sessions import Joined, joined_session
from bedplate.kernel.sqlstates import DRIVER_ERRORS, translate
from bedplate.kernel.telemetry import logger

if TYPE_CHECKING:
    from bedplate.kernel.database import Database

Hook = Callable[[], Awaitable[None] | None]
"""What runs once the transaction is committed; its failure is logged, not raised."""


def told(context: Context) -> dict[str, str]:
    """Return the settings that say in SQL who is acting: bedplate.actor, bedplate.ip …"""
    return {f"bedplate.{name}": value for name, value in context.named().items()}


def saying(settings: Mapping[str, str]) -> Statement:
    """Return the statement that makes these settings last as long as the transaction it is in."""
    calls = [f"set_config('{name}', ${i}, true)" for i, name in enumerate(settings, start=1)]
    return f"SELECT {', '.join(calls)}".encode(), [*settings.values()]


class Unit(Handle):
    """A connection held from the first statement to the end. See Reader and Transaction."""

    _begin = b"BEGIN"

    def __init__(self, database: Database, context: Context, *, guarded: bool) -> None:
        if guarded and context.actor is None:
            raise errors.UsageError(
                "A guarded handle shows one actor's rows, and no actor is known.",
                "Pass actor=…, or set one with acting(…).",
            )
        if guarded and database.guarded_role is None:
            # Going on as the app would show every row, which is what the guard is there against.
            raise errors.UsageError(
                "This database is used by a role that has no guarded one beside it.",
                "Connect as <database>_app, or leave guarded=True out.",
            )
        self.dialect = database.dialect
        self.rows_max = database.rows_max
        self.database = database
        self.context = context
        self._guarded = guarded
        self._connection: Any = None
        self._is_open = False
        self._over = False
        self._running = asyncio.Lock()
        self._resources = AsyncExitStack()

    def _opening(self) -> list[Statement]:
        """Return what opens the unit: BEGIN, and who is acting as transaction-local settings."""
        settings = {} if is_empty(self.context) else told(self.context)
        if self._guarded and self.database.guarded_role is not None:
            settings["role"] = self.database.guarded_role
        begin: Statement = (self._begin, ())
        return [begin, saying(settings)] if settings else [begin]

    async def _run(self, statement: Statement, make: Make | None) -> Any:
        self._require_open()
        if self._running.locked():
            raise errors.UsageError(
                "Two tasks use one transaction or reader at the same time.",
                "Await one statement after the other, or give each task a handle of its own.",
            )
        leaf, watch = self.database.leaf, self.database.watch
        started = nanoseconds()
        try:
            async with self._running:
                if self._connection is None:
                    self._connection = await leaf.acquire()
                    rows, count = await leaf.opened(
                        self._connection, self._opening(), statement, make or tuple
                    )
                    result: Any = count if make is None else rows
                elif make is None:
                    result = await leaf.execute(self._connection, statement)
                else:
                    result = await leaf.fetch(self._connection, statement, make)
        except DRIVER_ERRORS as error:
            watch.fail()
            raise translate(error) from None
        watch.note(statement[0], nanoseconds() - started)
        return result

    def _require_open(self) -> None:
        if not self._is_open:
            raise errors.HandleClosed(
                "The transaction or reader is already over."
                if self._over
                else "The transaction or reader was not entered with `async with`."
            )

    async def fetch(self, statement: Statement, make: Make) -> list[Any]:
        """Run a compiled statement and make its rows."""
        rows: list[Any] = await self._run(statement, make)
        return rows

    async def execute(self, statement: Statement) -> int:
        """Run a compiled statement; return how many rows it touched."""
        count: int = await self._run(statement, None)
        return count

    async def connection(self) -> Any:
        """Return the driver's connection, begun. For what only the driver can do."""
        if self._connection is None:
            await self.execute((b"SELECT", ()))
        self._require_open()
        return self._connection

    async def blocks(self, statement: Statement, make: Make) -> AsyncIterator[list[Any]]:
        """Yield rows in blocks from a server-side cursor of this transaction."""
        connection = await self.connection()
        try:
            async for block in self.database.leaf.stream(connection, statement, make):
                yield block
        except DRIVER_ERRORS as error:
            raise translate(error) from None

    async def copy(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Send rows by COPY within this transaction."""
        connection = await self.connection()
        try:
            return await self.database.leaf.copy(connection, sql, rows)
        except DRIVER_ERRORS as error:
            raise translate(error) from None

    async def many(self, sql: bytes, rows: Iterable[Sequence[Any]]) -> int:
        """Run one statement for each row, without waiting for one before the next is sent."""
        connection = await self.connection()
        try:
            return await self.database.leaf.many(connection, sql, rows)
        except DRIVER_ERRORS as error:
            raise translate(error) from None

    async def session(self) -> AsyncSession:
        """Return an SQLAlchemy AsyncSession on this very transaction.

        Its commit() releases a savepoint; the transaction itself stays ours to end. Async only.
        """
        return await self._resources.enter_async_context(
            joined_session(await self.connection(), self.database.url)
        )

    async def __aenter__(self) -> Self:
        if self._over:
            self._require_open()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open, self._over = False, True
        # A task that the block left behind may still be in the middle of a statement.
        async with self._running:
            connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await self._resources.__aexit__(kind, error, traceback)
            await self._end(connection, "COMMIT" if kind is None else "ROLLBACK")
        except psycopg.Error as refused:
            self.database.watch.fail()
            if kind is None:
                raise translate(refused) from None
        finally:
            await self.database.leaf.release(connection)

    async def _end(self, connection: Any, command: str) -> None:
        tag = await self.database.leaf.command(connection, command)
        if tag != command:
            # An earlier failure, caught by the caller, had already doomed the transaction:
            # PostgreSQL answers COMMIT with ROLLBACK, and that must not look like success.
            raise errors.DatabaseError(
                "The transaction was rolled back, because a statement in it had failed.",
                "Wrap statements that may fail in tx.savepoint().",
            )


class Reader(Unit):
    """Several reads on one connection; READ ONLY in PostgreSQL itself."""

    _begin = b"BEGIN READ ONLY"


class Transaction(Unit):
    """Reads and writes that commit or roll back as one."""

    def __init__(self, database: Database, context: Context, *, guarded: bool) -> None:
        super().__init__(database, context, guarded=guarded)
        self._hooks: list[Hook] = []
        self._savepoints = 0
        self._joined: Joined | None = None

    @classmethod
    async def over(cls, session: AsyncSession, database: Database, context: Context) -> Transaction:
        """Join the transaction of an AsyncSession that runs on postgresql+psycopg.

        The session's owner commits; `after_commit` is refused, because we would not know.
        """
        tx = cls(database, context, guarded=False)
        tx._joined = Joined(session)
        tx._connection = await tx._joined.connection()
        tx._is_open = True
        for statement in tx._opening()[1:]:
            await tx.execute(statement)
        return tx

    async def _run(self, statement: Statement, make: Make | None) -> Any:
        if self._joined is not None:
            await self._follow(self._joined)
        return await super()._run(statement, make)

    async def connection(self) -> Any:
        """Return the driver's connection, begun. For what only the driver can do."""
        if self._joined is not None:
            await self._follow(self._joined)
        return await super().connection()

    async def _follow(self, joined: Joined) -> None:
        self._require_open()
        self._connection = await joined.connection()

    async def emit(self, event: Event) -> None:
        """Tell the project's subscribers, inside this transaction."""
        await self.database.subscriptions.tell(self, event)

    def after_commit(self, hook: Hook) -> None:
        """Run `hook` once this transaction is committed; never after a rollback."""
        if self._joined is not None:
            raise errors.UsageError(
                "This transaction is committed by an SQLAlchemy session, out of our sight.",
                "Use SQLAlchemy's after_commit event on that session.",
            )
        self._hooks.append(hook)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[Transaction]:
        """Undo only the block when it raises; the transaction lives on."""
        self._savepoints += 1
        name = f"bedplate_{self._savepoints}"
        hooks = len(self._hooks)
        await self.execute((f"SAVEPOINT {name}".encode(), ()))
        try:
            yield self
        except BaseException:
            del self._hooks[hooks:]
            await self.execute((f"ROLLBACK TO SAVEPOINT {name}".encode(), ()))
            raise
        await self.execute((f"RELEASE SAVEPOINT {name}".encode(), ()))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._joined is not None:
            self._is_open, self._over, self._connection = False, True, None
            return
        await super().__aexit__(kind, error, traceback)
        if kind is None:
            await self._run_hooks()

    async def _run_hooks(self) -> None:
        for hook in self._hooks:
            try:
                waited = hook()
                if inspect.isawaitable(waited):
                    await waited
            except Exception:
                # The commit is a fact; a hook cannot take it back, so its failure is only told.
                logger.exception("an after_commit hook failed; the transaction is committed")
