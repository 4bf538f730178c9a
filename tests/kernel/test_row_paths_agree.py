"""Whatever a row holds, the plain path and the lateral one give equal instances."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bedplate.kernel.database import Database
from bedplate.kernel.model import mapper_of
from tests.kernel.builders import new_product, products, specimens
from tests.kernel.test_row_paths import exact
from tests.shop import Kind, Product, Specimen
from tests.world import World

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
INT32 = st.integers(-(2**31), 2**31 - 1)
# A date has no business beyond what Python can say; PostgreSQL's own range is wider.
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.datetimes(
    datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()
)
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(-1e6, 1e6).map(lambda number: round(number, 6) + 0.0)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def decimals(places: int, largest: int) -> st.SearchStrategy[Any]:
    return st.decimals(-largest, largest, places=places, allow_nan=False)


def arrays(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items | st.none(), max_size=4)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from(Kind),
    "amount": decimals(6, 10**13),
    "token": st.uuids(),
    "seen_at": MOMENTS,
    "day": st.dates(),
    "lasts": st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6)),
    "data": DOCUMENTS.filter(lambda document: document is not None),
    "content": st.binary(max_size=40),
    "ratio": st.floats(allow_subnormal=True),
    "flag": st.booleans(),
    "small": INT32,
    "large": st.integers(-(2**63), 2**63 - 1),
    "short": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10),
    "words": TEXT,
    "texts": arrays(TEXT),
    "numbers": arrays(INT32),
    "amounts": arrays(decimals(2, 10**9)),
    "tokens": arrays(st.uuids()),
}
ROWS = st.fixed_dictionaries({name: st.none() | values for name, values in FIELDS.items()})


def comparable(value: Any) -> Any:
    """Documents are compared as Python does: 2.0 may come back from jsonb as 2.

    A moment is compared in UTC: Python calls one that a change of clocks skips or repeats
    unequal to the same moment of every other zone (PEP 495).
    """
    if isinstance(value, float) and (math.isnan(value) or value == 0):
        return repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def test_an_hour_that_never_was_is_compared_as_the_moment_it_means() -> None:
    """What once broke the property below, by chance: clocks went from 2:00 to 3:00 that night."""
    skipped = datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    stored = skipped.astimezone(UTC)
    assert skipped != stored
    assert comparable(skipped) == comparable(stored)


def test_every_column_has_a_strategy() -> None:
    assert {*FIELDS, "id", "product_id"} == set(mapper_of(Specimen).column_attrs.keys())


def test_both_paths_give_what_was_sent(world: World) -> None:
    async def paths(db: Database, fields: dict[str, Any]) -> list[Specimen]:
        async with db.transaction() as tx:
            product = await new_product(tx, "A")
            made = await specimens.create(tx, Specimen(product_id=product.id, **fields))
            plain = await specimens.get(tx, made.id)
            parent = await products.get(tx, product.id, include=(Product.specimens,))
            await products.delete(tx, product.id, hard=True)
        return [made, plain, *parent.specimens]

    @settings(
        max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(ROWS)
    def holds(fields: dict[str, Any]) -> None:
        made, plain, related = world.run(paths(world.db, fields))
        for name, sent in fields.items():
            values = [getattr(row, name) for row in (made, plain, related)]
            assert exact(values[0]) == exact(values[1]) == exact(values[2]), name
            assert comparable(values[1]) == comparable(sent), name

    holds()


def test_plain_json_would_not_carry_them(world: World) -> None:
    """What the lateral path guards against: JSON has no NaN, no bytes and no durations."""

    async def body(db: Database) -> Any:
        array = "json_build_array('NaN'::float8, '\\x00'::bytea, '1 mon'::interval)"
        return await db.one(text(f"SELECT {array}::text"))

    (carried,) = world.run(body(world.db))
    assert carried == '["NaN", "\\\\x00", "1 mon"]'
