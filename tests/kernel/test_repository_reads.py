"""The reads of a repository: typed rows, typed tuples, refusals before anything is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from bedplate.kernel import errors, ids
from bedplate.kernel.database import Database
from bedplate.kernel.fields import equal
from bedplate.modules.auth import User, users
from tests.kernel.builders import (
    customers,
    new_customer,
    new_order,
    new_product,
    orders,
    products,
)
from tests.shop import Customer, Kind, Order, Product
from tests.world import World


async def three(db: Database) -> list[Product]:
    """A, B and C; each dearer than the one before."""
    return [
        await new_product(db, "A", price=Decimal("1.00"), kind=Kind.GOODS),
        await new_product(db, "B", price=Decimal("2.00"), kind=Kind.SERVICE),
        await new_product(db, "C", price=Decimal("3.00"), kind=Kind.SERVICE, is_listed=False),
    ]


def test_get_returns_the_row_with_every_field(world: World) -> None:
    async def body(db: Database) -> None:
        made, *_ = await three(db)
        found = await products.get(db, made.id)
        assert found is not made
        names = [key for key in vars(made) if not key.startswith("_")]
        assert {name: getattr(found, name) for name in names} == {
            name: getattr(made, name) for name in names
        }
        assert (await products.get(db, str(made.id))).id == made.id

    world.run(body(world.db))


def test_get_of_no_such_key_is_not_found_and_find_is_none(world: World) -> None:
    with pytest.raises(errors.NotFound, match=r"No Product has this key\. Use find\(\)"):
        world.run(products.get(world.db, ids.new()))
    assert world.run(products.find(world.db, Product.id == ids.new())) is None


def test_every_condition_must_hold(world: World) -> None:
    async def body(db: Database) -> None:
        await three(db)
        dear = Product.price > Decimal("1.50")
        assert [p.sku for p in await products.list(db, dear, order=(Product.sku,))] == ["B", "C"]
        found = await products.list(db, dear, equal(Product.is_listed, True))
        assert [p.sku for p in found] == ["B"]
        assert await products.count(db, dear, Product.kind == Kind.SERVICE) == 2
        assert await products.count(db) == 3
        assert await products.exists(db, dear)
        assert not await products.exists(db, dear, Product.sku == "A")
        only = await products.find(db, Product.sku == "B")
        assert only is not None
        assert only.kind is Kind.SERVICE

    world.run(body(world.db))


def test_equal_none_means_is_null(world: World) -> None:
    async def body(db: Database) -> list[str]:
        made, *_ = await three(db)
        await new_product(db, "D", parent_id=made.id)
        rows = await products.list(db, equal(Product.parent_id, None), order=(Product.sku,))
        return [row.sku for row in rows]

    assert world.run(body(world.db)) == ["A", "B", "C"]


def test_order_and_limit(world: World) -> None:
    async def body(db: Database) -> None:
        await three(db)
        rows = await products.list(db, order=(Product.kind, Product.price.desc()), limit=2)
        assert [row.sku for row in rows] == ["A", "C"]
        assert await products.list(db, limit=0) == []

    world.run(body(world.db))


def test_columns_come_as_tuples_also_one(world: World) -> None:
    async def body(db: Database) -> None:
        await three(db)
        order = (Product.sku,)
        assert await products.list(db, order=order, limit=1, select=(Product.sku,)) == [("A",)]
        rows = await products.list(db, order=order, limit=1, select=(Product.sku, Product.kind))
        assert rows == [("A", Kind.GOODS)]
        wide = (Product.sku, Product.kind, Product.price, Product.is_listed)
        assert (await products.list(db, order=order, select=wide))[2] == (
            "C",
            Kind.SERVICE,
            Decimal("3.00"),
            False,
        )
        assert await products.find(db, Product.sku == "B", select=(Product.price,)) == (
            Decimal("2.00"),
        )
        assert await products.find(db, Product.sku == "zz", select=(Product.price,)) is None

    world.run(body(world.db))


def test_a_list_that_is_too_long_is_refused_and_not_cut_short(world: World) -> None:
    async def body(db: Database) -> None:
        await three(db)
        db.rows_max = 2
        with pytest.raises(errors.LimitExceeded, match="More than 2 rows of Product"):
            await products.list(db)
        assert len(await products.list(db, limit=3)) == 3
        assert len(await products.list(db, Product.sku != "A")) == 2

    world.run(body(world.db))


def test_a_stream_yields_every_row_in_order_over_many_blocks(world: World) -> None:
    async def body(db: Database) -> None:
        rows = [(f"S{n:05}", "T", n) for n in range(1, 2_502)]
        await products.load(db, (Product.sku, Product.title, Product.price), rows)
        wanted = [row[0] for row in rows]
        assert [row.sku async for row in products.stream(db, order=(Product.sku,))] == wanted
        cheap = Product.price <= Decimal(1_000)
        async with db.read() as reader:
            count = 0
            async for row in products.stream(reader, cheap):
                assert isinstance(row, Product)
                count += 1
        assert count == 1_000
        assert [row async for row in products.stream(db, Product.sku == "zz")] == []

    world.run(body(world.db))


def test_two_streams_of_one_transaction_do_not_meet(world: World) -> None:
    async def body(db: Database) -> list[tuple[str, str]]:
        await three(db)
        async with db.transaction() as tx:
            return [
                (one.sku, other.sku)
                async for one in products.stream(tx, order=(Product.sku,))
                async for other in products.stream(tx, order=(Product.sku,))
            ]

    pairs = world.run(body(world.db))
    assert pairs == [(one, other) for one in "ABC" for other in "ABC"]


def test_the_same_verbs_run_on_a_database_a_reader_and_a_transaction(world: World) -> None:
    async def body(db: Database) -> None:
        await three(db)
        async with db.read() as reader, db.transaction() as tx:
            for handle in (db, reader, tx):
                assert await products.count(handle) == 3
                assert len(await products.list(handle)) == 3
                assert (await products.page(handle, size=2)).next

    world.run(body(world.db))


def test_a_reader_sees_what_was_there_when_it_asked(world: World) -> None:
    other = world.other_db()

    async def body(db: Database) -> list[int]:
        async with db.read() as reader:
            counts = [await products.count(reader)]
            await new_product(other, "A")
            return [*counts, await products.count(reader)]

    assert world.run(body(world.db)) == [0, 1]


MISUSES: dict[str, tuple[Any, type[Exception]]] = {
    "a key of another type": (lambda db: products.get(db, "zz"), errors.FieldInvalid),
    "an include that is a column": (
        lambda db: products.list(db, include=(Product.sku,)),
        errors.FieldUnknown,
    ),
    "an include of another model": (
        lambda db: users.list(db, include=(Product.variants,)),
        errors.FieldUnknown,
    ),
    "a condition on another model": (
        lambda db: users.list(db, Product.sku == "A"),
        errors.UsageError,
    ),
    "an order by another model": (
        lambda db: users.page(db, order=(User.name, Product.sku.desc())),
        errors.UsageError,
    ),
    "a page of nothing": (lambda db: products.page(db, size=0), errors.LimitExceeded),
    "a page too large": (lambda db: products.page(db, size=1_001), errors.LimitExceeded),
    "a cursor that is none": (lambda db: products.page(db, at="zz"), errors.CursorInvalid),
}


@pytest.mark.parametrize("name", MISUSES)
def test_a_misuse_is_told_before_anything_is_sent(world: World, name: str) -> None:
    misuse, kind = MISUSES[name]
    before = world.db.leaf.round_trips
    with pytest.raises(kind) as refused:
        world.run(misuse(world.db))
    assert world.db.leaf.round_trips == before
    assert isinstance(refused.value, errors.UsageError)
    assert refused.value.next_step


def test_a_field_the_model_does_not_have_is_pythons_own_error() -> None:
    with pytest.raises(AttributeError):
        Product.skuu  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(TypeError):
        Product(skuu="A")  # type: ignore[call-arg]


def test_a_repository_may_be_joined_by_conditions_over_a_relation(world: World) -> None:
    async def body(db: Database) -> None:
        ada, bob = await new_customer(db, "Ada"), await new_customer(db, "Bob")
        await new_order(db, ada, 1)
        assert [c.name for c in await customers.list(db, Customer.orders.any())] == ["Ada"]
        mine = Order.customer.has(Customer.name == "Ada")
        assert await orders.count(db, mine) == 1
        none = select(Order.id).where(Order.customer_id == Customer.id).exists()
        assert [c.id for c in await customers.list(db, ~none)] == [bob.id]

    world.run(body(world.db))


def test_instances_are_detached_and_know_their_identity(world: World) -> None:
    async def body(db: Database) -> tuple[Product, User]:
        made, *_ = await three(db)
        await users.create(db, User(email="ada@example.com"))
        user = await users.find(db, func.lower(User.email) == "ada@example.com")
        assert user is not None
        return await products.get(db, made.id), user

    product, user = world.run(body(world.db))
    state: Any = product._sa_instance_state  # type: ignore[attr-defined]
    assert state.detached
    assert state.key == (Product, (product.id,), None)
    assert isinstance(user.id, UUID)
