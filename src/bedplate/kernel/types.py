"""The column types Bedplate adds to SQLAlchemy's own.

Each keeps a promise of the schema rules: money is never a float, a moment is never naive, and a
user's key has the type that the project's users table has.
"""

from __future__ import annotations

import enum
import re
from typing import Any

from sqlalchemy import ARRAY, BigInteger, DateTime, Dialect, Enum, Interval, Numeric, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

KEY_TYPES: dict[str, type[TypeEngine[Any]]] = {"uuid": Uuid, "text": Text, "bigint": BigInteger}
"""What an adopted table's key may be, by the name used in `bedplate.toml`."""


def money(precision: int = 12, scale: int = 2) -> Numeric[Any]:
    """Return numeric(precision, scale): exact decimals; a float is refused at the boundary."""
    return Numeric(precision, scale, asdecimal=True)


def moment() -> DateTime:
    """Return timestamptz, microseconds kept; a datetime without a zone is refused."""
    return DateTime(timezone=True)


def document() -> JSONB:
    """Return jsonb in which Python's None is SQL's NULL, never JSON's null."""
    return JSONB(none_as_null=True)


def enum_type(members: type[enum.Enum], schema: str) -> Enum:
    """Return the PostgreSQL enum `schema.snake_case_name` that stores the members' names."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", members.__name__).lower()
    return Enum(members, name=name, schema=schema, create_type=False, validate_strings=True)


def is_array(type_: object) -> bool:
    """Tell whether a column type is an array."""
    return isinstance(type_, ARRAY)


def is_decorator(type_: object) -> bool:
    """Tell whether a column type chooses or changes another one."""
    # SQLAlchemy's Interval is one for the sake of databases that have no intervals.
    return isinstance(type_, TypeDecorator) and not isinstance(type_, Interval)


class TransactionNumber(UserDefinedType[int]):
    """xid8: which transaction wrote a row; it never comes again in one database."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return PostgreSQL's name of the type."""
        return "xid8"

    # The driver has no Python type for it: text goes both ways.
    def bind_processor(self, dialect: Dialect) -> Any:
        """Return what turns the number into what is sent."""
        return str

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return what turns the text into the number."""
        return int


class BoundKey(TypeDecorator[Any]):
    """The key type of a table that a project may adopt: uuid unless the binding says otherwise.

    The type is chosen per dialect, and every project has a dialect of its own, so one model serves
    projects whose users have uuid, text or bigint keys.
    """

    impl = Uuid
    cache_ok = True

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table = table

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the key type that the dialect's project has bound."""
        binding = getattr(dialect, "bindings", {}).get(self.table)
        return dialect.type_descriptor(KEY_TYPES[binding.key_type if binding else "uuid"]())

    @property
    def python_type(self) -> type[Any]:
        """The type of an unbound key; a bound one is known only to its dialect."""
        return object


def user_key() -> BoundKey:
    """Return the type of a column that holds a user's id."""
    return BoundKey("users")
