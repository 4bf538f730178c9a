"""Transactions that never commit, on one connection that is kept from test to test.

Nothing is cloned, nobody logs in and statements stay prepared, so such a test costs a BEGIN and a
ROLLBACK.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg

from bedplate.integrations.blocking import BlockingLeaf
from bedplate.kernel import registry
from bedplate.kernel.database import Database
from bedplate.kernel.errors import UsageError
from bedplate.kernel.pool import AsyncLeaf, PoolOptions, connection_options
from bedplate.kernel.transaction import Transaction
from bedplate.project import MakeLeaf, database
from bedplate.testing.databases import Clone


class _RollBack(Exception):
    """Ends a transaction that is not to be committed."""


class RolledBack:
    """Gives transactions on one clone; every one of them is rolled back at its end. Close it."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self._kept: list[_OneConnection] = []
        self._async = self._database(_AsyncOne)
        self._blocking = self._database(_BlockingOne)

    @asynccontextmanager
    async def transaction(self, *, blocking: bool = False) -> AsyncGenerator[Transaction]:
        """Open a transaction; `blocking` for code that is run with `wait`.

        It has one connection: code under test that opens a transaction of its own is refused with
        UsageError, and belongs on a clone. Sequences do not go back.
        """
        db = self._blocking if blocking else self._async
        await db.open()
        with suppress(_RollBack):
            async with db.transaction() as tx:
                yield tx
                raise _RollBack

    def close(self) -> None:
        """Close the connections."""
        for leaf in self._kept:
            leaf.finish()

    def _database(self, leaf: type[_AsyncOne] | type[_BlockingOne]) -> Database:
        def make(options: PoolOptions) -> _AsyncOne | _BlockingOne:
            made = leaf(options)
            self._kept.append(made)
            return made

        maker: MakeLeaf = make
        settings = self.clone.settings
        modules = registry.load(settings.modules, settings.folder, settings.bind)
        return database(settings, modules, self.clone.url, maker)


class _OneConnection:
    """What makes a leaf keep one connection in place of a pool.

    psycopg's connections belong to no event loop, so one serves tests that have a loop each.
    """

    _connection: Any = None
    _is_lent = False

    async def open(self) -> None:
        """Connect later."""

    async def close(self) -> None:
        """Keep the connection for the next test."""

    async def connect(self) -> Any:
        """Return a new connection."""
        raise NotImplementedError

    async def acquire(self) -> Any:
        """Take the connection; raises UsageError while another handle has it."""
        if self._is_lent:
            raise UsageError(
                "A rolled-back transaction has one connection, and the code asked for a second.",
                "Use bedplate_project, whose database is this test's own.",
            )
        if self._connection is None or self._connection.closed:
            self._connection = await self.connect()
        self._is_lent = True
        return self._connection

    async def release(self, connection: Any) -> None:
        """Take the connection back."""
        self._is_lent = False

    def finish(self) -> None:
        """Close the connection, in whatever loop it was used."""
        if self._connection is not None:
            self._connection.pgconn.finish()

    def statistics(self) -> Mapping[str, int]:
        """Return nothing: there is no pool."""
        return {}


class _AsyncOne(_OneConnection, AsyncLeaf):
    async def connect(self) -> Any:
        made = await psycopg.AsyncConnection.connect(
            self._options.url, **connection_options(self._options)
        )
        await self._configure(made)
        return made


class _BlockingOne(_OneConnection, BlockingLeaf):
    async def connect(self) -> Any:
        made = psycopg.connect(self._options.url, **connection_options(self._options))
        self._configure(made)
        return made
