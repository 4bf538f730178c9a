"""Settings that a host gave its database, and columns that change while the product runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from bedplate.kernel.database import Database
from bedplate.kernel.errors import DatabaseError
from bedplate.kernel.fields import assign
from tests.kernel.builders import new_product, products, specimens
from tests.kernel.pools import whole
from tests.shop import Product, Specimen
from tests.world import World

NOON = datetime(2030, 6, 1, 12, 0, 0, 5, tzinfo=UTC)
SETTINGS = (
    *("IntervalStyle = 'iso_8601'", "DateStyle = 'German'", "client_encoding = 'latin1'"),
    *("bytea_output = 'escape'", "extra_float_digits = -5", "search_path = 'nothing'"),
    *("TimeZone = 'Asia/Kathmandu'", "standard_conforming_strings = off"),
)


def as_owner(world: World, *statements: str) -> None:
    """Run what only the owner may, as a migration would."""
    with psycopg.connect(world.clone.owner_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_values_are_the_same_whatever_a_host_has_set_for_its_database(world: World) -> None:
    database = sql.Identifier(world.clone.name).as_string()
    as_owner(world, *(f"ALTER DATABASE {database} SET {setting}" for setting in SETTINGS))
    sent = {
        "lasts": timedelta(days=-3, microseconds=5),
        "seen_at": NOON,
        "day": NOON.date(),
        "content": b"\x00\\x'",
        "ratio": 0.1 + 0.2,
        "words": "☃ \\ '",
    }

    async def body(db: Database) -> list[Specimen]:
        product = await new_product(db)
        made = await specimens.create(db, Specimen(product_id=product.id, **sent))
        plain = await specimens.get(db, made.id)
        (related,) = (await products.get(db, product.id, include=(Product.specimens,))).specimens
        return [made, plain, related]

    try:
        for row in world.run(body(world.other_db())):
            assert {name: getattr(row, name) for name in sent} == sent
    finally:
        as_owner(world, f"ALTER DATABASE {database} RESET ALL")


CHANGE = (
    "ALTER TABLE shop.products ALTER COLUMN title TYPE text",
    "ALTER TABLE shop.products ALTER COLUMN price TYPE numeric(14, 2)",
)


@pytest.mark.parametrize(
    "verb",
    [
        lambda db, key: products.get(db, key),
        lambda db, key: products.list(db),
        lambda db, key: products.update(db, key, assign(Product.title, "new")),
    ],
    ids=["a declared query", "an ad-hoc one", "a write"],
)
def test_a_column_that_changes_its_type_is_not_noticed_by_single_statements(
    world: World, verb: Any
) -> None:
    product = world.run(new_product(world.db))
    for _ in range(6):  # prepared on every connection of the pool
        world.run(verb(world.db, product.id))
    before = world.run(products.get(world.db, product.id)).version
    as_owner(world, *CHANGE)
    for _ in range(6):
        world.run(verb(world.db, product.id))
    # What was refused had not been done: nothing was done twice.
    after = world.run(products.get(world.db, product.id)).version
    assert after - before in (0, 6)


def test_nor_by_a_transaction_that_begins_after_it(world: World) -> None:
    async def one(db: Database) -> int:
        async with db.transaction(actor="ada") as tx:
            return len(await products.list(tx))

    world.run(new_product(world.db))
    for _ in range(6):
        assert world.run(one(world.db)) == 1
    as_owner(world, *CHANGE)
    for _ in range(6):
        assert world.run(one(world.db)) == 1


def test_a_transaction_in_the_middle_of_which_it_changes_fails_and_the_next_does_not(
    world: World,
) -> None:
    async def one(db: Database, change: bool) -> int:
        async with db.transaction() as tx:
            await tx.run(text("SELECT 1"))
            if change:
                as_owner(world, *CHANGE)
            return len(await products.list(tx))

    world.run(new_product(world.db))
    # One that came only now would not have prepared what is to be refused.
    world.run(whole(world.db))
    for _ in range(6):
        assert world.run(one(world.db, change=False)) == 1
    with pytest.raises(DatabaseError, match="0A000"):
        world.run(one(world.db, change=True))
    failures = 0
    for _ in range(8):
        try:
            assert world.run(one(world.db, change=False)) == 1
        except DatabaseError:
            failures += 1
    # Each of the other connections finds out once; none goes on failing.
    assert failures <= world.db.statistics()["pool_size"]
    assert world.run(one(world.db, change=False)) == 1


def test_without_that_the_connection_would_refuse_for_as_long_as_it_lives(world: World) -> None:
    query = b"SELECT price, title FROM shop.products"
    with psycopg.connect(world.clone.url, autocommit=True) as plain:
        plain.execute(query, prepare=True)
        as_owner(world, *CHANGE)
        for _ in range(3):
            with pytest.raises(psycopg.errors.FeatureNotSupported):
                plain.execute(query, prepare=True)
