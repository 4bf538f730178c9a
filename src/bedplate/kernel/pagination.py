"""Keyset pages: as fast at the end of a table as at its start, and stable under inserts.

A page is found by the values of the row it follows, never by counting rows. The cursor holds those
values and a seal over them, the filter and the order. The seal is no secret: whoever forges one
merely starts elsewhere within the filter the server applies anyway. It is there so that a cursor
that was damaged, or used with another filter, is refused rather than answered wrongly.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, and_, false, or_, tuple_
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression

from bedplate.kernel.errors import CursorInvalid, LimitExceeded, UsageError
from bedplate.kernel.fields import Term

T = TypeVar("T")

PAGE_SIZE = 20
"""Rows of a page unless the caller says otherwise."""

PAGE_SIZE_MAX = 1_000
"""Rows of the largest page."""

_SEAL_BYTES = 9


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows in order, and cursors to the pages around them (None where there is none)."""

    items: list[T]
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page starts: after (or before) the row with these values of the order's terms."""

    values: tuple[Any, ...]
    backward: bool


@dataclass(frozen=True, slots=True)
class Key:
    """One term of an order, taken apart: the field, its direction and where NULLs stand."""

    name: str
    column: Any
    descending: bool
    nullable: bool

    def ordered(self, backward: bool) -> Any:
        """Return the term as ORDER BY wants it; NULLs always end an ascending order."""
        return self.column.desc() if self.descending != backward else self.column.asc()

    def beyond(self, mark: Any, backward: bool) -> ColumnElement[bool]:
        """Say that the field stands after a mark in this order; None marks a NULL."""
        if self.descending != backward:
            before: ColumnElement[bool] = (
                self.column.is_not(None) if mark is None else self.column < mark
            )
            return before
        if mark is None:
            return false()
        after: ColumnElement[bool] = self.column > mark
        return or_(after, self.column.is_(None)) if self.nullable else after

    def at(self, mark: Any) -> ColumnElement[bool]:
        """Say that the field is at a mark, NULL included."""
        same: ColumnElement[bool] = self.column.is_(None) if mark is None else self.column == mark
        return same


def keys_of(order: Sequence[Term], primary: Sequence[Any]) -> tuple[Key, ...]:
    """Take an order apart and make it total by adding the primary key, in the first's direction."""
    table = primary[0].property.columns[0].table
    keys = [_key(term, table) for term in order]
    descending = keys[0].descending if keys else False
    named = {key.name for key in keys}
    keys += [
        Key(field.key, field, descending, False) for field in primary if field.key not in named
    ]
    return tuple(keys)


def _key(term: Any, table: Any) -> Key:
    descending = False
    if isinstance(term, UnaryExpression):
        if term.modifier not in (operators.asc_op, operators.desc_op):
            raise UsageError(
                "A page's order takes fields, ascending or descending.",
                "NULLs stand last ascending and first descending; leave nulls_first() out.",
            )
        descending = term.modifier is operators.desc_op
        term = term.element
    name = getattr(term, "key", None)
    table_column: Any = getattr(term, "__clause_element__", lambda: term)()
    owner = getattr(table_column, "table", None)
    if not isinstance(name, str) or getattr(owner, "fullname", None) != table.fullname:
        raise UsageError("A page's order takes fields of the model.", "Order by plain fields.")
    return Key(name, term, descending, bool(getattr(table_column, "nullable", True)))


def after(keys: Sequence[Key], marks: Sequence[Any], *, backward: bool) -> ColumnElement[bool]:
    """Return the condition for the rows beyond a position, in a form an index can follow.

    `marks` are parameters that will hold the position's values, or None where one is NULL.
    """
    down = {key.descending for key in keys}
    if len(down) == 1 and not any(key.nullable for key in keys):
        row: Any = tuple_(*(key.column for key in keys))
        mark: Any = tuple_(*marks)
        beyond: ColumnElement[bool] = row < mark if keys[0].descending != backward else row > mark
        return beyond
    steps: list[ColumnElement[bool]] = []
    for index, key in enumerate(keys):
        same = [k.at(m) for k, m in zip(keys[:index], marks[:index], strict=True)]
        steps.append(and_(*same, key.beyond(marks[index], backward)))
    first = or_(keys[0].beyond(marks[0], backward), keys[0].at(marks[0]))
    return and_(first, or_(*steps))


def check_size(size: int) -> None:
    """Refuse a page that is empty or too large."""
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise LimitExceeded(
            f"A page of {size} rows is out of range.", f"Ask for 1 to {PAGE_SIZE_MAX} rows."
        )


def written(statement: Any) -> tuple[bytes, list[Any]]:
    """Return a statement's SQL, the same in every process, and the values it carries."""
    compiled = statement.compile()
    return str(compiled).encode(), sorted(compiled.params.items())


def fingerprint(text: bytes, values: Sequence[Any], keys: Sequence[Key], *, deleted: bool) -> bytes:
    """Return what a cursor is bound to: the filter as written, its values, and the order."""
    digest = hashlib.blake2b(text, digest_size=16)
    digest.update(repr(values).encode())
    digest.update(repr((deleted, [(key.name, key.descending) for key in keys])).encode())
    return digest.digest()


def encode(position: Position, bound_to: bytes) -> str:
    """Return the cursor of a position: opaque text, safe in a URL."""
    body = msgspec.json.encode([position.backward, *map(_sent, position.values)])
    return _text(_seal(body, bound_to) + body)


def decode(cursor: str, keys: Sequence[Key], bound_to: bytes) -> Position:
    """Return the position of a cursor; raises CursorInvalid when it is not one of this query's."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        seal, body = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
        # Base64 has several spellings of some bytes; a cursor has only the one it was given.
        if seal != _seal(body, bound_to) or cursor != _text(raw):
            raise ValueError("seal")
        backward, *values = msgspec.json.decode(body)
        converted = [_value(key, value) for key, value in zip(keys, values, strict=True)]
    except (ValueError, TypeError, AttributeError, KeyError, binascii.Error, msgspec.MsgspecError):
        raise CursorInvalid(
            "The page cursor is damaged, or belongs to another query, filter or order."
        ) from None
    return Position(tuple(converted), bool(backward))


def page_of(
    rows: list[T], size: int, position: Position | None, keys: Sequence[Key], bound_to: bytes
) -> Page[T]:
    """Make the page of the rows found from a position on, which may be one more than its size."""
    backward = position is not None and position.backward
    more, rows = len(rows) > size, rows[:size]
    if backward:
        rows.reverse()

    def cursor(row: T, *, to_earlier: bool) -> str:
        values = tuple(getattr(row, key.name) for key in keys)
        return encode(Position(values, to_earlier), bound_to)

    has_next = bool(rows) and (more or backward)
    has_previous = bool(rows) and (more if backward else position is not None)
    return Page(
        rows,
        cursor(rows[-1], to_earlier=False) if has_next else None,
        cursor(rows[0], to_earlier=True) if has_previous else None,
    )


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _sent(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    # JSON has no NaN and no infinity; as null they would stand where NULL does.
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _value(key: Key, value: Any) -> Any:
    if value is None:
        return None
    type_: Any = key.column.type
    members = getattr(type_, "enum_class", None)
    if members is not None:
        return members[value]
    return msgspec.convert(value, type_.python_type, strict=False)


def _seal(body: bytes, bound_to: bytes) -> bytes:
    return hashlib.blake2b(body, key=bound_to, digest_size=_SEAL_BYTES).digest()
