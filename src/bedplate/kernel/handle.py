"""What every handle can run: Reader, Transaction and Database share these verbs.

A handle takes a declared `Query` (with its parameters by name) or a SQLAlchemy statement built on
the spot. One thing selected comes back as that thing, several as a tuple.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, TypeVar, TypeVarTuple, overload

from sqlalchemy import TextClause
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import TextualSelect, TypedReturnsRows

from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.errors import NotFound
from bedplate.kernel.plan import PLAIN, Wanted
from bedplate.kernel.pool import Statement
from bedplate.kernel.query import Query, adhoc
from bedplate.kernel.rows import Make

R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
Ts = TypeVarTuple("Ts")

Untyped = TextClause | TextualSelect | UpdateBase
"""Statements that do not say what they return.

Selects are left out: mypy takes the overload that gives what the caller expects, and Any always
does.
"""


class Handle(ABC):
    """Runs statements for one project; see Database, Reader and Transaction."""

    dialect: BoundDialect
    rows_max: int

    @abstractmethod
    async def fetch(self, statement: Statement, make: Make) -> list[Any]:
        """Run a compiled statement and make its rows. For the kernel's own use."""

    @abstractmethod
    async def execute(self, statement: Statement) -> int:
        """Run a compiled statement without rows; return how many rows it touched."""

    @abstractmethod
    def blocks(self, statement: Statement, make: Make) -> AsyncIterator[list[Any]]:
        """Yield a compiled statement's rows in blocks. For the kernel's own use."""

    @abstractmethod
    async def copy(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Send rows by COPY … FROM STDIN; return how many the server took."""

    def prepare(self, query: Any, params: Mapping[str, Any]) -> tuple[Statement, Make]:
        """Return a query's SQL and values for this project, and its row maker."""
        if isinstance(query, Query):
            plan = query.plan(self.dialect)
            return plan.bind(params), plan.make
        return self.prepare_adhoc(query, PLAIN, params)

    def prepare_adhoc(
        self, statement: Any, wanted: Wanted, params: Mapping[str, Any] | None = None
    ) -> tuple[Statement, Make]:
        """Return the SQL, values and row maker of a statement built on the spot."""
        plan, carried = adhoc(statement, self.dialect, wanted)
        return plan.bind({**carried, **params} if params else carried), plan.make

    @overload
    async def all(self, query: Query[R], /, **params: Any) -> list[R]: ...
    @overload
    async def all(self, query: TypedReturnsRows[A], /, **params: Any) -> list[A]: ...
    @overload
    async def all(
        self, query: TypedReturnsRows[A, B, *Ts], /, **params: Any
    ) -> list[tuple[A, B, *Ts]]: ...
    @overload
    async def all(self, query: Untyped, /, **params: Any) -> list[Any]: ...
    async def all(self, query: Any, /, **params: Any) -> list[Any]:
        """Return every row. One round trip."""
        statement, make = self.prepare(query, params)
        return await self.fetch(statement, make)

    @overload
    async def first(self, query: Query[R], /, **params: Any) -> R | None: ...
    @overload
    async def first(self, query: TypedReturnsRows[A], /, **params: Any) -> A | None: ...
    @overload
    async def first(
        self, query: TypedReturnsRows[A, B, *Ts], /, **params: Any
    ) -> tuple[A, B, *Ts] | None: ...
    @overload
    async def first(self, query: Untyped, /, **params: Any) -> Any: ...
    async def first(self, query: Any, /, **params: Any) -> Any:
        """Return the first row, or None. One round trip; say LIMIT 1 where many could come."""
        statement, make = self.prepare(query, params)
        rows = await self.fetch(statement, make)
        return rows[0] if rows else None

    @overload
    async def one(self, query: Query[R], /, **params: Any) -> R: ...
    @overload
    async def one(self, query: TypedReturnsRows[A], /, **params: Any) -> A: ...
    @overload
    async def one(
        self, query: TypedReturnsRows[A, B, *Ts], /, **params: Any
    ) -> tuple[A, B, *Ts]: ...
    @overload
    async def one(self, query: Untyped, /, **params: Any) -> Any: ...
    async def one(self, query: Any, /, **params: Any) -> Any:
        """Return the first row; raises NotFound where there is none. One round trip."""
        statement, make = self.prepare(query, params)
        rows = await self.fetch(statement, make)
        if not rows:
            raise NotFound("The query found no row.", "Use first() where that is expected.")
        return rows[0]

    async def run(self, query: Query[Any] | Executable, /, **params: Any) -> int:
        """Run a statement for its effect; return how many rows it touched. One round trip."""
        statement, _ = self.prepare(query, params)
        return await self.execute(statement)

    @overload
    def stream(self, query: Query[R], /, **params: Any) -> AsyncIterator[R]: ...
    @overload
    def stream(self, query: TypedReturnsRows[A], /, **params: Any) -> AsyncIterator[A]: ...
    @overload
    def stream(
        self, query: TypedReturnsRows[A, B, *Ts], /, **params: Any
    ) -> AsyncIterator[tuple[A, B, *Ts]]: ...
    async def stream(self, query: Any, /, **params: Any) -> AsyncIterator[Any]:
        """Yield rows as they are wanted; at most 1,000 are held in memory."""
        statement, make = self.prepare(query, params)
        async for block in self.blocks(statement, make):
            for row in block:
                yield row
