"""Values for the factories: one for each column type, unique where asked, within plain ranges."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Table, UniqueConstraint, types
from sqlalchemy.types import TypeDecorator

from bedplate.kernel.errors import UsageError

Shape = Callable[[int], Any]
"""A field's value, from the row's running number."""

NUMBERS_PER_SEED = 1_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)
SPREAD = 100
"""How many different values a number without any rule takes, from its least on."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SHAPES: dict[str, Shape] = {"email": lambda number: f"user{number}@example.com"}
_BOUND = re.compile(r"\b(\w+) *(>=|<=|>|<) *(-?\d+(?:\.\d+)?)\b")
_BETWEEN = re.compile(r"\b(\w+) +BETWEEN +(-?\d+(?:\.\d+)?) +AND +(-?\d+(?:\.\d+)?)\b", re.I)


def known_shape(column: Column[Any]) -> Shape | None:
    """Return the shape that everybody expects of a column of this name, or None."""
    return _SHAPES.get(column.name) if isinstance(column.type, types.String) else None


def unique_columns(table: Table) -> frozenset[str]:
    """Return the columns that stand in any unique rule, expressions such as lower(x) included."""
    rules = [
        [column.name for column in constraint.columns]
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    for index in table.indexes:
        if index.unique:
            words = {word for each in index.expressions for word in re.findall(r"\w+", str(each))}
            rules.append([column.name for column in table.columns if column.name in words])
    found = {column.name for column in table.columns if column.unique or column.primary_key}
    referring = {column.name for column in table.columns if column.foreign_keys}
    for rule in rules:
        # One new value makes the whole rule's values new; a new parent is made only if it must be.
        own = [name for name in rule if name not in referring]
        found.update(own or rule)
    return frozenset(found)


def value_of(column: Column[Any], number: int, chance: random.Random | None) -> Any:
    """Return a value the column takes; without `chance` one that no other number gives.

    Raises UsageError for a type it does not know.
    """
    type_: Any = column.type.impl if isinstance(column.type, TypeDecorator) else column.type
    return _value(column, type_, number, chance)


def _value(column: Column[Any], type_: Any, number: int, chance: random.Random | None) -> Any:
    if isinstance(type_, types.ARRAY):
        return [_value(column, cast("Any", type_).item_type, number, chance)]
    if isinstance(type_, types.Enum):
        members = list(type_.enum_class or type_.enums)
        return members[number % len(members)]
    if isinstance(type_, types.Integer):
        return _whole(column, number, chance)
    if isinstance(type_, types.Numeric) and not isinstance(type_, types.Float):
        return _decimal(column, type_, number, chance)
    for kind, make in _MAKERS:
        if isinstance(type_, kind):
            return make(column, type_, number)
    raise UsageError(
        f"A factory knows no value for {column} ({type_}).",
        f"Give the field, or Factory(…, shapes={{{column.name!r}: lambda n: …}}).",
    )


def _whole(column: Column[Any], number: int, chance: random.Random | None) -> int:
    if chance is None:
        return number
    least, most = _range(column)
    return chance.randint(int(least), int(min(most, least + SPREAD - 1)))


def _decimal(column: Column[Any], type_: Any, number: int, chance: random.Random | None) -> Decimal:
    scale = type_.scale or 0
    smallest = Decimal(1).scaleb(-scale)
    if chance is None:
        return number * smallest
    least, most = _range(column)
    if type_.precision is not None:
        most = min(most, Decimal(10) ** (type_.precision - scale) - smallest)
    least = min(least, most)
    steps = int((min(most, least + SPREAD - 1) - least) / smallest)
    return least + chance.randint(0, steps) * smallest


def _range(column: Column[Any]) -> tuple[Decimal, Decimal]:
    """Return the least and the greatest value, as far as plain CHECKs say; from 1 by default."""
    least, most = Decimal(1), Decimal(2**15 - 1)
    for constraint in column.table.constraints:
        if not isinstance(constraint, CheckConstraint):
            continue
        text = str(constraint.sqltext)
        for name, low, high in _BETWEEN.findall(text):
            if name == column.name:
                least, most = max(least, Decimal(low)), min(most, Decimal(high))
        for name, sign, bound in _BOUND.findall(text):
            if name != column.name:
                continue
            step = Decimal(0) if "=" in sign else Decimal(1)
            if sign.startswith(">"):
                least = max(least, Decimal(bound) + step)
            else:
                most = min(most, Decimal(bound) - step)
    return min(least, most), most


def _text(column: Column[Any], type_: Any, number: int) -> str:
    name = f"{column.name} {number}"
    if type_.length is None or len(name) <= type_.length:
        return name
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.rjust(type_.length, "0")[-type_.length :]


def _moment(column: Column[Any], type_: Any, number: int) -> datetime:
    # A later column is a later moment: what starts and ends is mostly declared in that order.
    position = list(column.table.columns).index(column)
    moment = START + timedelta(minutes=number, hours=position)
    return moment if type_.timezone else moment.replace(tzinfo=None)


def _uuid(column: Column[Any], type_: Any, number: int) -> UUID:
    """Return a UUIDv7: rising with the number, and its own for each column."""
    chance = random.Random(f"{column} {number}").getrandbits(74)
    milliseconds = int(START.timestamp() * 1000) + number
    low = chance & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | low)


Maker = Callable[[Column[Any], Any, int], Any]
_MAKERS: tuple[tuple[type[Any], Maker], ...] = (
    (types.String, _text),
    (types.Uuid, _uuid),
    (types.DateTime, _moment),
    (types.Date, lambda column, type_, number: date(2026, 1, 1) + timedelta(days=number % 3650)),
    (types.Time, lambda column, type_, number: time(number % 24, number // 24 % 60)),
    (types.Interval, lambda column, type_, number: timedelta(seconds=number)),
    (types.Boolean, lambda column, type_, number: number % 2 == 0),
    (types.Float, lambda column, type_, number: float(number)),
    (types.LargeBinary, lambda column, type_, number: number.to_bytes(8)),
    (types.JSON, lambda column, type_, number: {"number": number}),
)
