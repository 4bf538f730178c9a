"""Relations in the same statement: a lateral subquery per relation, decoded from one JSON text.

`json_agg(json_build_array(…))::text` is decoded by a msgspec decoder that is built once from the
column types, which is faster than the driver's own JSON loading, and never one query per row. What
JSON cannot carry exactly (intervals, bytes, floats such as NaN) travels as PostgreSQL's own text
and is read by psycopg's own loader, so both row paths give equal values.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import Format
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    inspect,
    literal_column,
    select,
    types,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapper, aliased
from sqlalchemy.types import TypeEngine

from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.errors import FieldUnknown, UsageError
from bedplate.kernel.model import Model
from bedplate.kernel.rows import Make, Process, composed, instance_maker, relation_setter
from bedplate.kernel.types import is_array, is_decorator

RELATED_ROWS_MAX = 1_000
"""How many rows of one to-many relation are read per parent unless the include says otherwise."""

Relation = InstrumentedAttribute[Model | None] | InstrumentedAttribute[Collection[Model]]
"""A relation as type checkers see it: what yields rows, never a plain field."""


@dataclass(frozen=True, slots=True, eq=False)
class Include:
    """One relation to read along: which rows, in which order, how many per parent, with what.

    Two that say the same are equal, so one written on the spot finds the plan made before.
    """

    relation: Relation
    where: tuple[ColumnElement[bool], ...] = ()
    order: tuple[ColumnElement[Any] | InstrumentedAttribute[Any], ...] = ()
    limit: int = RELATED_ROWS_MAX
    include: tuple[Include | Relation, ...] = ()
    _said: Any = field(init=False, repr=False, default=None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Include) and self._saying() == other._saying()

    def __hash__(self) -> int:
        return hash(self._saying())

    def _saying(self) -> Any:
        """Return all that is said, in a form that compares by what it means."""
        if self._said is None:
            relations = tuple(_named(one) for one in (self.relation, *self.include))
            terms = tuple(tuple(_written(one) for one in part) for part in (self.where, self.order))
            object.__setattr__(self, "_said", (relations, terms, self.limit))
        return self._said


Included = Include | Relation
"""A relation to read along, plain or with its conditions."""


@dataclass(frozen=True, slots=True)
class Lateral:
    """The expression that carries a relation, and how its text becomes instances."""

    column: ColumnElement[Any]
    key: str
    make: Make


def lateral(parent: Any, wanted: Included, dialect: BoundDialect) -> Lateral:
    """Return the column to add to a select of `parent` (a model or alias) for one relation."""
    node = _node(parent, wanted, dialect)
    decode = msgspec.json.Decoder(node.type).decode

    def make(text: Any) -> Any:
        decoded: Any = None if text is None else decode(text)
        return node.make(decoded)

    return Lateral(cast(node.column, Text), node.key, make)


@dataclass(frozen=True, slots=True)
class _Node:
    column: ColumnElement[Any]
    key: str
    type: Any
    make: Make


def _node(parent: Any, wanted: Included, dialect: BoundDialect) -> _Node:
    spec = wanted if isinstance(wanted, Include) else Include(wanted)
    named: Any = spec.relation
    relation: Any = named.property
    if not hasattr(relation, "mapper"):
        raise FieldUnknown(f"{spec.relation} is not a relation.", "Include relations only.")
    owner: Mapper[Any] = inspect(parent).mapper
    if not owner.isa(relation.parent):
        raise FieldUnknown(
            f"{spec.relation} is not a relation of {owner.class_.__name__}.",
            "Include it within an Include of the relation that leads there.",
        )
    many = bool(relation.uselist)
    mapper: Mapper[Any] = relation.mapper
    target: Any = aliased(mapper.class_)
    attribute = getattr(parent, relation.key)
    inner = select().where(attribute.of_type(target).__clause_element__())
    inner = _narrowed(inner, spec, target)
    attributes = bound_attributes(mapper, dialect)
    carriers = [carrier(getattr(target, key), dialect) for key in attributes]
    children = [_node(target, child, dialect) for child in spec.include]
    columns = [column.expression for column in carriers] + [child.column for child in children]
    rows = (
        inner.add_columns(*(column.label(f"c{index}") for index, column in enumerate(columns)))
        # Written out, not a parameter: a plan made once for every limit ignores the right index.
        .limit(literal_column(str(int(spec.limit)) if many else "1"))
        .correlate(inspect(parent).selectable)
        .subquery()
    )
    array: ColumnElement[Any] = func.json_build_array(*rows.c)
    column = select(func.json_agg(array) if many else array).select_from(rows).scalar_subquery()
    types_of_row = (*(c.type for c in carriers), *(c.type for c in children))
    row: Any = tuple.__class_getitem__(types_of_row)
    make_row = _row_maker(mapper, attributes, carriers, children)

    def make_many(decoded: Any) -> Any:
        return [] if decoded is None else [make_row(values) for values in decoded]

    def make_one(decoded: Any) -> Any:
        return None if decoded is None else make_row(decoded)

    wrapped: Any = list[row] | None if many else row | None
    return _Node(column, relation.key, wrapped, make_many if many else make_one)


def _row_maker(
    mapper: Mapper[Any], keys: Sequence[str], carriers: Sequence[Carrier], children: Sequence[_Node]
) -> Make:
    processes = [
        (key, item.process) for key, item in zip(keys, carriers, strict=True) if item.process
    ]
    entity = instance_maker(mapper, keys, processes)
    if not children:
        return entity
    parts = [(len(keys), entity), *((1, child.make) for child in children)]
    return composed(parts, [relation_setter(mapper, child.key) for child in children])


def _narrowed(inner: Select[Any], spec: Include, target: Any) -> Select[Any]:
    """Apply the include's own conditions, said of the model, to the alias that is read."""
    if spec.limit < 1:
        raise UsageError("An include's limit is at least 1.", "Leave the relation out instead.")
    adapt = inspect(target)._adapt_element
    for condition in spec.where:
        inner = inner.where(adapt(condition))
    return inner.order_by(*(adapt(_clause(term)) for term in spec.order))


def _named(relation: Any) -> Any:
    return relation if isinstance(relation, Include) else (relation.parent, relation.key)


def _written(term: Any) -> Any:
    """Return a condition's form and its values: SQLAlchemy compares neither by ==."""
    cache_key = _clause(term)._generate_cache_key()
    if cache_key is None:
        return id(term)
    values = [bind.effective_value for bind in cache_key.bindparams]
    return cache_key.key, tuple(v if isinstance(v, Hashable) else repr(v) for v in values)


def _clause(term: Any) -> Any:
    return term.__clause_element__() if hasattr(term, "__clause_element__") else term


def bound_attributes(mapper: Mapper[Any], dialect: BoundDialect) -> tuple[str, ...]:
    """Return the names of the fields that have a column in the project's binding."""
    binding = dialect.binding_of(mapper.local_table)
    return tuple(
        attribute.key
        for attribute in mapper.column_attrs
        if binding is None or binding.column(attribute.columns[0].name) is not None
    )


@dataclass(frozen=True, slots=True)
class Carrier:
    """How one column travels inside JSON."""

    expression: ColumnElement[Any]
    type: Any
    process: Process | None


_NATIVE: tuple[tuple[type[TypeEngine[Any]], Any], ...] = (
    (types.Uuid, UUID),
    (types.Enum, str),
    (types.String, str),
    (types.Boolean, bool),
    (types.Integer, int),
    (types.Date, date),
    (types.JSON, Any),
)


def carrier(attribute: Any, dialect: BoundDialect) -> Carrier:
    """Choose how a column travels: as JSON where that is exact, else as PostgreSQL's text."""
    type_: TypeEngine[Any] = attribute.type
    decorated: Any = type_
    implementation = decorated.load_dialect_impl(dialect) if is_decorator(type_) else type_
    process = result_process(type_, dialect)
    native = _native(implementation)
    if native is None:
        return Carrier(
            cast(attribute, Text), str | None, _from_text(implementation, dialect, process)
        )
    return Carrier(attribute, native | None if native is not Any else Any, process)


def _native(type_: Any) -> Any:
    if is_array(type_):
        item = None if type_.dimensions not in (None, 1) else _native(type_.item_type)
        return None if item is None or item is Any else list.__class_getitem__(item | None)
    if isinstance(type_, types.Float):
        return None
    if isinstance(type_, types.Numeric):
        return Decimal
    if isinstance(type_, types.DateTime):
        return datetime if type_.timezone else None
    return next((python for kind, python in _NATIVE if isinstance(type_, kind)), None)


_FLOAT_OID = 701
_NUMERIC_OID = 1700


def result_process(type_: TypeEngine[Any], dialect: BoundDialect) -> Process | None:
    """Return what a value of `type_` still needs after the driver, or None."""
    # SQLAlchemy tells decimals from floats by the driver's type, which a plan does not know yet:
    # the declared type stands for it.
    declared: Any = type_
    while is_array(declared) or is_decorator(declared):
        declared = declared.item_type if is_array(declared) else declared.load_dialect_impl(dialect)
    driver_type = _FLOAT_OID if isinstance(declared, types.Float) else _NUMERIC_OID
    return type_.dialect_impl(dialect).result_processor(dialect, driver_type)


def _from_text(type_: TypeEngine[Any], dialect: BoundDialect, process: Process | None) -> Process:
    name = dialect.type_compiler_instance.process(type_).lower().split("(")[0]
    is_array = name.endswith("[]")
    info = psycopg.adapters.types.get(name.removesuffix("[]").strip())
    if info is None:
        raise UsageError(f"A relation cannot carry the column type {name}.", "Query it apart.")
    load = Transformer().get_loader(info.array_oid if is_array else info.oid, Format.TEXT).load

    def read(text: Any) -> Any:
        value = None if text is None else load(text.encode())
        return value if process is None else process(value)

    return read
