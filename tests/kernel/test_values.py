"""Values on their way in: checked against their column's type before anything is sent."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Json, Jsonb
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    Double,
    Integer,
    Interval,
    LargeBinary,
    String,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeDecorator

from bedplate.kernel.bindings import Binding
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.errors import FieldInvalid, FloatRefused
from bedplate.kernel.types import document, enum_type, moment, money, user_key
from bedplate.kernel.values import converter, require_several


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Trimmed(TypeDecorator[str]):
    """A host's own type, which changes values."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value.strip()


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY = UUID(int=7)
DIALECT = BoundDialect()


def converted(type_: Any, value: Any, dialect: BoundDialect = DIALECT) -> Any:
    return converter(type_, dialect, "things.field")(value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Boolean(), True),
        (Integer(), -1),
        (BigInteger(), 2**40),
        (Double(), 1.5),
        (Double(), 2),
        (money(), Decimal("1.10")),
        (money(), 3),
        (String(10), "text"),
        (Text(), ""),
        (moment(), NOON),
        (Date(), date(2030, 1, 1)),
        (Time(), time(1, 2)),
        (Interval(), timedelta(1)),
        (LargeBinary(), b"x"),
        (LargeBinary(), bytearray(b"x")),
        (Uuid(), KEY),
        (user_key(), KEY),
        (ARRAY(Text), ["a", None]),
        (ARRAY(Integer), []),
    ],
)
def test_a_value_that_fits_is_sent_as_it_is(type_: Any, value: Any) -> None:
    assert converted(type_, value) == value
    assert type(converted(type_, value)) is type(value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Boolean(), 1),
        (Boolean(), "true"),
        (Integer(), True),
        (Integer(), 1.0),
        (Integer(), "1"),
        (BigInteger(), Decimal(1)),
        (Double(), True),
        (Double(), Decimal("1.5")),
        (money(), "1.10"),
        (money(), True),
        (String(10), 5),
        (String(10), b"x"),
        (Text(), KEY),
        (moment(), "2030-01-01"),
        (moment(), date(2030, 1, 1)),
        (moment(), datetime(2030, 1, 1)),
        (Date(), NOON),
        (Date(), "2030-01-01"),
        (Time(), NOON),
        (Interval(), 60),
        (LargeBinary(), "x"),
        (Uuid(), "zz"),
        (Uuid(), 7),
        (user_key(), "zz"),
        (ARRAY(Text), "text"),
        (ARRAY(Text), [1]),
        (ARRAY(Text), {"a"}),
        (enum_type(Size, "x"), "SMALL"),
        (enum_type(Size, "x"), "small"),
        (ARRAY(enum_type(Size, "x")), ["SMALL"]),
    ],
)
def test_a_value_of_another_type_is_refused_by_the_name_of_its_field(
    type_: Any, value: Any
) -> None:
    with pytest.raises(FieldInvalid, match=r"^things\.field takes ") as refused:
        converted(type_, value)
    assert refused.value.next_step
    assert "zz" not in str(refused.value)


@pytest.mark.parametrize("value", [1.5, float("nan"), 0.0])
def test_a_float_is_refused_where_money_is_counted(value: float) -> None:
    with pytest.raises(FloatRefused, match=r"Decimal built from text"):
        converted(money(), value)
    with pytest.raises(FloatRefused):
        converted(ARRAY(money()), [Decimal(1), value])


def test_a_float_would_not_have_been_exact() -> None:
    """Why floats are refused: 0.1 three times is not 0.3."""
    assert 0.1 + 0.1 + 0.1 != 0.3
    assert Decimal("0.1") * 3 == Decimal("0.3")


def test_an_enum_member_travels_by_its_name() -> None:
    assert converted(enum_type(Size, "x"), Size.SMALL) == "SMALL"
    assert converted(ARRAY(enum_type(Size, "x")), [Size.LARGE, None]) == ["LARGE", None]


def test_the_refusal_of_a_wrong_member_lists_the_right_ones() -> None:
    with pytest.raises(FieldInvalid, match="Pass one of SMALL, LARGE"):
        converted(enum_type(Size, "x"), "MEDIUM")


def test_a_uuid_may_be_given_as_text() -> None:
    assert converted(Uuid(), str(KEY)) == KEY
    assert converted(user_key(), str(KEY)) == KEY


@pytest.mark.parametrize(
    ("key_type", "fits", "wrong"), [("text", "u_1", KEY), ("bigint", 7, "7"), ("uuid", KEY, "u_1")]
)
def test_a_users_key_is_checked_as_the_project_binds_it(
    key_type: str, fits: Any, wrong: Any
) -> None:
    dialect = BoundDialect({"users": Binding("public.User", "_id", key_type)})
    assert converted(user_key(), fits, dialect) == fits
    with pytest.raises(FieldInvalid):
        converted(user_key(), wrong, dialect)


def test_documents_are_wrapped_for_their_column() -> None:
    assert isinstance(converted(document(), {"a": 1}), Jsonb)
    assert type(converted(JSON(), {"a": 1})) is Json


def test_a_hosts_own_type_converts_as_it_says() -> None:
    assert converted(Trimmed(), "  x ") == "x"


def test_several_values_are_a_collection_and_not_a_text() -> None:
    for good in ([], [1], (1,), {1}, {1: 2}.keys()):
        require_several(good, "ids")
    for bad in ("abc", b"abc", None, 5):
        with pytest.raises(FieldInvalid, match="ids takes a list of values"):
            require_several(bad, "ids")
