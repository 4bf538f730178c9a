"""The reads of a repository: get, find, list, page, exists, count, stream."""

from __future__ import annotations

import builtins
import copy
from collections.abc import AsyncIterator, Sequence
from typing import Any, Generic, Self, TypeVar, cast, overload

from sqlalchemy import (
    Select,
    and_,
    bindparam,
    func,
    select,
)
from sqlalchemy import exists as sql_exists
from sqlalchemy.orm import InstrumentedAttribute

from bedplate.kernel import pagination
from bedplate.kernel.errors import FieldUnknown, LimitExceeded, NotFound
from bedplate.kernel.fields import Condition, RowKey, Term
from bedplate.kernel.handle import Handle
from bedplate.kernel.model import Model, mapper_of
from bedplate.kernel.pagination import PAGE_SIZE, Key, Page
from bedplate.kernel.plan import Wanted
from bedplate.kernel.query import Query
from bedplate.kernel.relations import Included
from bedplate.kernel.repository.pages import Asked, PageShape, rows_limit

M = TypeVar("M", bound=Model)
K = TypeVar("K")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Field = InstrumentedAttribute
FourOrMore = tuple[Field[Any], Field[Any], Field[Any], Field[Any], *tuple[Field[Any], ...]]
"""Fields whose types are not told apart; fewer have the types that they have."""

QUERIES_MAX = 200
"""How many compiled forms (sets of includes or columns) one repository keeps."""


class Reads(Generic[M]):
    """Typed reads of one model; each verb is one statement, one round trip."""

    def __init__(self, model: type[M]) -> None:
        self.model = model
        self._mapper = mapper_of(model)
        self._deleted = False
        self._queries: dict[Any, Query[Any]] = {}
        self._pages: dict[Any, PageShape] = {}

    def with_deleted(self) -> Self:
        """Return the same repository, soft-deleted rows included."""
        twin = copy.copy(self)
        twin._deleted, twin._queries, twin._pages = True, {}, {}
        return twin

    async def get(self, db: Handle, key: RowKey, *, include: tuple[Included, ...] = ()) -> M:
        """Return the row with this key; raises NotFound where there is none."""
        query = self._queries.get(include)
        if query is None:
            query = self._keep(self._queries, include, self._by_key(include))
        statement, make = db.prepare(query, {"key": key})
        rows: builtins.list[M] = await db.fetch(statement, make)
        if not rows:
            raise NotFound(f"No {self.model.__name__} has this key.")
        return rows[0]

    @overload
    async def find(
        self, db: Handle, *where: Condition, include: tuple[Included, ...] = ()
    ) -> M | None: ...
    @overload
    async def find(
        self, db: Handle, *where: Condition, select: tuple[Field[A]]
    ) -> tuple[A] | None: ...
    @overload
    async def find(
        self, db: Handle, *where: Condition, select: tuple[Field[A], Field[B]]
    ) -> tuple[A, B] | None: ...
    @overload
    async def find(
        self, db: Handle, *where: Condition, select: tuple[Field[A], Field[B], Field[C]]
    ) -> tuple[A, B, C] | None: ...
    @overload
    async def find(
        self, db: Handle, *where: Condition, select: FourOrMore
    ) -> tuple[Any, ...] | None: ...
    async def find(
        self,
        db: Handle,
        *where: Condition,
        include: tuple[Included, ...] = (),
        select: tuple[Field[Any], ...] | None = None,
    ) -> Any:
        """Return one row that fulfils every condition, or None; fields only with `select=`."""
        statement = self._select(select).where(*where).limit(rows_limit(1))
        rows = await self._rows(db, statement, include, select)
        return rows[0] if rows else None

    @overload
    async def list(
        self,
        db: Handle,
        *where: Condition,
        order: Sequence[Term] = (),
        limit: int | None = None,
        include: tuple[Included, ...] = (),
    ) -> builtins.list[M]: ...
    @overload
    async def list(
        self,
        db: Handle,
        *where: Condition,
        order: Sequence[Term] = (),
        limit: int | None = None,
        select: tuple[Field[A]],
    ) -> builtins.list[tuple[A]]: ...
    @overload
    async def list(
        self,
        db: Handle,
        *where: Condition,
        order: Sequence[Term] = (),
        limit: int | None = None,
        select: tuple[Field[A], Field[B]],
    ) -> builtins.list[tuple[A, B]]: ...
    @overload
    async def list(
        self,
        db: Handle,
        *where: Condition,
        order: Sequence[Term] = (),
        limit: int | None = None,
        select: tuple[Field[A], Field[B], Field[C]],
    ) -> builtins.list[tuple[A, B, C]]: ...
    @overload
    async def list(
        self,
        db: Handle,
        *where: Condition,
        order: Sequence[Term] = (),
        limit: int | None = None,
        select: FourOrMore,
    ) -> builtins.list[tuple[Any, ...]]: ...
    async def list(
        self,
        db: Handle,
        *where: Condition,
        order: Sequence[Term] = (),
        limit: int | None = None,
        include: tuple[Included, ...] = (),
        select: tuple[Field[Any], ...] | None = None,
    ) -> builtins.list[Any]:
        """Return the rows that fulfil every condition, in order.

        Without `limit`, more than `rows_max` rows raise LimitExceeded rather than fill the memory.
        """
        most = db.rows_max + 1 if limit is None else limit
        statement = self._select(select).where(*where).order_by(*order).limit(rows_limit(most))
        rows = await self._rows(db, statement, include, select)
        if limit is None and len(rows) > db.rows_max:
            raise LimitExceeded(
                f"More than {db.rows_max} rows of {self.model.__name__} fulfil the conditions.",
                "Pass limit=, or read with page() or stream().",
            )
        return rows

    async def page(
        self,
        db: Handle,
        *where: Condition,
        order: Sequence[Term] = (),
        size: int = PAGE_SIZE,
        at: str | None = None,
        include: tuple[Included, ...] = (),
    ) -> Page[M]:
        """Return one page by keyset: `at` is the `next` or `previous` of another page.

        The order is made total by the key. Raises CursorInvalid for a cursor of another query,
        LimitExceeded for a size outside 1 to 1,000.
        """
        pagination.check_size(size)
        asked = self._asked(where, pagination.keys_of(order, self._primary()), include)
        position = asked.position(at)
        plan = asked.shape.plan(db.dialect, size, position)
        rows = await db.fetch(plan.bind(asked.parameters(plan, position)), plan.make)
        return asked.page(rows, size, position)

    async def exists(self, db: Handle, *where: Condition) -> bool:
        """Tell whether any row fulfils every condition."""
        # Only the key: an adopted table may lack columns of the model.
        inner = sql_exists(self._select(self._primary()).where(*where))
        found: bool = (await self._rows(db, select(inner), (), None))[0]
        return found

    async def count(self, db: Handle, *where: Condition) -> int:
        """Count the rows that fulfil every condition."""
        statement = select(func.count()).select_from(self.model).where(*where)
        number: int = (await self._rows(db, statement, (), None))[0]
        return number

    async def stream(
        self, db: Handle, *where: Condition, order: Sequence[Term] = ()
    ) -> AsyncIterator[M]:
        """Yield rows as they are wanted, however many there are."""
        statement = self._select(None).where(*where).order_by(*order)
        prepared, make = db.prepare_adhoc(statement, Wanted(deleted=self._deleted))
        async for block in db.blocks(prepared, make):
            for row in block:
                yield row

    def _asked(
        self, where: Sequence[Condition], keys: tuple[Key, ...], include: tuple[Included, ...]
    ) -> Asked:
        """Return the page that is asked for, its shape kept from an earlier call where possible."""
        wanted = Wanted(include, self._deleted)
        condition: Any = and_(*where) if where else None
        filter_key = condition._generate_cache_key() if where else None
        if where and filter_key is None:
            # SQLAlchemy cannot tell such a filter's values from its shape: it is built every time.
            return PageShape(self._select(None).where(*where), None, keys, wanted).alone()
        named = tuple((key.name, key.descending) for key in keys)
        key = (filter_key.key if filter_key else None, named, wanted)
        shape = self._pages.get(key)
        if shape is None:
            shape = PageShape(self._select(None).where(*where), filter_key, keys, wanted)
            self._keep(self._pages, key, shape)
        return shape.asked(filter_key.bindparams if filter_key else ())

    def _keep(self, place: dict[Any, K], key: Any, one: K) -> K:
        if len(place) >= QUERIES_MAX:
            place.pop(next(iter(place)))
        place[key] = one
        return one

    def _by_key(self, include: tuple[Included, ...]) -> Query[Any]:
        (field,) = self._primary()
        statement = select(self.model).where(field == bindparam("key", type_=field.type))
        return Query(statement, include=include, deleted=self._deleted)

    def _primary(self) -> tuple[Any, ...]:
        return tuple(
            getattr(self.model, self._mapper.get_property_by_column(column).key)
            for column in self._mapper.primary_key
        )

    def _is(self, key: Any) -> Condition:
        (field,) = self._primary()
        same: Condition = field == bindparam("key", key, type_=field.type)
        return same

    def _own(self, field: Any) -> str:
        """Return the name of a column's field; raises FieldUnknown for anything else."""
        key: str = getattr(field, "key", "")
        if key not in self._mapper.column_attrs or self._column(key) is not field:
            raise FieldUnknown(
                f"{field} is not a column of {self.model.__name__}.",
                f"Pass one of its fields, as in {self.model.__name__}.{self._primary()[0].key}.",
            )
        return key

    def _column(self, name: str) -> Any:
        return getattr(self.model, name)

    def _select(self, fields: tuple[Field[Any], ...] | None) -> Select[Any]:
        for field in fields or ():
            self._own(field)
        chosen: Any = (self.model,) if fields is None else fields
        statement: Any = select(*chosen)
        return cast("Select[Any]", statement)

    async def _rows(
        self,
        db: Handle,
        statement: Any,
        include: tuple[Included, ...],
        fields: tuple[Field[Any], ...] | None,
    ) -> builtins.list[Any]:
        prepared, make = db.prepare_adhoc(statement, Wanted(include, self._deleted))
        rows = await db.fetch(prepared, make)
        # A query of one thing yields that thing; select= promises tuples, also of one.
        return [(row,) for row in rows] if fields is not None and len(fields) == 1 else rows
