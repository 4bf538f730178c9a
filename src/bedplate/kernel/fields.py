"""Typed words for conditions and changes, where SQLAlchemy's operators take Any.

`User.email == 5` passes every type checker; `equal(User.email, 5)` passes none. Changes are said
with `assign`, so that a misspelt field or a value of the wrong type is an error before it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression
from sqlalchemy.orm import InstrumentedAttribute, PropComparator

T = TypeVar("T")

RowKey = UUID | str | int
"""The value of a primary key: a UUID here, what the host uses in an adopted table."""


class Field(Protocol[T]):
    """A model's field as type checkers are to see it: of exactly one type.

    `InstrumentedAttribute[str]` passes for `InstrumentedAttribute[object]`, so a checker would
    widen any field until the value fits. The type of a member that can be set is never widened.
    """

    comparator: PropComparator[T]


Condition = ColumnElement[bool]
"""What a row must fulfil."""

Term = InstrumentedAttribute[Any] | ColumnElement[Any]
"""One term of an order: `User.created_at.desc()`, or a field for ascending."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """One field and its new value (or the SQL expression that computes it)."""

    field: InstrumentedAttribute[Any]
    value: Any


def assign(field: Field[T], value: T | SQLColumnExpression[Any]) -> Assignment:
    """Say that `field` becomes `value`; the checker compares their types.

    A SQL expression is accepted as it is: `assign(User.name, func.initcap(User.name))`.
    """
    return Assignment(_attribute(field), value)


def equal(field: Field[T], value: T) -> Condition:
    """Say that `field` equals `value` (IS NULL for None); the checker compares their types."""
    attribute = _attribute(field)
    return attribute.is_(None) if value is None else attribute == value


def _attribute(field: Field[Any]) -> InstrumentedAttribute[Any]:
    return cast("InstrumentedAttribute[Any]", field)
