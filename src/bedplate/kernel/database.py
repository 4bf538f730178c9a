"""Database: one pool, one project's dialect, and the handles they give."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import configure_mappers

from bedplate.kernel.clock import nanoseconds
from bedplate.kernel.context import Context, UserId, current, is_empty
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.events import Subscriptions
from bedplate.kernel.handle import Handle
from bedplate.kernel.pool import Leaf, Statement, Write
from bedplate.kernel.retry import ATTEMPTS, retry
from bedplate.kernel.rows import Make
from bedplate.kernel.sqlstates import DRIVER_ERRORS, translate
from bedplate.kernel.telemetry import Watch
from bedplate.kernel.transaction import Reader, Transaction, saying, told

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a database warns of and refuses: milliseconds, rows of an unlimited list()."""

    slow_statement_ms: int = 1_000
    rows_max: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FromModules:
    """What the enabled modules give to a database: who hears which event, and their settings."""

    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    settings: Mapping[type[Any], Any] = field(default_factory=dict[type[Any], Any])


class Database(Handle):
    """One PostgreSQL database as one project sees it.

    Its own verbs run single statements, each committed by itself in one round trip, in which a
    write also says who is acting. Several as one go through `read()` and `transaction()`. It opens
    lazily connected: forking before `open()` is safe.
    """

    def __init__(
        self,
        leaf: Leaf,
        dialect: BoundDialect,
        *,
        url: str,
        limits: Limits = Limits(),
        modules: FromModules | None = None,
        guarded_role: str | None = None,
    ) -> None:
        self.leaf = leaf
        self.dialect = dialect
        self.url = url
        self.watch = Watch(limits.slow_statement_ms)
        self.rows_max = limits.rows_max
        self._modules = modules or FromModules()
        self.subscriptions = self._modules.subscriptions
        self.guarded_role = guarded_role

    def settings(self, kind: type[T]) -> T:
        """Return a module's settings by their type; its defaults where nothing was read."""
        found: T | None = self._modules.settings.get(kind)
        return kind() if found is None else found

    async def open(self) -> None:
        """Connect; raises DatabaseUnreachable or AuthenticationFailed."""
        configure_mappers()
        await self.leaf.open()

    async def close(self) -> None:
        """Close every connection."""
        await self.leaf.close()

    def read(self, actor: UserId | None = None, *, guarded: bool = False) -> Reader:
        """Return a Reader: READ ONLY in PostgreSQL itself.

        `guarded` enters the guarded role: row-level security then shows the actor's rows only.
        """
        return Reader(self, _context(actor), guarded=guarded)

    def transaction(self, actor: UserId | None = None, *, guarded: bool = False) -> Transaction:
        """Return a Transaction; it commits at the end of its `async with`, or rolls back."""
        return Transaction(self, _context(actor), guarded=guarded)

    async def over(self, session: AsyncSession) -> Transaction:
        """Return a Transaction that joins an SQLAlchemy session's own; its owner commits."""
        return await Transaction.over(session, self, current())

    async def retry(
        self, work: Callable[[Transaction], Awaitable[T]], *, attempts: int = ATTEMPTS
    ) -> T:
        """Run `work(tx)` in a transaction, again after a deadlock or a failed ordering."""
        return await retry(self, work, attempts=attempts)

    async def fetch(self, statement: Statement, make: Make) -> list[Any]:
        """Run one compiled statement and make its rows."""
        rows: list[Any] = await self._run(statement, make)
        return rows

    async def execute(self, statement: Statement) -> int:
        """Run one compiled statement; return how many rows it touched."""
        count: int = await self._run(statement, None)
        return count

    async def _run(self, statement: Statement, make: Make | None) -> Any:
        leaf = self.leaf
        context = current()
        started = nanoseconds()
        connection = await leaf.acquire()
        try:
            if isinstance(statement[0], Write) and not is_empty(context):
                opening: list[Statement] = [(b"BEGIN", ()), saying(told(context))]
                rows, count = await leaf.opened(
                    connection, opening, statement, make or tuple, commit=True
                )
                result: Any = count if make is None else rows
            elif make is None:
                result = await leaf.execute(connection, statement)
            else:
                result = await leaf.fetch(connection, statement, make)
        except DRIVER_ERRORS as error:
            self.watch.fail()
            raise translate(error) from None
        finally:
            await leaf.release(connection)
        self.watch.note(statement[0], nanoseconds() - started)
        return result

    async def blocks(self, statement: Statement, make: Make) -> AsyncIterator[list[Any]]:
        """Yield rows in blocks from a Reader that lives as long as the stream."""
        async with self.read() as reader:
            async for block in reader.blocks(statement, make):
                yield block

    async def copy(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Send rows by COPY; all of them or none.

        One round trip, and two more where it is known who acts: COPY can carry nothing.
        """
        if not is_empty(current()):
            async with self.transaction() as tx:
                return await tx.copy(sql, rows)
        connection = await self.leaf.acquire()
        try:
            return await self.leaf.copy(connection, sql, rows)
        except DRIVER_ERRORS as error:
            self.watch.fail()
            raise translate(error) from None
        finally:
            await self.leaf.release(connection)

    def statistics(self) -> Mapping[str, int]:
        """Return the pool's and the statements' counters."""
        return {
            **self.leaf.statistics(),
            **self.watch.statistics.as_dict(),
            "round_trips": self.leaf.round_trips,
        }


Writer = Database | Transaction
"""What an action's first argument is: it runs unchanged on `db` or inside a `tx`."""


def database_of(db: Writer) -> Database:
    """Return the Database behind a handle."""
    return db.database if isinstance(db, Transaction) else db


@asynccontextmanager
async def joined(db: Writer) -> AsyncGenerator[Transaction]:
    """Yield the caller's transaction, or one of our own where there is none.

    For what has to happen together, whatever handle a verb was given.
    """
    if isinstance(db, Transaction):
        yield db
        return
    async with db.transaction() as tx:
        yield tx


def carried_context(db: Writer) -> dict[str, str] | None:
    """Return who is acting, for a verb of one statement to hand over; None where PostgreSQL knows.

    A transaction has said so with its BEGIN; a single statement on `db` has to say it itself.
    """
    if isinstance(db, Transaction):
        return None
    context = current()
    return None if is_empty(context) else context.named()


def _context(actor: UserId | None) -> Context:
    context = current()
    if actor is None or actor == context.actor:
        return context
    return Context(
        actor=actor,
        request_id=context.request_id,
        ip=context.ip,
        user_agent=context.user_agent,
    )
