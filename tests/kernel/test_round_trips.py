"""What each verb costs, counted on the wire: one statement, one round trip."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import bindparam, select

from bedplate.kernel.context import acting
from bedplate.kernel.database import Database
from bedplate.kernel.fields import assign
from bedplate.kernel.ids import new
from bedplate.kernel.query import Query
from bedplate.kernel.relations import Include
from tests.kernel.builders import (
    a_product,
    customers,
    new_customer,
    new_order,
    new_product,
    orders,
    products,
)
from tests.kernel.wire import tapped
from tests.shop import Customer, Order, OrderLine, Product
from tests.world import World

BY_SKU = Query(select(Product).where(Product.sku == bindparam("sku")))
Verb = Callable[[Database, Product], Coroutine[Any, Any, Any]]


def unique() -> Product:
    return a_product(new().hex[-20:])


# Each of them runs twice: once to be prepared, once to be listened to.
VERBS: dict[str, Verb] = {
    "get": lambda db, p: products.get(db, p.id),
    "get with relations": lambda db, p: products.get(
        db, p.id, include=(Product.variants, Product.parent, Product.specimens)
    ),
    "find": lambda db, p: products.find(db, Product.sku == p.sku),
    "list": lambda db, p: products.list(db, order=(Product.price, Product.id.desc()), limit=5),
    "list of columns": lambda db, p: products.list(db, select=(Product.id, Product.sku)),
    "page": lambda db, p: products.page(db, order=(Product.title,), size=1),
    "exists": lambda db, p: products.exists(db, Product.sku == "zz"),
    "count": lambda db, p: products.count(db),
    "create": lambda db, p: products.create(db, unique()),
    "update": lambda db, p: products.update(db, p.id, assign(Product.title, "other")),
    "upsert": lambda db, p: products.upsert(db, a_product(p.sku), on=(Product.sku,)),
    "a query": lambda db, p: db.all(BY_SKU, sku="A-1"),
    "an ad-hoc statement": lambda db, p: db.first(select(Product).where(Product.sku == "A-1")),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_one_statement_in_one_round_trip(world: World, name: str) -> None:
    with tapped(world) as wire:
        product = world.run(new_product(wire.db))
        counted = wire.db.leaf.round_trips
        heard = wire.heard(lambda: VERBS[name](wire.db, product))
        assert (heard.round_trips, heard.executed, len(heard.tags)) == (1, 1, 1), heard.messages
        # Once unheard, once heard, and the handle that told which connection to listen to.
        assert wire.db.leaf.round_trips - counted == 2 + 2


def test_delete_and_restore_are_one_statement_each(world: World) -> None:
    with tapped(world) as wire:

        async def there_and_back() -> None:
            await products.delete(wire.db, product.id)
            await products.restore(wire.db, product.id)
            await products.delete(wire.db, product.id)
            await products.restore(wire.db, product.id)

        product = world.run(new_product(wire.db))
        heard = wire.heard(there_and_back)
        assert (heard.round_trips, heard.tags) == (4, ["UPDATE 1"] * 4)


def test_a_bulk_load_is_one_copy_however_many_rows(world: World) -> None:
    with tapped(world) as wire:

        async def load() -> None:
            rows = [(new().hex[-20:], "T", n) for n in range(1, 3_000)]
            await products.load(wire.db, (Product.sku, Product.title, Product.price), rows)

        heard = wire.heard(load)
        assert heard.tags == ["COPY 2999"]
        assert (
            heard.round_trips == 2
        )  # COPY is answered with "go ahead", the rows with their number


def test_relations_three_deep_are_one_statement(world: World) -> None:
    with tapped(world) as wire:

        async def body() -> None:
            (read,) = await customers.list(wire.db, include=(everything,))
            assert [order.lines for order in read.orders] == [[]]

        everything = Include(
            Customer.orders, include=(Include(Order.lines, include=(OrderLine.product,)),)
        )
        customer = world.run(new_customer(wire.db))
        world.run(new_order(wire.db, customer))
        heard = wire.heard(body)
        assert (heard.round_trips, heard.tags) == (1, ["SELECT 1"])


def test_begin_and_who_acts_travel_with_the_first_statement(world: World) -> None:
    with tapped(world) as wire:
        product = world.run(new_product(wire.db))

        async def body() -> None:
            with acting("ada", request_id="r-1", ip="::1", user_agent="curl"):
                async with wire.db.transaction() as tx:
                    await products.get(tx, product.id)
                    await products.count(tx)

        heard = wire.heard(body)
        assert heard.tags == ["BEGIN", "SELECT 1", "SELECT 1", "SELECT 1", "COMMIT"]
        # BEGIN, settings and the first statement; the second statement; COMMIT.
        assert heard.round_trips == 3


@pytest.mark.parametrize("name", VERBS)
def test_on_db_only_a_write_says_who_acts_and_in_its_own_round_trip(
    world: World, name: str
) -> None:
    with tapped(world) as wire:
        product = world.run(new_product(wire.db))

        async def body() -> None:
            with acting("ada", request_id="r-1"):
                await VERBS[name](wire.db, product)

        heard = wire.heard(body)
        assert heard.round_trips == 1
        if name in ("create", "update", "upsert"):
            assert (heard.tags[:2], heard.tags[3:]) == (["BEGIN", "SELECT 1"], ["COMMIT"])
        else:
            assert len(heard.tags) == 1


def test_without_anybody_acting_no_settings_are_sent(world: World) -> None:
    with tapped(world) as wire:

        async def body() -> None:
            async with wire.db.transaction() as tx:
                await products.count(tx)

        assert wire.heard(body).tags == ["BEGIN", "SELECT 1", "COMMIT"]


def test_a_handle_that_runs_nothing_sends_nothing(world: World) -> None:
    with tapped(world) as wire:

        async def body() -> None:
            async with wire.db.transaction(actor="ada") as tx:
                tx.after_commit(lambda: None)
            async with wire.db.read():
                pass

        heard = wire.heard(body)
        assert heard.messages == ()


def test_a_reader_is_read_only_from_its_begin_on(world: World) -> None:
    with tapped(world) as wire:

        async def body() -> None:
            async with wire.db.read() as reader:
                await products.count(reader)

        heard = wire.heard(body)
        assert (heard.tags, heard.round_trips) == (["BEGIN", "SELECT 1", "COMMIT"], 2)


def test_a_savepoint_costs_its_two_commands(world: World) -> None:
    with tapped(world) as wire:

        async def body() -> None:
            async with wire.db.transaction() as tx, tx.savepoint():
                await products.count(tx)

        heard = wire.heard(body)
        assert heard.tags == ["BEGIN", "SAVEPOINT", "SELECT 1", "RELEASE", "COMMIT"]
        assert heard.round_trips == 4


def test_a_first_use_is_prepared_once_per_connection(world: World) -> None:
    with tapped(world) as wire:
        world.run(new_product(wire.db))
        statement = select(Product.title).where(Product.sku == "A-1")
        heard = wire.heard(lambda: wire.db.first(statement))
        assert not any(message.startswith("> Parse") for message in heard.messages)


def test_an_order_is_read_with_everything_in_one_round_trip(world: World) -> None:
    with tapped(world) as wire:
        customer = world.run(new_customer(wire.db))
        order = world.run(new_order(wire.db, customer))
        include = (Order.customer, Order.lines)
        heard = wire.heard(lambda: orders.get(wire.db, order.id, include=include))
        assert (heard.round_trips, heard.executed) == (1, 1)
