"""Every column type comes back as it went in: three ways in, four ways out, all of them equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from bedplate.kernel.database import Database
from bedplate.kernel.fields import assign
from bedplate.kernel.model import mapper_of
from tests.kernel.builders import new_product, products, specimens
from tests.kernel.wide import Wide, make_table, wides
from tests.shop import Kind, Product, Specimen
from tests.world import World

DAY = timedelta(days=1)
ZONE = timezone(timedelta(hours=5, minutes=45))
DOCUMENT = {
    "nested": {"list": [1, 2.5, None, True, {"deep": []}], "": "empty key"},
    "unicode": "Ünïcödé ☃ 𝄞 \u2028 \\ \" ' / \b\t\n",
    "big": 2**70,
    "bigger": -(10**40),
    "exact": 9007199254740993,
    "float": 0.1,
    "whole": 2.0,
    "small": 1.5e-30,
    "null": None,
}

SPECIMEN: dict[str, Sequence[Any]] = {
    "kind": list(Kind),
    "amount": [
        *map(Decimal, ("0.000000", "1.500000", "-1.000000", "0.000001", "-0.100000")),
        *map(Decimal, ("99999999999999.999999", "-99999999999999.999999", "NaN")),
    ],
    "token": [UUID(int=0), UUID(int=2**128 - 1), UUID("01980000-0000-7000-8000-000000000001")],
    "seen_at": [
        datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=ZONE),
        datetime(2024, 2, 29, 12, 0, 0, 120000, tzinfo=timezone(-timedelta(hours=11))),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
    "day": [date(1, 1, 1), date(1970, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "lasts": [
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(microseconds=-1),
        -3 * DAY + timedelta(microseconds=5),
        400 * DAY + timedelta(seconds=86_399, microseconds=999_999),
        -timedelta(days=40_000, seconds=1),
    ],
    "data": [DOCUMENT, [], {}, [None], 0, -1.5, True, False, "", "text", 2**64, [[[]]]],
    "content": [b"", b"\x00", bytes(range(256)), b"\\x00", b"'\"\\"],
    "ratio": [0.0, -0.0, 0.1, 1e308, 5e-324, -1.5, math.nan, math.inf, -math.inf],
    "flag": [True, False],
    "small": [0, -1, 2**31 - 1, -(2**31)],
    "large": [0, 2**53 + 1, 2**63 - 1, -(2**63)],
    "short": ["", "a", "0123456789", "ü" * 10, "null", "NULL"],
    "words": ["", " ", "x" * 10_000, "a\nb\tc\rd", "\\N", "\\", "☃𝄞", "\x01\x7f", "{}", "$1 %s :a"],
    "texts": [
        [],
        [None],
        ["", None, "NULL", "null"],
        ['a"b', "a,b", "{a}", "a\\b", " a ", "a'b", "☃", "\n"],
    ],
    "numbers": [[], [0], [1, None, -(2**31)]],
    "amounts": [[], [Decimal("1.50"), None, Decimal("-0.01"), Decimal("0.00")]],
    "tokens": [[], [UUID(int=1), None]],
}

WIDE: dict[str, Sequence[Any]] = {
    "exact": [
        *map(Decimal, ("1.50", "1.5", "0", "0.00", "-0.1", "1234567890123456789012345.678")),
        *map(Decimal, ("9999999999999999999999999999", "1" * 60 + ".25", "NaN", "0.0000000001")),
    ],
    "half": [0.5, -0.0, 16777216.0, math.nan, math.inf],
    "tiny": [0, 2**15 - 1, -(2**15)],
    "plain": [DOCUMENT, [], "text"],
    "naive": [datetime(1, 1, 1), datetime(2024, 3, 31, 2, 30, 0, 123456), datetime(9999, 12, 31)],
    "hour": [time(0), time(23, 59, 59, 999999)],
    "kinds": [[], [Kind.GOODS, None, Kind.GIFT_CARD]],
    "moments": [[], [datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None]],
    "spans": [[], [timedelta(days=-1, microseconds=3), None]],
    "grid": [[]],
}


def exact(value: Any) -> Any:
    """What tells two values apart where == does not: types, zeros, signs, NaN."""
    if isinstance(value, list):
        return [exact(one) for one in value]
    if isinstance(value, dict):
        return {key: exact(one) for key, one in value.items()}
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    return type(value), repr(value)


@pytest.mark.parametrize("name", SPECIMEN)
def test_a_value_comes_back_as_it_went_in(world: World, name: str) -> None:
    values = list(SPECIMEN[name])

    async def body(db: Database) -> None:
        product = await new_product(db)
        rows = [Specimen(product_id=product.id, **{name: value}) for value in values]
        created = [await specimens.create(db, row) for row in rows]
        assert [exact(getattr(row, name)) for row in created] == [exact(v) for v in values]
        for row in created:
            again = await specimens.update(
                db, row.id, assign(getattr(Specimen, name), getattr(row, name))
            )
            assert exact(getattr(again, name)) == exact(getattr(row, name))
        await _expect(db, product, name, values)
        many = await new_product(db, "many")
        rows = [Specimen(product_id=many.id, **{name: value}) for value in values]
        assert await specimens.create_many(db, rows) == len(values)
        await _expect(db, many, name, values)
        loaded = await new_product(db, "loaded")
        fields = (Specimen.product_id, getattr(Specimen, name))
        await specimens.load(db, fields, [(loaded.id, value) for value in values])
        await _expect(db, loaded, name, values)

    world.run(body(world.db))


async def _expect(db: Database, product: Product, name: str, values: list[Any]) -> None:
    """Read by every path: rows, tuples, a stream, and the lateral JSON of a relation."""
    field = getattr(Specimen, name)
    mine = Specimen.product_id == product.id
    wanted = [exact(value) for value in values]
    rows = await specimens.list(db, mine, order=(Specimen.id,))
    assert [exact(getattr(row, name)) for row in rows] == wanted
    tuples = await db.all(select(Specimen.id, field).where(mine).order_by(Specimen.id))
    assert [exact(row[1]) for row in tuples] == wanted
    streamed = [row async for row in specimens.stream(db, mine, order=(Specimen.id,))]
    assert [exact(getattr(row, name)) for row in streamed] == wanted
    parent = await products.get(db, product.id, include=(Product.specimens,))
    related = sorted(parent.specimens, key=lambda row: row.id)
    assert [exact(getattr(row, name)) for row in related] == wanted


def test_a_row_of_nothing_but_null_comes_back_as_none_by_every_path(world: World) -> None:
    async def body(db: Database) -> list[Specimen]:
        product = await new_product(db)
        made = await specimens.create(db, Specimen(product_id=product.id))
        await specimens.load(db, (Specimen.product_id,), [(product.id,)])
        parent = await products.get(db, product.id, include=(Product.specimens,))
        return [made, await specimens.get(db, made.id), *parent.specimens]

    for row in world.run(body(world.db)):
        for name in set(mapper_of(Specimen).column_attrs.keys()) - {"id", "product_id"}:
            assert getattr(row, name) is None, name


def test_rarer_types_come_back_too(world: World) -> None:
    make_table(world)
    for name, values in WIDE.items():
        world.run(_rare(world.db, name, list(values)))


async def _rare(db: Database, name: str, values: list[Any]) -> None:
    wanted = [exact(value) for value in values]
    parent = await wides.create(db, Wide())
    for value in values:
        await wides.create(db, Wide(parent_id=parent.id, **{name: value}))
    rows = await wides.list(db, Wide.parent_id == parent.id, order=(Wide.id,))
    assert [exact(getattr(row, name)) for row in rows] == wanted
    family = await wides.get(db, parent.id, include=(Wide.children,))
    related = sorted(family.children, key=lambda row: row.id)
    assert [exact(getattr(row, name)) for row in related] == wanted
    other = await wides.create(db, Wide())
    fields = (Wide.parent_id, getattr(Wide, name))
    await wides.load(db, fields, [(other.id, value) for value in values])
    rows = await wides.list(db, Wide.parent_id == other.id, order=(Wide.id,))
    assert [exact(getattr(row, name)) for row in rows] == wanted


def test_months_and_matrices_written_by_others_read_the_same_by_both_paths(world: World) -> None:
    make_table(world)

    async def body(db: Database) -> tuple[Wide, Wide]:
        parent = await wides.create(db, Wide())
        insert = text(
            "INSERT INTO wide.wides (id, parent_id, spans, grid) VALUES (gen_random_uuid(), "
            ":parent, ARRAY['1 mon -2 days 03:04:05.000006', '-1 years', NULL]::interval[], "
            "ARRAY[['a', NULL], ['\"', ',']])"
        )
        await db.run(insert, parent=parent.id)
        (plain,) = await wides.list(db, Wide.parent_id == parent.id)
        (related,) = (await wides.get(db, parent.id, include=(Wide.children,))).children
        return plain, related

    plain, related = world.run(body(world.db))
    assert plain.spans == related.spans
    assert plain.spans is not None
    # PostgreSQL's months are Python's 30 days: that is psycopg's rule, and the same on both paths.
    assert plain.spans[0] == timedelta(days=28, hours=3, minutes=4, seconds=5, microseconds=6)
    assert plain.grid == related.grid == [["a", None], ['"', ","]]
