"""Relations in the same statement, whatever their shape; nothing ever loads lazily."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import bindparam, inspect, select
from sqlalchemy.orm import aliased

from bedplate.kernel.database import Database
from bedplate.kernel.errors import FieldUnknown, RelationNotLoaded, UsageError
from bedplate.kernel.query import Query
from bedplate.kernel.relations import RELATED_ROWS_MAX, Include
from bedplate.modules.auth import User
from tests.kernel.builders import (
    cards,
    customers,
    new_customer,
    new_order,
    new_product,
    order_lines,
    orders,
    products,
    specimens,
)
from tests.shop import Customer, Kind, LoyaltyCard, Order, OrderLine, Product, Specimen, Status
from tests.world import World


async def a_shop(db: Database) -> tuple[Customer, Customer]:
    """Ada has a card and three orders, the first with two lines; Bob has nothing."""
    ada, bob = await new_customer(db, "Ada"), await new_customer(db, "Bob")
    await cards.create(db, LoyaltyCard(customer_id=ada.id, code="gold", points=3))
    pen = await new_product(db, "pen", kind=Kind.GIFT_CARD)
    made = [await new_order(db, ada, number, total=Decimal(number)) for number in (1, 2, 3)]
    for position in (1, 2):
        line = OrderLine(
            order_id=made[0].id, product_id=pen.id, position=position, unit_price=pen.price
        )
        await order_lines.create(db, line)
    return ada, bob


def test_a_one_to_one_relation_is_the_row_or_none(world: World) -> None:
    async def body(db: Database) -> list[LoyaltyCard | None]:
        both = await a_shop(db)
        found = [await customers.get(db, one.id, include=(Customer.card,)) for one in both]
        return [one.card for one in found]

    card, nothing = world.run(body(world.db))
    assert card is not None
    assert (card.code, card.points, nothing) == ("gold", 3, None)


def test_a_one_to_many_relation_is_a_list_also_when_it_is_empty(world: World) -> None:
    async def body(db: Database) -> list[list[int]]:
        await a_shop(db)
        found = await customers.list(db, order=(Customer.name,), include=(Customer.orders,))
        return [sorted(order.number for order in one.orders) for one in found]

    assert world.run(body(world.db)) == [[1, 2, 3], []]


def test_a_many_to_one_relation_is_each_rows_own(world: World) -> None:
    async def body(db: Database) -> set[str]:
        _, bob = await a_shop(db)
        await new_order(db, bob, 4)
        found = await orders.list(db, include=(Order.customer,))
        assert all(order.customer.id == order.customer_id for order in found)
        return {f"{order.number} {order.customer.name}" for order in found}

    assert world.run(body(world.db)) == {"1 Ada", "2 Ada", "3 Ada", "4 Bob"}


def test_relations_of_relations_to_any_depth(world: World) -> None:
    async def body(db: Database) -> Customer:
        ada, _ = await a_shop(db)
        lines = Include(Order.lines, order=(OrderLine.position,), include=(OrderLine.product,))
        deep = Include(Customer.orders, order=(Order.number,), include=(lines,))
        return await customers.get(db, ada.id, include=(deep, Customer.card))

    ada = world.run(body(world.db))
    assert [len(order.lines) for order in ada.orders] == [2, 0, 0]
    assert [line.position for line in ada.orders[0].lines] == [1, 2]
    assert ada.orders[0].lines[0].product.kind is Kind.GIFT_CARD
    assert ada.orders[0].lines[0].unit_price == Decimal("9.99")
    assert ada.card is not None


def test_a_model_related_to_itself_does_not_mix_up_its_rows(world: World) -> None:
    async def body(db: Database) -> None:
        shirt = await new_product(db, "shirt")
        for sku in ("red", "blue"):
            await new_product(db, sku, parent_id=shirt.id)
        family = Include(Product.variants, order=(Product.sku,), include=(Product.parent,))
        found = await products.get(db, shirt.id, include=(family, Product.parent))
        assert [one.sku for one in found.variants] == ["blue", "red"]
        assert [one.parent.sku for one in found.variants if one.parent] == ["shirt", "shirt"]
        assert found.parent is None

    world.run(body(world.db))


def test_an_include_may_choose_order_and_limit_its_rows(world: World) -> None:
    async def body(db: Database) -> list[list[int]]:
        ada, _ = await a_shop(db)
        asked = (
            Include(Customer.orders, order=(Order.number.desc(),), limit=2),
            Include(Customer.orders, where=(Order.total >= Decimal(2),), order=(Order.number,)),
            Include(Customer.orders, where=(Order.status == Status.PAID,)),
        )
        found = [await customers.get(db, ada.id, include=(one,)) for one in asked]
        return [[order.number for order in one.orders] for one in found]

    assert world.run(body(world.db)) == [[3, 2], [2, 3], []]


def test_the_limit_of_an_include_holds_per_parent(world: World) -> None:
    async def body(db: Database) -> list[int]:
        _, bob = await a_shop(db)
        for number in (11, 12, 13):
            await new_order(db, bob, number)
        two = Include(Customer.orders, limit=2)
        return [len(one.orders) for one in await customers.list(db, include=(two,))]

    assert world.run(body(world.db)) == [2, 2]


def test_an_include_without_a_limit_has_one(world: World) -> None:
    async def body(db: Database) -> int:
        product = await new_product(db)
        fields = (Specimen.product_id, Specimen.small)
        await specimens.load(db, fields, [(product.id, n) for n in range(RELATED_ROWS_MAX + 5)])
        found = await products.get(db, product.id, include=(Product.specimens,))
        return len(found.specimens)

    assert world.run(body(world.db)) == RELATED_ROWS_MAX


def test_pages_and_declared_queries_take_includes_too(world: World) -> None:
    by_name = Query(
        select(Customer).where(Customer.name == bindparam("name")), include=(Customer.card,)
    )

    async def body(db: Database) -> None:
        await a_shop(db)
        ada = await db.one(by_name, name="Ada")
        assert ada.card is not None
        order = (Customer.name,)
        page = await customers.page(db, order=order, size=1, include=(Customer.card,))
        assert page.items[0].card is not None
        page = await customers.page(db, order=order, size=1, at=page.next, include=(Customer.card,))
        assert page.items[0].card is None

    world.run(body(world.db))


def test_a_relation_of_an_alias_is_read_through_the_alias(world: World) -> None:
    async def body(db: Database) -> None:
        await a_shop(db)
        other = aliased(Customer)
        query = Query(select(other).where(other.name == "Ada"), include=(Customer.orders,))
        assert len((await db.one(query)).orders) == 3

    world.run(body(world.db))


def test_an_include_written_on_the_spot_is_compiled_once_for_what_it_says(world: World) -> None:
    async def read(db: Database, at_least: int, limit: int = 5) -> list[int]:
        lines = Include(Order.lines, where=(OrderLine.position.in_([at_least, 7]),))
        chosen = Include(
            Customer.orders,
            where=(Order.total >= Decimal(at_least), Order.status == Status.OPEN),
            order=(Order.number.desc(),),
            limit=limit,
            include=(lines,),
        )
        ada = await customers.find(db, Customer.name == "Ada", include=(chosen,))
        assert ada is not None
        return [order.number for order in ada.orders]

    world.run(a_shop(world.db))
    assert world.run(read(world.db, 1)) == [3, 2, 1]
    plans = len(world.db.dialect.adhoc_plans)
    assert world.run(read(world.db, 1)) == [3, 2, 1]
    assert len(world.db.dialect.adhoc_plans) == plans
    # Other values are another include; they must not meet the plan that holds the first ones.
    assert world.run(read(world.db, 3)) == [3]
    assert world.run(read(world.db, 1, limit=1)) == [3]
    assert len(world.db.dialect.adhoc_plans) == plans + 2


def test_includes_are_equal_when_they_say_the_same() -> None:
    def made(number: int = 1, **parts: Any) -> Include:
        return Include(Customer.orders, where=(Order.number == number,), **parts)

    assert made() == made()
    assert hash(made()) == hash(made())
    assert made() != made(2)
    assert made() != made(limit=3)
    assert made() != made(order=(Order.number,))
    assert made(order=(Order.number,)) != made(order=(Order.number.desc(),))
    assert made() != made(include=(Order.lines,))
    assert made(include=(Order.lines,)) == made(include=(Order.lines,))
    assert made(include=(Include(Order.lines),)) != made(include=(Include(Order.lines, limit=1),))
    assert made() != Include(Customer.orders)
    assert Include(Customer.orders) != Include(Customer.card)
    assert Include(Customer.orders, where=(Order.number.in_([1]),)) != Include(
        Customer.orders, where=(Order.number.in_([2]),)
    )


def test_a_relation_that_was_not_included_says_what_to_add(world: World) -> None:
    async def body(db: Database) -> tuple[Customer, Customer]:
        ada, _ = await a_shop(db)
        return ada, await customers.get(db, ada.id, include=(Customer.orders,))

    for ada in world.run(body(world.db)):
        before = world.db.leaf.round_trips
        with pytest.raises(RelationNotLoaded, match=r"include=\(Customer\.card,\)"):
            ada.card  # noqa: B018
        assert world.db.leaf.round_trips == before
    with pytest.raises(RelationNotLoaded, match=r"include=\(Order\.customer,\)"):
        ada.orders[0].customer  # noqa: B018


def test_a_row_that_was_never_stored_has_empty_relations() -> None:
    customer = Customer(user_id=User(email="a@b").id, name="Ada")
    assert (customer.card, customer.orders) == (None, [])


@pytest.mark.parametrize(
    ("include", "kind"),
    [
        ((Product.sku,), FieldUnknown),
        ((Customer.card,), FieldUnknown),
        ((Include(Product.variants, include=(Customer.card,)),), FieldUnknown),
        ((Include(Product.variants, limit=0),), UsageError),
    ],
)
def test_an_include_that_cannot_be_is_refused_before_anything_is_sent(
    world: World, include: Any, kind: type[Exception]
) -> None:
    before = world.db.leaf.round_trips
    with pytest.raises(kind):
        world.run(products.list(world.db, include=include))
    assert world.db.leaf.round_trips == before


def test_included_rows_are_instances_like_any_other(world: World) -> None:
    async def body(db: Database) -> Customer:
        ada, _ = await a_shop(db)
        return await customers.get(db, ada.id, include=(Customer.orders, Customer.card))

    ada = world.run(body(world.db))
    for row in (ada, ada.card, *ada.orders):
        state = inspect(row)
        assert state is not None
        assert state.detached
        assert not state.modified
    assert [type(order) for order in ada.orders] == [Order] * 3
