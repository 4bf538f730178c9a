"""Queries: compiled once per project, their parameters checked by name and type."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import bindparam, func, select, text, union_all, update
from sqlalchemy.orm import aliased

from bedplate.kernel import query as query_module
from bedplate.kernel.bindings import Binding
from bedplate.kernel.database import Database
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.errors import (
    FieldInvalid,
    FieldNotLoaded,
    FieldUnknown,
    FloatRefused,
    NotFound,
    UsageError,
)
from bedplate.kernel.query import Query, adhoc
from bedplate.modules.auth import User
from tests.kernel.builders import cards, new_customer, new_product
from tests.shop import Customer, Kind, LoyaltyCard, Product
from tests.world import World

BY_SKU = Query(select(Product).where(Product.sku == bindparam("sku")))
BY_SKUS = Query(select(Product.sku).where(Product.sku.in_(bindparam("skus", expanding=True))))
DEARER = Query(select(Product.sku).where(Product.price > bindparam("price")))


def test_a_query_costs_nothing_until_it_is_run_and_is_compiled_once_per_project() -> None:
    ours, theirs = BoundDialect(), BoundDialect()
    declared = Query(select(Product).where(Product.sku == bindparam("sku")))
    first = declared.plan(ours)
    assert declared.plan(ours) is first
    assert declared.plan(theirs) is not first
    assert declared.plan(ours) is first


def test_the_plans_of_a_forgotten_query_are_forgotten() -> None:
    dialect = BoundDialect()
    declared = Query(select(Product).where(Product.sku == bindparam("sku")))
    declared.plan(dialect)
    assert len(dialect.plans) == 1
    del declared
    gc.collect()
    assert len(dialect.plans) == 0


def test_placeholders_are_postgresqls_own() -> None:
    sql, values = BY_SKU.plan(BoundDialect()).bind({"sku": "50% %s $1"})
    assert b"$1" in sql
    assert b"%" not in sql
    assert values == ["50% %s $1"]


def test_one_query_serves_projects_with_other_users_tables() -> None:
    declared = Query(select(User).where(User.email == bindparam("email")))
    host = BoundDialect(
        {"users": Binding("public.User", "_id", "text", {"email": "mail"})},
        {"auth.users": "users"},
    )
    assert b"auth.users" in declared.plan(BoundDialect()).sql
    assert b'public."User"' in declared.plan(host).sql


@pytest.mark.parametrize(
    ("given", "named"),
    [({}, "nothing"), ({"suk": "A"}, "suk"), ({"sku": "A", "more": 1}, "more, sku")],
)
def test_a_missing_or_unknown_parameter_is_told_by_name(
    world: World, given: dict[str, Any], named: str
) -> None:
    before = world.db.leaf.round_trips
    with pytest.raises(FieldUnknown, match=f"takes sku; it was given {named}"):
        world.run(world.db.all(BY_SKU, **given))
    assert world.db.leaf.round_trips == before


def test_a_wrong_parameter_is_refused_before_anything_is_sent(world: World) -> None:
    before = world.db.leaf.round_trips
    with pytest.raises(FieldInvalid, match="sku takes str"):
        world.run(world.db.all(BY_SKU, sku=5))
    with pytest.raises(FloatRefused, match="price takes Decimal"):
        world.run(world.db.all(DEARER, price=9.99))
    with pytest.raises(FieldInvalid, match="skus takes a list"):
        world.run(world.db.all(BY_SKUS, skus="A-1"))
    with pytest.raises(FieldInvalid, match="skus takes str"):
        world.run(world.db.all(BY_SKUS, skus=["A-1", 5]))
    with pytest.raises(FieldUnknown):
        world.run(world.db.all(BY_SKUS, skus=["A-1"], more=5))
    with pytest.raises(FieldUnknown):
        world.run(world.db.all(BY_SKUS))
    assert world.db.leaf.round_trips == before


def test_in_takes_any_number_of_values(world: World) -> None:
    async def body(db: Database) -> list[list[str]]:
        for sku in ("A", "B", "C"):
            await new_product(db, sku)
        wanted = ([], ["A"], ("A", "C", "zz"), {"B"}, [None])
        return [sorted(await db.all(BY_SKUS, skus=skus)) for skus in wanted]

    assert world.run(body(world.db)) == [[], ["A"], ["A", "C"], ["B"], []]


def test_one_thing_selected_is_that_thing_and_several_are_a_tuple(world: World) -> None:
    async def body(db: Database) -> None:
        product = await new_product(db)
        assert await db.one(select(Product.sku)) == "A-1"
        assert await db.one(select(Product.sku, Product.kind)) == ("A-1", Kind.GOODS)
        whole, sku = await db.one(select(Product, Product.sku))
        assert (whole.id, whole.price, sku) == (product.id, Decimal("9.99"), "A-1")
        assert await db.one(select(func.count()).select_from(Product)) == 1
        assert await db.all(union_all(select(Product.sku), select(Product.title))) == [
            "A-1",
            "Title A-1",
        ]
        assert await db.one(text("SELECT 1, 'x'")) == (1, "x")
        other = aliased(Product)
        pair = await db.one(select(Product, other).join(other, other.id == Product.id))
        assert [type(one) for one in pair] == [Product, Product]

    world.run(body(world.db))


def test_aggregates_of_money_stay_decimals(world: World) -> None:
    async def body(db: Database) -> Any:
        await new_product(db, "A", price=Decimal("1.10"))
        await new_product(db, "B", price=Decimal("2.20"))
        return await db.one(
            select(func.sum(Product.price), func.max(Product.price), Product.__table__.c.price + 1)
            .where(Product.sku == "A")
            .group_by(Product.price)
        )

    assert world.run(body(world.db)) == (Decimal("1.10"), Decimal("1.10"), Decimal("2.10"))


def test_what_an_outer_join_does_not_find_is_none(world: World) -> None:
    async def body(db: Database) -> list[tuple[str, LoyaltyCard | None]]:
        ada, _ = await new_customer(db, "Ada"), await new_customer(db, "Bob")
        await cards.create(db, LoyaltyCard(customer_id=ada.id, code="gold"))
        joined = select(Customer.name, LoyaltyCard).outerjoin(Customer.card)
        return await db.all(joined.order_by(Customer.name))

    (ada, card), (bob, nothing) = world.run(body(world.db))
    assert card is not None
    assert (ada, card.code, bob, nothing) == ("Ada", "gold", "Bob", None)


def test_first_is_none_and_one_is_an_error_where_there_is_no_row(world: World) -> None:
    assert world.run(world.db.first(BY_SKU, sku="zz")) is None
    with pytest.raises(NotFound, match=r"Use first\(\)"):
        world.run(world.db.one(BY_SKU, sku="zz"))


def test_run_counts_the_rows_it_touched(world: World) -> None:
    async def body(db: Database) -> list[int]:
        for sku in ("A", "B"):
            await new_product(db, sku)
        renamed = update(Product).values(title="T")
        return [
            await db.run(renamed),
            await db.run(renamed.where(Product.sku == "A")),
            await db.run(renamed.where(Product.sku == "zz")),
        ]

    assert world.run(body(world.db)) == [2, 1, 0]


def test_an_update_may_return_the_rows_as_instances(world: World) -> None:
    async def body(db: Database) -> list[Product]:
        await new_product(db)
        return await db.all(update(Product).values(title="new").returning(Product))

    (changed,) = world.run(body(world.db))
    assert (type(changed), changed.title, changed.kind) == (Product, "new", Kind.GOODS)


def test_statements_of_one_shape_share_a_plan_and_keep_their_own_values() -> None:
    dialect = BoundDialect()
    first, values = adhoc(select(Product).where(Product.sku == "A").limit(4), dialect)
    again, others = adhoc(select(Product).where(Product.sku == "B").limit(5), dialect)
    assert again is first
    assert first.bind(values)[1] == ["A", 4]
    assert first.bind(others)[1] == ["B", 5]


def test_a_project_keeps_a_limited_number_of_ad_hoc_plans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query_module, "ADHOC_PLANS_MAX", 3)
    dialect = BoundDialect()
    for count in range(1, 8):
        adhoc(select(*[Product.sku.label(f"c{n}") for n in range(count)]), dialect)
    assert len(dialect.adhoc_plans) == 3


def test_a_condition_on_a_model_that_nothing_joins_is_refused(world: World) -> None:
    """It would silently pair every product with every customer."""
    before = world.db.leaf.round_trips
    with pytest.raises(UsageError, match=r"shop\.customers, shop\.products .*nothing that joins"):
        world.run(world.db.all(select(Product).where(Customer.name == "Ada")))
    assert world.db.leaf.round_trips == before


def test_include_needs_a_query_of_one_model() -> None:
    query: Any = Query(select(Product.sku), include=(Product.variants,))
    with pytest.raises(UsageError, match="exactly one model"):
        query.plan(BoundDialect())


def test_a_field_that_was_not_read_says_so() -> None:
    """The model of an adopted table lacks what the binding lacks."""
    bound = {"users": Binding("public.User", "_id", "text")}
    plan = Query(select(User)).plan(BoundDialect(bound, {"auth.users": "users"}))
    user = plan.make(["u_1"])
    assert user.id == "u_1"
    with pytest.raises(FieldNotLoaded, match=r"User was read without .*email"):
        user.email  # noqa: B018
