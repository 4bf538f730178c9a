"""Factories: valid rows of any model, from its columns alone, and the parents they need.

A row gets what it cannot be stored without, and nothing else: a NULL or a default is a decision of
the model's, which a test that means another one says itself. Made of a seed and a running number,
the rows are the same in every run.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ForeignKeyConstraint, Table

from bedplate.kernel.database import Database, Writer
from bedplate.kernel.errors import UsageError
from bedplate.kernel.model import Model, mapper_of
from bedplate.kernel.repository import Repository
from bedplate.testing.values import NUMBERS_PER_SEED, Shape, known_shape, unique_columns, value_of

M = TypeVar("M", bound=Model)

CHILDREN_PER_PARENT = 10
"""How many rows share a parent, where no unique rule forbids it."""


class Factories:
    """A factory for each model; they share a seed, and the parents that wait to be stored.

    Different seeds never make the same number, so their rows may meet in one database.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.waiting: list[Model] = []
        self._made: dict[type[Model], Factory[Any]] = {}

    def __call__(self, model: type[M]) -> Factory[M]:
        """Return the model's factory, always the same one."""
        if model not in self._made:
            self._made[model] = Factory(model, self)
        return cast("Factory[M]", self._made[model])

    async def store(self, db: Writer, *rows: M) -> list[M]:
        """Insert the parents that wait, and then these rows; return them as the database has them.

        All of them or none. One statement each, and not COPY, which returns nothing and does not
        go past row-level security: a thousand rows take less than a second.
        """
        if isinstance(db, Database):
            async with db.transaction() as tx:
                return await self.store(tx, *rows)
        waiting = self.waiting.copy()
        self.waiting.clear()
        # A parent came to wait after its own parents, so all stand in the right order.
        for parent in waiting:
            await self(type(parent)).repository.create(db, parent)
        return [await self(type(row)).repository.create(db, row) for row in rows]


class Factory(Generic[M]):
    """Makes rows of one model that keep NOT NULL, keys, unique rules, lengths and plain ranges.

    A CHECK that says more is told by `shapes`: how a field's value follows from the running
    number, `{"email": lambda n: f"user{n}@example.com"}`. A module says its own once, as SHAPES
    in its samples.py, with the table in front: `{"users.email": …}`.
    """

    def __init__(
        self,
        model: type[M],
        factories: Factories | None = None,
        shapes: Mapping[str, Shape] | None = None,
    ) -> None:
        self.model = model
        # Kept, because a repository keeps its compiled statements.
        self.repository = Repository(model)
        self._factories = factories or Factories()
        self._mapper = mapper_of(model)
        self._table = cast("Table", self._mapper.local_table)
        self._random = random.Random(f"{self._factories.seed} {self._table.fullname}")
        self._number = self._factories.seed * NUMBERS_PER_SEED
        self._unique = unique_columns(self._table)
        self._shapes = {**_module_shapes(model, self._table), **(shapes or {})}
        self._attributes = {each.columns[0].name: each for each in self._mapper.column_attrs}
        # SQLAlchemy keeps them in a set, and the rows must be the same in every run.
        self._references = sorted(self._table.foreign_key_constraints, key=_name)
        self._parents: dict[str, tuple[int, Model]] = {}

    def make(self, **given: Any) -> M:
        """Return a new row, not stored, with `given` fields and valid ones for the rest.

        Parents that it needs and that were not given are made too, and wait in the factories until
        the next `create` or `store`.
        """
        self._number += 1
        fields = dict(given)
        for constraint in self._references:
            self._refer(constraint, fields)
        for column in self._table.columns:
            attribute = self._attributes.get(column.name)
            if attribute is None or attribute.key in fields or column.foreign_keys:
                continue
            shape = self._shapes.get(attribute.key) or known_shape(column)
            if shape is not None:
                fields[attribute.key] = shape(self._number)
            elif column.primary_key or _is_required(column):
                unique = column.name in self._unique
                fields[attribute.key] = value_of(
                    column, self._number, None if unique else self._random
                )
        return self.model(**fields)

    async def create(self, db: Writer, **given: Any) -> M:
        """Make a row and store it, its parents first; return it as the database has it."""
        (row,) = await self.create_many(db, 1, **given)
        return row

    async def create_many(self, db: Writer, count: int, **given: Any) -> list[M]:
        """Make and store many rows, all or none; return them as the database has them."""
        rows = [self.make(**given) for _ in range(count)]
        return await self._factories.store(db, *rows)

    def _refer(self, constraint: ForeignKeyConstraint, fields: dict[str, Any]) -> None:
        """Point a foreign key that must be set at a parent."""
        columns = [element.parent for element in constraint.elements]
        keys = [self._attributes[column.name].key for column in columns]
        if all(key in fields for key in keys) or not any(map(_is_required, columns)):
            return
        target = constraint.elements[0].column.table
        parent = self._parent(constraint, target)
        for key, element in zip(keys, constraint.elements, strict=True):
            attribute = mapper_of(type(parent)).get_property_by_column(element.column)
            fields.setdefault(key, getattr(parent, attribute.key))

    def _parent(self, constraint: ForeignKeyConstraint, target: Any) -> Model:
        name = _name(constraint)
        is_unique = any(element.parent.name in self._unique for element in constraint.elements)
        used, parent = self._parents.get(name, (CHILDREN_PER_PARENT, None))
        if parent is None or is_unique or used >= CHILDREN_PER_PARENT:
            parent = self._factories(_model_of(target)).make()
            self._factories.waiting.append(parent)
            used = 0
        self._parents[name] = (used + 1, parent)
        return parent


def _name(constraint: ForeignKeyConstraint) -> str:
    return ", ".join(constraint.column_keys)


def _is_required(column: Any) -> bool:
    return not (column.nullable or column.default is not None or column.server_default is not None)


def _model_of(table: Any) -> type[Model]:
    for mapper in Model.registry.mappers:
        if mapper.local_table is table:
            return cast("type[Model]", mapper.class_)
    raise UsageError(f"No model has the table {table}.", "Give the factory the key it refers to.")


def _module_shapes(model: type[Model], table: Table) -> dict[str, Shape]:
    """Return what the model's module says of its table's fields."""
    package = model.__module__.partition(".models")[0]
    if package == model.__module__ or importlib.util.find_spec(f"{package}.samples") is None:
        return {}
    shapes: Mapping[str, Callable[[int], Any]] = getattr(
        importlib.import_module(f"{package}.samples"), "SHAPES", {}
    )
    prefix = f"{table.name}."
    return {
        name.removeprefix(prefix): shape
        for name, shape in shapes.items()
        if name.startswith(prefix)
    }
