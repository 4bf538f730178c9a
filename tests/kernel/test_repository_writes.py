"""The writes of a repository: one statement each, and the row as the database has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func

from bedplate.kernel import errors, ids
from bedplate.kernel.database import Database
from bedplate.kernel.fields import assign
from bedplate.kernel.inserts import Defaults
from bedplate.kernel.model import mapper_of
from bedplate.modules.auth import User, users
from bedplate.modules.credits import AdminSettings
from tests.kernel.builders import (
    a_product,
    cards,
    new_customer,
    new_product,
    products,
)
from tests.kernel.together import together
from tests.shop import Kind, LoyaltyCard, Product
from tests.world import World

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def test_create_returns_the_row_with_the_databases_defaults(world: World) -> None:
    world.clock.set(NOON)
    made = world.run(products.create(world.db, a_product("A")))
    assert (made.created_at, made.updated_at, made.version) == (NOON, NOON, 1)
    assert (made.kind, made.is_listed, made.deleted_at) == (Kind.GOODS, True, None)
    assert made.id.version == 7


def test_a_key_is_accepted_from_the_caller(world: World) -> None:
    key = ids.new()
    assert world.run(new_product(world.db, id=key)).id == key


def test_a_key_that_the_model_fixes_is_not_made_anew() -> None:
    """A table of one row, whose key is always the same."""
    defaults = Defaults(mapper_of(AdminSettings))
    assert defaults.fill({})["id"] == "singleton"
    assert "id" not in defaults.makers


def test_update_changes_what_is_named_and_the_time(world: World) -> None:
    async def body(db: Database) -> tuple[Product, Product]:
        world.clock.set(NOON)
        made = await new_product(db)
        world.clock.advance(hours=1)
        changes = assign(Product.title, "new"), assign(Product.kind, Kind.SERVICE)
        return made, await products.update(db, made.id, *changes)

    made, changed = world.run(body(world.db))
    assert (changed.title, changed.kind, changed.sku) == ("new", Kind.SERVICE, made.sku)
    assert (changed.created_at, changed.updated_at) == (NOON, NOON + timedelta(hours=1))
    assert changed.version == 2


def test_update_may_compute_in_the_database(world: World) -> None:
    async def body(db: Database) -> Product:
        made = await new_product(db, price=Decimal("9.99"))
        changes = (
            assign(Product.price, Product.price + Decimal("0.01")),
            assign(Product.title, func.upper(Product.title)),
        )
        return await products.update(db, made.id, *changes)

    changed = world.run(body(world.db))
    assert (changed.price, changed.title) == (Decimal("10.00"), "TITLE A-1")


def test_update_may_set_null(world: World) -> None:
    async def body(db: Database) -> User:
        made = await users.create(db, User(email="ada@example.com", name="Ada"))
        return await users.update(db, made.id, assign(User.name, None))

    assert world.run(body(world.db)).name is None


def test_a_row_that_moved_on_is_a_stale_version(world: World) -> None:
    async def body(db: Database) -> None:
        made = await new_product(db)
        await products.update(db, made.id, assign(Product.title, "first"), version=1)
        with pytest.raises(errors.StaleVersion, match="no longer at version 1"):
            await products.update(db, made.id, assign(Product.title, "second"), version=1)
        assert (await products.get(db, made.id)).title == "first"
        await products.update(db, made.id, assign(Product.title, "second"), version=2)

    world.run(body(world.db))


def test_of_many_who_read_the_same_version_one_may_write(world: World) -> None:
    made = world.run(new_product(world.db))
    tries = [
        products.update(world.db, made.id, assign(Product.title, f"T{n}"), version=1)
        for n in range(8)
    ]
    outcomes = together(world, tries)
    assert sum(isinstance(outcome, Product) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, errors.StaleVersion) for outcome in outcomes) == 7


def test_without_a_version_the_last_one_wins_silently(world: World) -> None:
    """What `version=` is there for."""
    made = world.run(new_product(world.db))
    tries = [products.update(world.db, made.id, assign(Product.title, f"T{n}")) for n in range(8)]
    assert all(isinstance(outcome, Product) for outcome in together(world, tries))
    assert world.run(products.get(world.db, made.id)).version == 9


def test_every_write_counts_as_a_version(world: World) -> None:
    async def body(db: Database) -> list[int]:
        made = await new_product(db)
        await products.delete(db, made.id)
        restored = await products.restore(db, made.id)
        upserted = await products.upsert(db, a_product("A-1", title="new"), on=(Product.sku,))
        return [made.version, restored.version, upserted.version]

    assert world.run(body(world.db)) == [1, 3, 4]


def test_a_change_of_nothing_that_is_there_is_not_found(world: World) -> None:
    for verb in (
        products.update(world.db, ids.new(), assign(Product.title, "x")),
        products.delete(world.db, ids.new()),
        products.restore(world.db, ids.new()),
    ):
        with pytest.raises(errors.NotFound):
            world.run(verb)


def test_delete_removes_the_row_of_a_model_that_is_not_soft_deleted(world: World) -> None:
    async def body(db: Database) -> int:
        customer = await new_customer(db)
        card = await cards.create(db, LoyaltyCard(customer_id=customer.id, code="gold"))
        await cards.delete(db, card.id)
        with pytest.raises(errors.UsageError, match="not soft-deleted"):
            await cards.restore(db, card.id)
        return await cards.count(db)

    assert world.run(body(world.db)) == 0


def test_create_many_stores_all_rows_with_their_defaults(world: World) -> None:
    async def body(db: Database) -> None:
        rows = [a_product(f"S{n}") for n in range(50)]
        assert await products.create_many(db, rows) == 50
        assert await products.create_many(db, []) == 0
        stored = await products.list(db)
        assert {row.id for row in stored} == {row.id for row in rows}
        assert {(row.kind, row.version) for row in stored} == {(Kind.GOODS, 1)}
        assert all(row.created_at for row in stored)

    world.run(body(world.db))


def test_rows_of_different_fields_are_stored_together_or_not_at_all(world: World) -> None:
    async def body(db: Database) -> None:
        named = [User(email=f"{n}@example.com", name="N") for n in range(3)]
        plain = [User(clerk_id=f"c{n}") for n in range(3)]
        assert await users.create_many(db, [*named, *plain]) == 6
        again = [User(email="new@example.com"), User(clerk_id="c1")]
        with pytest.raises(errors.UniqueViolation):
            await users.create_many(db, again)
        assert await users.count(db) == 6

    world.run(body(world.db))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (("C", "T", "9.99"), errors.FieldInvalid),
        (("C", "T", 9.99), errors.FloatRefused),
        (("C", None), errors.FieldInvalid),
        (("C", "T", Decimal("9.99"), 1), errors.FieldInvalid),
        ((None, "T", Decimal("9.99")), errors.NotNullViolation),
        (("x" * 21, "T", Decimal("9.99")), errors.DataError),
        (("A", "T", Decimal("9.99")), errors.UniqueViolation),
        (("C", "T", Decimal("-1")), errors.CheckViolation),
        (("C", "T\x00", Decimal("9.99")), errors.DataError),
    ],
)
def test_a_load_with_one_wrong_row_stores_nothing(
    world: World, row: tuple[Any, ...], kind: type[Exception]
) -> None:
    good = [(f"G{n}", "T", Decimal(1)) for n in range(1_500)]
    rows = [("A", "T", Decimal(1)), *good, row]
    fields = (Product.sku, Product.title, Product.price)
    with pytest.raises(kind) as refused:
        world.run(products.load(world.db, fields, rows))
    assert world.run(products.count(world.db)) == 0
    if isinstance(refused.value, errors.FieldInvalid):
        assert "Row 1502" in str(refused.value)
    # The connection it ran on is in order again.
    assert world.run(products.load(world.db, fields, good)) == 1_500


def test_a_load_within_a_transaction_goes_back_with_it(world: World) -> None:
    async def body(db: Database) -> None:
        fields = (Product.sku, Product.title, Product.price)
        async with db.transaction() as tx:
            async with tx.savepoint():
                await products.load(tx, fields, [("A", "T", 1)])
            with pytest.raises(errors.FieldInvalid):
                async with tx.savepoint():
                    await products.load(tx, fields, [("B", "T", 1), ("C", "T", "x")])
            assert await products.count(tx) == 1
        assert await products.count(db) == 1

    world.run(body(world.db))


MISUSES: dict[str, tuple[Any, type[Exception]]] = {
    "a change of nothing": (lambda db, key: products.update(db, key), errors.UsageError),
    "a field of another model": (
        lambda db, key: products.update(db, key, assign(User.name, "x")),
        errors.FieldUnknown,
    ),
    "a relation": (
        lambda db, key: products.update(db, key, assign(Product.variants, [])),
        errors.FieldUnknown,
    ),
    "a value of another type": (
        lambda db, key: products.update(
            db,
            key,
            assign(Product.title, 5),  # type: ignore[arg-type]
        ),
        errors.FieldInvalid,
    ),
    "a float for money": (
        lambda db, key: products.update(
            db,
            key,
            assign(Product.price, 9.99),  # type: ignore[arg-type]
        ),
        errors.FloatRefused,
    ),
    "a float in a new row": (
        lambda db, key: products.create(db, a_product("Z", price=9.99)),
        errors.FloatRefused,
    ),
    "a text for an enum": (
        lambda db, key: products.create(db, a_product("Z", kind="GOODS")),
        errors.FieldInvalid,
    ),
    "a row of another model": (
        lambda db, key: products.create(db, User(email="a@b")),
        errors.UsageError,
    ),
    "many rows of another model": (
        lambda db, key: products.create_many(db, [User(email="a@b")]),
        errors.UsageError,
    ),
    "a load of another model's fields": (
        lambda db, key: products.load(db, (User.name,), [("x",)]),
        errors.FieldUnknown,
    ),
    "a version where there is none": (
        lambda db, key: users.update(db, key, assign(User.name, "x"), version=1),
        errors.UsageError,
    ),
    "a key of another type": (lambda db, key: products.delete(db, "zz"), errors.FieldInvalid),
}


@pytest.mark.parametrize("name", MISUSES)
def test_a_misuse_is_told_before_anything_is_sent(world: World, name: str) -> None:
    misuse, kind = MISUSES[name]
    product = world.run(new_product(world.db))
    before = world.db.leaf.round_trips
    with pytest.raises(kind) as refused:
        world.run(misuse(world.db, product.id))
    assert world.db.leaf.round_trips == before
    assert isinstance(refused.value, errors.UsageError)
    assert refused.value.next_step
    assert world.run(products.get(world.db, product.id)).version == 1
