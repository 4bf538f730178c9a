"""Soft-deleted rows: hidden from every read that did not ask for them, and their values freed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import Text, bindparam, column, delete, exists, func, select, text, union, update
from sqlalchemy.orm import aliased

from bedplate import Database, Include, Query, Writer, assign, errors
from bedplate.kernel.handle import Handle
from bedplate.modules.auth import User, users
from tests.kernel.builders import (
    new_customer,
    new_order,
    new_product,
    order_lines,
    orders,
    products,
    specimens,
)
from tests.shop import Order, OrderLine, Product, Specimen
from tests.world import World

SKU = (Product.sku,)
VERSIONS: Query[Any] = Query(
    text("SELECT sku FROM shop.products ORDER BY sku").columns(column("sku", Text))
)


async def living_and_deleted(db: Writer) -> tuple[Product, Product]:
    """Two products, the second of them deleted; both have a specimen."""
    both = await new_product(db, "LIVES"), await new_product(db, "DELETED")
    for product in both:
        await specimens.create(db, Specimen(product_id=product.id))
    await products.delete(db, both[1].id)
    return both


async def skus(db: Handle, statement: Any) -> list[Any]:
    return sorted(await db.all(statement))


def test_every_verb_of_a_repository_leaves_deleted_rows_out(world: World) -> None:
    async def body(db: Database) -> None:
        living, deleted = await living_and_deleted(db)
        is_it = Product.id == deleted.id
        with pytest.raises(errors.NotFound):
            await products.get(db, deleted.id)
        assert (await products.get(db, living.id)).sku == "LIVES"
        assert await products.find(db, is_it) is None
        assert await products.find(db, is_it, select=SKU) is None
        assert [row.sku for row in await products.list(db)] == ["LIVES"]
        assert await products.list(db, select=SKU) == [("LIVES",)]
        assert [row.sku for row in (await products.page(db)).items] == ["LIVES"]
        assert not await products.exists(db, is_it)
        assert await products.exists(db)
        assert await products.count(db) == 1
        assert [row.sku async for row in products.stream(db)] == ["LIVES"]
        with pytest.raises(errors.NotFound):
            await products.update(db, deleted.id, assign(Product.title, "changed"))
        async with db.read() as reader:
            assert await products.count(reader) == 1

    world.run(body(world.db))


def test_with_deleted_sees_them_with_every_verb(world: World) -> None:
    async def body(db: Database) -> None:
        _, deleted = await living_and_deleted(db)
        every, is_it = products.with_deleted(), Product.id == deleted.id
        found = await every.get(db, deleted.id)
        assert found.deleted_at is not None
        assert await every.find(db, is_it) is not None
        assert len(await every.list(db)) == 2
        assert len((await every.page(db)).items) == 2
        assert await every.exists(db, is_it)
        assert await every.count(db) == 2
        assert len([row async for row in every.stream(db)]) == 2
        changed = await every.update(db, deleted.id, assign(Product.title, "changed"))
        assert changed.title == "changed"
        # The repository it came from still leaves them out.
        assert await products.count(db) == 1
        query = Query(select(Product.sku).order_by(Product.sku), deleted=True)
        assert await db.all(query) == ["DELETED", "LIVES"]

    world.run(body(world.db))


def test_statements_built_on_the_spot_leave_them_out(world: World) -> None:
    async def body(db: Database) -> None:
        await living_and_deleted(db)
        alias = aliased(Product)
        inner = select(Product.id).where(Product.price > 0)
        subquery, cte = select(Product).subquery(), select(Product).cte("some")
        statements: tuple[Any, ...] = (
            select(Product.sku),
            select(alias.sku),
            select(subquery.c.sku),
            select(cte.c.sku),
            select(aliased(Product, subquery).sku),
            select(Product.sku).join(Specimen),
            select(alias.sku).join(Specimen, Specimen.product_id == alias.id),
            select(Product.sku).select_from(Specimen).join(Specimen.product),
            select(alias.sku).select_from(Specimen).join(Specimen.product.of_type(alias)),
            select(Product.sku).where(Product.id.in_(select(alias.id))),
            select(Product.sku).distinct(),
            select(func.max(Product.sku)).group_by(Product.id),
            union(select(Product.sku), select(alias.sku)),
            select(union(select(Product.sku), select(alias.sku)).subquery().c.sku),
        )
        for statement in statements:
            assert await skus(db, statement) == ["LIVES"], str(statement)
            assert await skus(db, Query(statement)) == ["LIVES"], str(statement)
            assert len(await db.all(Query(statement, deleted=True))) == 2, str(statement)
        assert [row.sku for row in await db.all(select(Product))] == ["LIVES"]
        assert [row.sku for row in await db.all(select(alias))] == ["LIVES"]
        assert [row async for row in db.stream(select(Product.sku))] == ["LIVES"]
        for count in (
            select(func.count()).select_from(Product),
            select(func.count(Product.id)),
            select(select(func.count()).select_from(alias).scalar_subquery()),
            select(func.count()).where(Specimen.product_id.in_(inner)),
            select(func.count(Specimen.id)).where(Specimen.product.has()),
            select(func.count(Specimen.id)).where(
                exists().where(Product.id == Specimen.product_id)
            ),
            select(func.count(Specimen.id)).where(
                exists(select(alias.id).where(alias.id == Specimen.product_id))
            ),
        ):
            assert await db.one(count) == 1, str(count)
            assert await db.one(Query(count, deleted=True)) == 2, str(count)

    world.run(body(world.db))


def test_an_outer_join_finds_nothing_where_the_row_is_deleted(world: World) -> None:
    async def body(db: Database) -> None:
        await living_and_deleted(db)
        found = await db.all(select(Specimen, Product).outerjoin(Product))
        assert sorted("" if product is None else product.sku for _, product in found) == [
            "",
            "LIVES",
        ]

    world.run(body(world.db))


def test_bulk_writes_pass_them_by(world: World) -> None:
    async def body(db: Database) -> None:
        _, deleted = await living_and_deleted(db)
        assert await db.run(update(Product).values(title="changed")) == 1
        assert (await products.with_deleted().get(db, deleted.id)).title == "Title DELETED"
        returned = await db.all(update(Product).values(title="again").returning(Product.sku))
        assert returned == ["LIVES"]
        living = select(Product.id)
        changed = update(Specimen).where(Specimen.product_id.in_(living)).values(small=1)
        assert await db.run(changed) == 1
        joined = update(Specimen).where(Specimen.product_id == Product.id).values(short=Product.sku)
        assert await db.run(joined) == 1
        alias = aliased(Product)
        joined = update(Specimen).where(Specimen.product_id == alias.id).values(short="joined")
        assert await db.run(Query(joined, deleted=True)) == 2
        assert await db.run(joined) == 1
        using = delete(Specimen).where(Specimen.product_id == Product.id)
        assert await db.run(using) == 1
        assert await db.run(delete(Product)) == 1
        assert await db.all(VERSIONS) == ["DELETED"]
        assert await db.run(Query(update(Product).values(title="seen"), deleted=True)) == 1

    world.run(body(world.db))


def test_relations_leave_them_out_to_one_and_to_many(world: World) -> None:
    async def body(db: Database) -> None:
        parent = await new_product(db, "PARENT")
        kept = await new_product(db, "KEPT", parent_id=parent.id)
        gone = await new_product(db, "GONE", parent_id=parent.id)
        await products.delete(db, gone.id)
        found = await products.get(db, parent.id, include=(Product.variants,))
        assert [one.sku for one in found.variants] == ["KEPT"]
        every = products.with_deleted()
        found = await every.get(db, parent.id, include=(Product.variants,))
        assert sorted(one.sku for one in found.variants) == ["GONE", "KEPT"]

        await products.delete(db, parent.id)
        assert (await products.get(db, kept.id, include=(Product.parent,))).parent is None
        seen = (await every.get(db, kept.id, include=(Product.parent,))).parent
        assert seen is not None
        assert seen.sku == "PARENT"
        assert await products.list(db, Product.parent.has()) == []
        assert await products.list(db, Product.parent.has(Product.sku == "PARENT")) == []
        assert await every.count(db, Product.parent.has(Product.sku == "PARENT")) == 2
        another = aliased(Product)
        for condition in (Product.parent.of_type(another).has(), ~Product.parent.has()):
            expected = [] if "NOT" not in str(condition) else ["KEPT"]
            assert [row.sku for row in await products.list(db, condition)] == expected
        assert [row.sku for row in await every.list(db, Product.variants.any())] == ["PARENT"]
        await products.restore(db, parent.id)
        assert await products.count(db, Product.variants.any()) == 1
        await products.delete(db, kept.id)
        assert await products.count(db, Product.variants.any()) == 0

    world.run(body(world.db))


def test_relations_of_relations_leave_them_out_too(world: World) -> None:
    async def body(db: Database) -> None:
        order = await new_order(db, await new_customer(db))
        kept, gone = await new_product(db, "KEPT"), await new_product(db, "GONE")
        for position, product in enumerate((kept, gone), start=1):
            line = OrderLine(
                order_id=order.id, product_id=product.id, position=position, unit_price=Decimal(1)
            )
            await order_lines.create(db, line)
        await products.delete(db, gone.id)
        nested = Include(Order.lines, order=(OrderLine.position,), include=(OrderLine.product,))
        lines = (await orders.get(db, order.id, include=(nested,))).lines
        found: list[Product | None] = [line.product for line in lines]
        assert [None if one is None else one.sku for one in found] == ["KEPT", None]

    world.run(body(world.db))


def test_a_deleted_row_frees_its_values_until_it_is_restored(world: World) -> None:
    async def body(db: Database) -> None:
        first = await new_product(db, "A-1")
        with pytest.raises(errors.UniqueViolation):
            await new_product(db, "A-1")
        await products.delete(db, first.id)
        second = await new_product(db, "A-1")
        with pytest.raises(errors.UniqueViolation) as caught:
            await products.restore(db, first.id)
        assert caught.value.constraint == "uq_products_sku"
        await products.delete(db, second.id)
        restored = await products.restore(db, first.id)
        assert restored.deleted_at is None
        assert (await products.get(db, first.id)).sku == "A-1"
        assert await products.count(db) == 1

    world.run(body(world.db))


def test_an_address_is_free_again_in_any_case(world: World) -> None:
    async def body(db: Database) -> None:
        first = await users.create(db, User(email="Ada@Example.com"))
        await users.delete(db, first.id)
        await users.create(db, User(email="ada@example.com"))
        with pytest.raises(errors.UniqueViolation):
            await users.restore(db, first.id)

    world.run(body(world.db))


def test_deleting_says_when_and_counts_as_a_change(world: World) -> None:
    async def body(db: Database) -> None:
        when = world.clock.set(datetime(2026, 3, 1, tzinfo=UTC))
        product = await new_product(db)
        later = world.clock.advance(hours=1)
        await products.delete(db, product.id)
        found = await products.with_deleted().get(db, product.id)
        assert (found.created_at, found.deleted_at, found.updated_at) == (when, later, later)
        assert found.version == product.version + 1
        world.clock.advance(hours=1)
        restored = await products.restore(db, product.id)
        assert restored.updated_at == later + timedelta(hours=1)
        assert restored.version == product.version + 2

    world.run(body(world.db))


def test_deleting_or_restoring_twice_finds_nothing(world: World) -> None:
    async def body(db: Database) -> None:
        product = await new_product(db)
        with pytest.raises(errors.NotFound):
            await products.restore(db, product.id)
        await products.delete(db, product.id)
        with pytest.raises(errors.NotFound):
            await products.delete(db, product.id)
        await products.restore(db, product.id)
        with pytest.raises(errors.NotFound):
            await products.restore(db, product.id)
        with pytest.raises(errors.UsageError, match="not soft-deleted"):
            await specimens.restore(db, product.id)

    world.run(body(world.db))


def test_a_hard_delete_removes_the_row_itself(world: World) -> None:
    async def body(db: Database) -> None:
        living, deleted = await living_and_deleted(db)
        await products.delete(db, living.id, hard=True)
        with pytest.raises(errors.NotFound):
            await products.delete(db, deleted.id, hard=True)
        await products.with_deleted().delete(db, deleted.id, hard=True)
        assert await products.with_deleted().count(db) == 0
        # What hung on the rows went with them, as the foreign key says.
        assert await specimens.count(db) == 0

    world.run(body(world.db))


def test_a_rollback_takes_a_deletion_back(world: World) -> None:
    async def body(db: Database) -> None:
        product = await new_product(db)
        with pytest.raises(RuntimeError):  # noqa: PT012  The block is what is undone.
            async with db.transaction() as tx:
                await products.delete(tx, product.id)
                assert await products.count(tx) == 0
                raise RuntimeError
        assert await products.count(db) == 1

    world.run(body(world.db))


def test_looking_an_address_up_uses_the_partial_index(world: World) -> None:
    """The filter that hides deleted rows is the very condition of the unique index."""

    async def body(db: Database) -> None:
        await users.load(db, (User.email,), [(f"{n}@example.com",) for n in range(2_000)])
        with psycopg.connect(world.clone.owner_url, autocommit=True) as owner:
            owner.execute("ANALYZE auth.users")
        by_address = Query(select(User).where(func.lower(User.email) == bindparam("email")))
        (sql, values), _ = db.prepare(by_address, {"email": "77@example.com"})
        explain = (b"EXPLAIN (COSTS OFF) " + sql, values)
        plan = "\n".join(await db.fetch(explain, lambda row: row[0]))
        assert "Index Scan using uq_users_email" in plan
        assert "Filter" not in plan
        # With deleted rows wanted too the partial index cannot answer: the two really differ.
        every = Query(by_address.statement, deleted=True)
        (sql, values), _ = db.prepare(every, {"email": "77@example.com"})
        explain = (b"EXPLAIN (COSTS OFF) " + sql, values)
        assert "uq_users_email" not in "\n".join(await db.fetch(explain, lambda row: row[0]))

    world.run(body(world.db))
