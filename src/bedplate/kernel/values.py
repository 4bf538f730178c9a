"""Python values on their way to the driver: checked against their column's type, then converted.

The database would refuse most wrong values too, but not all of them (an int becomes text without a
word), and never with the field's name before anything was sent.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from psycopg.types.json import Json, Jsonb
from sqlalchemy import Dialect, types
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from bedplate.kernel.errors import FieldInvalid, FloatRefused
from bedplate.kernel.types import is_array, is_decorator

Convert = Callable[[Any], Any]
"""From a Python value, never None, to what psycopg is given."""


def converter(type_: Any, dialect: Dialect, place: str) -> Convert:
    """Return the check and conversion for values of `type_` that stand at `place`.

    Raises FieldInvalid (FloatRefused for money) when called with a value that does not fit.
    """
    if is_decorator(type_) and not _decorates(type_):
        return converter(type_.load_dialect_impl(dialect), dialect, place)
    if is_array(type_):
        return _array(converter(type_.item_type, dialect, place), place)
    if isinstance(type_, types.Enum) and type_.enum_class is not None:
        return _member(type_.enum_class, place)
    if isinstance(type_, types.JSON):
        return Jsonb if isinstance(type_, JSONB) else Json
    if isinstance(type_, types.Numeric) and not isinstance(type_, types.Float):
        return _number(place)
    if isinstance(type_, types.DateTime):
        return _moment(type_.timezone, place)
    if isinstance(type_, types.Uuid):
        return _uuid(place)
    for kind, accepted, refused in _PLAIN:
        if isinstance(type_, kind):
            return _instance(accepted, refused, place)
    processor = type_.dialect_impl(dialect).bind_processor(dialect)
    return processor if processor is not None else _unchanged


_PLAIN: tuple[tuple[type[Any], tuple[type[Any], ...], tuple[type[Any], ...]], ...] = (
    (types.Boolean, (bool,), ()),
    (types.Integer, (int,), (bool,)),
    (types.Float, (float, int), (bool,)),
    (types.Interval, (timedelta,), ()),
    (types.Date, (date,), (datetime,)),
    (types.Time, (time,), ()),
    (types.LargeBinary, (bytes, bytearray, memoryview), ()),
    (types.String, (str,), ()),
)


def array_text(items: Iterable[str | None]) -> str:
    """Return an array of any type as PostgreSQL reads it from text, given its items' text.

    For thousands of items: the driver asks each of them what it is.
    """
    return "{" + ",".join(["NULL" if item is None else _quoted(item) for item in items]) + "}"


def _quoted(item: str) -> str:
    escaped = item.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def require_several(value: object, place: str) -> None:
    """Refuse what is not several values, a string above all; raises FieldInvalid."""
    if not isinstance(value, Collection) or isinstance(value, (str, bytes)):
        raise _wrong(place, value, "a list of values")


def _decorates(type_: Any) -> bool:
    """Tell whether a decorator changes values, or only chooses a type."""
    plain: Any = TypeDecorator
    mine: Any = cast(Any, type(type_))
    changed: bool = mine.process_bind_param is not plain.process_bind_param
    return changed


def _wrong(place: str, value: object, wanted: str) -> FieldInvalid:
    return FieldInvalid(f"{place} takes {wanted}, not {type(value).__name__}.", "Pass one.")


def _unchanged(value: Any) -> Any:
    return value


def _instance(
    accepted: tuple[type[Any], ...], refused: tuple[type[Any], ...], place: str
) -> Convert:
    def check(value: Any) -> Any:
        if not isinstance(value, accepted) or (refused and isinstance(value, refused)):
            raise _wrong(place, value, accepted[0].__name__)
        return value

    return check


def _uuid(place: str) -> Convert:
    def check(value: Any) -> Any:
        if isinstance(value, UUID):
            return value
        try:
            return UUID(value)
        except (ValueError, TypeError, AttributeError):
            raise _wrong(place, value, "a UUID") from None

    return check


def _number(place: str) -> Convert:
    def check(value: Any) -> Any:
        if isinstance(value, float):
            raise FloatRefused(f"{place} takes Decimal, not float.")
        if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
            raise _wrong(place, value, "Decimal")
        return value

    return check


def _moment(aware: bool, place: str) -> Convert:
    def check(value: Any) -> Any:
        if not isinstance(value, datetime):
            raise _wrong(place, value, "datetime")
        if aware and value.tzinfo is None:
            raise FieldInvalid(
                f"{place} takes a datetime with a time zone.",
                "Use bedplate's clock, or tzinfo=UTC.",
            )
        return value

    return check


def _member(members: type[enum.Enum], place: str) -> Convert:
    names = {member: member.name for member in members}

    def check(value: Any) -> Any:
        name = names.get(value)
        if name is None:
            raise FieldInvalid(
                f"{place} takes a {members.__name__}, not {type(value).__name__}.",
                f"Pass one of {', '.join(names.values())}.",
            )
        return name

    return check


def _array(item: Convert, place: str) -> Convert:
    def check(value: Any) -> Any:
        if not _is_list(value):
            raise _wrong(place, value, "a list")
        return [None if one is None else item(one) for one in value]

    return check


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))
