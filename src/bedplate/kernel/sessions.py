"""SQLAlchemy sessions on our transactions, and ours on theirs.

A host keeps what it has written for AsyncSession. The engine under such a session owns nothing: its
dialect neither commits, rolls back nor closes, because the connection and its transaction belong to
the handle that lent them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from sqlalchemy import pool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from bedplate.kernel.errors import HandleClosed, UsageError

_engines: dict[str, AsyncEngine] = {}
"""One initialised engine per address: its dialect has learnt the server's version and types."""

_lent: ContextVar[Any] = ContextVar("bedplate_lent", default=None)
"""The connection that the engine's next `connect()` is to use."""


class LentDialect(PGDialectAsync_psycopg):
    """psycopg's async dialect for connections that somebody else owns."""

    supports_statement_cache = True

    def do_commit(self, dbapi_connection: Any) -> None:
        """Leave the transaction to its owner."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Leave the transaction to its owner."""

    def do_close(self, dbapi_connection: Any) -> None:
        """Leave the connection to its owner."""

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Leave the connection to its owner."""

    @classmethod
    def get_async_dialect_cls(cls, url: Any) -> Any:
        """Stay the dialect the URL named."""
        return cls


registry.register("postgresql.bedplate_lent", __name__, "LentDialect")


@asynccontextmanager
async def joined_session(connection: Any, url: str) -> AsyncGenerator[AsyncSession]:
    """Yield an AsyncSession on a psycopg connection that is in a transaction of ours."""
    if not isinstance(connection, psycopg.AsyncConnection):
        raise UsageError(
            "SQLAlchemy's sessions on our transactions are async only.",
            "Open the project with Project.open() in an event loop.",
        )
    engine = await _engine(url)
    token = _lent.set(connection)
    try:
        async with engine.connect() as outer:
            _lent.reset(token)
            await outer.begin()
            session = AsyncSession(
                bind=outer, join_transaction_mode="create_savepoint", expire_on_commit=False
            )
            try:
                yield session
                await session.commit()
            finally:
                await session.close()
    finally:
        _lent.set(None)


async def _engine(url: str) -> AsyncEngine:
    """Return the engine of an address, its dialect initialised on a connection of its own."""
    engine = _engines.get(url)
    if engine is not None:
        return engine
    engine = create_async_engine(
        "postgresql+bedplate_lent://",
        async_creator=_lend,
        poolclass=pool.NullPool,
        use_native_hstore=False,
    )
    # The first connection answers the dialect's questions about the server; asking them on a lent
    # one would run strange statements inside somebody's transaction.
    async with await psycopg.AsyncConnection.connect(url) as own:
        token = _lent.set(own)
        async with engine.connect():
            pass
        _lent.reset(token)
    _engines[url] = engine
    return engine


async def _lend(*_: Any, **__: Any) -> Any:
    return _lent.get()


class Joined:
    """A session's transaction that a handle of ours has joined; the session's owner ends it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._transaction: Any = None

    async def connection(self) -> Any:
        """Return the psycopg connection, with every savepoint that the session has begun.

        Asked before each statement: begin_nested() sends its SAVEPOINT only when the session next
        uses its connection, and once the session has committed, the connection is somebody else's.
        Raises HandleClosed then, and UsageError for other drivers than psycopg.
        """
        current = self._session.sync_session.get_transaction()
        if self._transaction is not None and current is not self._transaction:
            raise HandleClosed(
                "The SQLAlchemy session has ended the transaction that this handle had joined.",
                "Join its next one with db.over(session).",
            )
        raw = await (await self._session.connection()).get_raw_connection()
        connection: Any = raw.driver_connection
        if not type(connection).__module__.startswith("psycopg"):
            raise UsageError(
                "The session does not run on psycopg.",
                "Create its engine with the URL scheme postgresql+psycopg.",
            )
        self._transaction = self._session.sync_session.get_transaction()
        return connection
