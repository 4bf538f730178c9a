"""Typed words for conditions and changes, where SQLAlchemy's operators take Any.

`User.email == 5` passes every type checker; `equal(User.email, 5)` passes none. Changes are said
with `assign`, so that a misspelt field or a value of the wrong type is an error before it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

T = TypeVar("T")

Condition = ColumnElement[bool]
"""What a row must fulfil."""

Term = InstrumentedAttribute[Any] | ColumnElement[Any]
"""One term of an order: `User.created_at.desc()`, or a field for ascending."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """One field and its new value (or the SQL expression that computes it)."""

    field: InstrumentedAttribute[Any]
    value: Any


def assign(field: InstrumentedAttribute[T], value: T | ColumnElement[T]) -> Assignment:
    """Say that `field` becomes `value`; the checker compares their types."""
    return Assignment(field, value)


def equal(field: InstrumentedAttribute[T], value: T) -> Condition:
    """Say that `field` equals `value` (IS NULL for None); the checker compares their types."""
    return field.is_(None) if value is None else field == value
