"""upsert(): insert or change, in one statement, whoever else does the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func

from bedplate.kernel import errors, ids
from bedplate.kernel.database import Database
from bedplate.modules.auth import User, users
from tests.kernel.builders import a_product, cards, new_customer, new_product, products
from tests.kernel.together import Meeting, together
from tests.shop import Kind, LoyaltyCard, Product
from tests.world import World

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def test_what_is_not_there_is_inserted(world: World) -> None:
    made = world.run(products.upsert(world.db, a_product("A"), on=(Product.sku,)))
    assert (made.sku, made.version) == ("A", 1)
    assert world.run(products.count(world.db)) == 1


def test_what_is_there_is_changed_and_keeps_its_key_and_birth(world: World) -> None:
    async def body(db: Database) -> tuple[Product, Product]:
        world.clock.set(NOON)
        made = await new_product(db, "A", kind=Kind.SERVICE)
        world.clock.advance(days=1)
        other = a_product("A", title="new", price=Decimal("5.00"))
        return made, await products.upsert(db, other, on=(Product.sku,))

    made, now = world.run(body(world.db))
    assert (now.id, now.created_at) == (made.id, NOON)
    assert (now.title, now.price) == ("new", Decimal("5.00"))
    assert now.updated_at == NOON + timedelta(days=1)
    assert world.run(products.count(world.db)) == 1


def test_an_expression_may_tell_the_rows_apart(world: World) -> None:
    async def body(db: Database) -> tuple[User, User]:
        made = await users.create(db, User(email="ada@example.com", name="Ada"))
        other = User(email="ADA@example.com", name="Augusta")
        return made, await users.upsert(db, other, on=(func.lower(User.email),))

    made, now = world.run(body(world.db))
    assert (now.id, now.email, now.name) == (made.id, "ADA@example.com", "Augusta")


def test_a_deleted_row_is_no_obstacle(world: World) -> None:
    async def body(db: Database) -> None:
        gone = await new_product(db, "A")
        await products.delete(db, gone.id)
        made = await products.upsert(db, a_product("A", title="new"), on=(Product.sku,))
        assert made.id != gone.id
        old = await products.with_deleted().get(db, gone.id)
        assert (old.title, old.deleted_at is not None) == ("Title A", True)

    world.run(body(world.db))


def test_a_row_with_nothing_to_change_is_returned_all_the_same(world: World) -> None:
    async def body(db: Database) -> list[LoyaltyCard]:
        customer = await new_customer(db)
        on = (LoyaltyCard.customer_id,)
        first = LoyaltyCard(customer_id=customer.id, code="gold", points=5)
        return [
            await cards.upsert(db, first, on=on),
            await cards.upsert(db, LoyaltyCard(customer_id=customer.id, code="gold"), on=on),
        ]

    first, again = world.run(body(world.db))
    assert (again.id, again.code) == (first.id, "gold")
    # The second one did not say how many points; the default is for new rows only.
    assert again.points == 5


def test_many_at_the_same_time_make_one_row(world: World) -> None:
    tries = [
        products.upsert(world.db, a_product("A", title=f"T{n}"), on=(Product.sku,))
        for n in range(20)
    ]
    made = together(world, tries)
    assert len({product.id for product in made}) == 1
    assert sorted(product.version for product in made) == list(range(1, 21))
    assert world.run(products.count(world.db)) == 1


def test_reading_first_and_writing_then_would_have_failed(world: World) -> None:
    """The naive way: look, then insert. Of many at the same time all but one break."""

    everybody = Meeting(world, 8)

    async def naive(db: Database, title: str) -> Product:
        async with db.transaction() as tx:
            found = await products.find(tx, Product.sku == "A")
            await everybody.join()
            return found or await new_product(tx, "A", title=title)

    outcomes = together(world, [naive(world.db, f"T{n}") for n in range(8)])
    assert sum(isinstance(outcome, errors.UniqueViolation) for outcome in outcomes) == 7


def test_another_rule_that_is_broken_is_still_told(world: World) -> None:
    async def body(db: Database) -> None:
        await new_product(db, "A")
        key = (await new_product(db, "B")).id
        with pytest.raises(errors.UniqueViolation) as refused:
            await products.upsert(db, a_product("C", id=key), on=(Product.sku,))
        assert refused.value.constraint == "pk_products"
        with pytest.raises(errors.CheckViolation):
            await products.upsert(db, a_product("A", price=Decimal(0)), on=(Product.sku,))

    world.run(body(world.db))


def test_without_a_unique_rule_it_is_refused(world: World) -> None:
    with pytest.raises(errors.DatabaseError, match="42P10"):
        world.run(products.upsert(world.db, a_product(), on=(Product.title,)))


def test_the_key_itself_may_be_the_rule(world: World) -> None:
    async def body(db: Database) -> list[str]:
        key = ids.new()
        await products.upsert(db, a_product("A", id=key), on=(Product.id,))
        await products.upsert(db, a_product("B", id=key), on=(Product.id,))
        return [row.sku for row in await products.list(db)]

    assert world.run(body(world.db)) == ["B"]
