"""Pages by keyset: every row once, in any order, forward and backward; other cursors refused."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from sqlalchemy import func

from bedplate import Database, Page, Repository, assign, equal, errors
from bedplate.kernel import pagination
from bedplate.kernel.fields import Condition, Term
from bedplate.kernel.pagination import PAGE_SIZE_MAX
from bedplate.kernel.relations import Included
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
from tests.shop import Kind, Order, OrderLine, Product, Specimen
from tests.world import World

MOMENT = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)

VALUES: dict[str, Sequence[Any]] = {
    "kind": list(Kind),
    "amount": [Decimal("-1.5"), Decimal("0.000001"), Decimal("12345678901234.567891")],
    "seen_at": [MOMENT, MOMENT + timedelta(microseconds=1), MOMENT.replace(year=1999)],
    "day": [MOMENT.date(), MOMENT.date() + timedelta(days=1)],
    "flag": [True, False],
    "short": ["", "a", "Ä", "123", "true"],
    "words": ["null", 'a "quoted" \\ one', "naïve ☃", "None"],
    "small": [-(2**31), 0, 2**31 - 1],
    "large": [-(2**63), 2**53 + 1, 2**63 - 1],
    "ratio": [0.1, -math.inf, math.inf, math.nan, 1e-300],
    "content": [b"", b"\x00\xff"],
}
"""What the columns hold, each beside NULL; every column has more rows than values, so it ties."""

ORDERS: tuple[tuple[Term, ...], ...] = (
    (),
    (Specimen.id.desc(),),
    *((getattr(Specimen, name),) for name in VALUES),
    *((getattr(Specimen, name).desc(),) for name in VALUES),
    (Specimen.kind.asc(), Specimen.amount.desc()),
    (Specimen.flag.desc(), Specimen.small, Specimen.short.desc()),
    (Specimen.seen_at.desc(), Specimen.words.desc(), Specimen.large.desc()),
    (Specimen.flag, Specimen.id.desc()),
    (Specimen.product_id, Specimen.flag.desc()),
)


async def a_shelf(db: Database, rows: int = 23) -> None:
    """Specimens whose columns go round their values and NULL at different speeds."""
    product = await new_product(db)
    for number in range(rows):
        given: dict[str, Any] = {
            name: (*values, None)[(number * step) % (len(values) + 1)]
            for step, (name, values) in enumerate(VALUES.items(), start=1)
        }
        await specimens.create(db, Specimen(product_id=product.id, **given))


async def forward(
    repository: Repository[Any],
    db: Database,
    *where: Condition,
    order: Sequence[Term] = (),
    size: int = 4,
    include: tuple[Included, ...] = (),
) -> list[Page[Any]]:
    """Every page from the first to the last."""
    pages = [await repository.page(db, *where, order=order, size=size, include=include)]
    while at := pages[-1].next:
        pages.append(
            await repository.page(db, *where, order=order, size=size, at=at, include=include)
        )
    return pages


async def backward(
    repository: Repository[Any], db: Database, last: Page[Any], *where: Condition, **how: Any
) -> list[Page[Any]]:
    """The pages from a last one to the first, in the order of the rows."""
    pages = [last]
    while at := pages[0].previous:
        pages.insert(0, await repository.page(db, *where, at=at, **how))
    return pages


def keys(pages: Sequence[Page[Any]]) -> list[Any]:
    return [row.id for page in pages for row in page.items]


def test_every_order_gives_each_row_once_forward_and_backward(world: World) -> None:
    async def body(db: Database) -> None:
        await a_shelf(db)
        for order in ORDERS:
            descending = bool(order) and "DESC" in str(order[0])
            last = Specimen.id.desc() if descending else Specimen.id.asc()
            # PostgreSQL's own sort of the whole table is what the pages must add up to.
            expected = [row.id for row in await specimens.list(db, order=(*order, last))]
            for size in (4, 23):
                pages = await forward(specimens, db, order=order, size=size)
                assert keys(pages) == expected, (str(order), size)
                assert [len(page.items) for page in pages[:-1]] == [size] * (len(pages) - 1)
                assert pages[0].previous is None
                assert pages[-1].next is None
                back = await backward(specimens, db, pages[-1], order=order, size=size)
                assert keys(back) == expected, (str(order), size)

    world.run(body(world.db))


def test_one_step_back_gives_the_very_page_before(world: World) -> None:
    async def body(db: Database) -> None:
        await a_shelf(db)
        order = (Specimen.kind.desc(), Specimen.amount)
        pages = await forward(specimens, db, order=order)
        for before, page in pairwise(pages):
            found = await specimens.page(db, order=order, size=4, at=page.previous)
            assert keys([found]) == keys([before])
            assert found.previous == before.previous
            assert found.next == before.next

    world.run(body(world.db))


def test_a_users_key_orders_like_any_other(world: World) -> None:
    async def body(db: Database) -> None:
        for number in range(7):
            await users.create(db, User(email=f"{number}@example.com", is_active=number % 2 == 0))
        for order in ((), (User.created_at.desc(),), (User.is_active, User.email.desc())):
            pages = await forward(users, db, order=order, size=2)
            assert sorted(keys(pages)) == sorted(user.id for user in await users.list(db))
            assert len(keys(pages)) == 7

    world.run(body(world.db))


def test_empty_and_last_pages_have_no_way_on(world: World) -> None:
    async def body(db: Database) -> None:
        assert await products.page(db) == Page([], None, None)
        await new_product(db, "A-1")
        only = await products.page(db, size=1)
        assert (len(only.items), only.next, only.previous) == (1, None, None)
        await new_product(db, "A-2")
        first = await products.page(db, size=1)
        assert first.next is not None
        last = await products.page(db, size=1, at=first.next)
        assert last.next is None
        await products.delete(db, last.items[0].id, hard=True)
        assert (await products.page(db, size=1, at=first.next)).items == []

    world.run(body(world.db))


def test_sizes_from_one_to_a_thousand(world: World) -> None:
    async def body(db: Database) -> None:
        await users.load(db, (User.email,), [(f"{n}@example.com",) for n in range(1_001)])
        assert len((await users.page(db)).items) == pagination.PAGE_SIZE == 20
        page = await users.page(db, size=PAGE_SIZE_MAX)
        assert len(page.items) == 1_000
        assert len((await users.page(db, size=1_000, at=page.next)).items) == 1
        sent = db.leaf.round_trips
        for size in (0, -1, 1_001, 10**9):
            with pytest.raises(errors.LimitExceeded, match="1 to 1000"):
                await users.page(db, size=size)
        assert db.leaf.round_trips == sent

    world.run(body(world.db))


def test_pages_with_conditions_and_relations_are_one_statement_each(world: World) -> None:
    async def body(db: Database) -> None:
        customer = await new_customer(db)
        product = await new_product(db)
        for number in range(9):
            order = await new_order(db, customer, number, note="odd" if number % 2 else None)
            for position in (1, 2):
                line = OrderLine(
                    order_id=order.id,
                    product_id=product.id,
                    position=position,
                    unit_price=Decimal(number),
                )
                await order_lines.create(db, line)
        sent = db.leaf.round_trips
        pages = await forward(
            orders,
            db,
            Order.note == "odd",
            order=(Order.number.desc(),),
            size=3,
            include=(Order.lines, Order.customer),
        )
        assert db.leaf.round_trips == sent + len(pages)
        rows = [order for page in pages for order in page.items]
        assert [order.number for order in rows] == [7, 5, 3, 1]
        for order in rows:
            assert order.customer.id == customer.id
            assert [line.unit_price for line in order.lines] == [Decimal(order.number)] * 2

    world.run(body(world.db))


def test_a_page_in_a_transaction_sees_its_own_rows(world: World) -> None:
    async def body(db: Database) -> None:
        await new_product(db, "A-1")
        async with db.transaction() as tx:
            page = await products.page(tx, order=(Product.sku,), size=1)
            await new_product(tx, "A-2")
            seen = await products.page(tx, order=(Product.sku,), size=1)
            assert (page.next, seen.next is None) == (None, False)

    world.run(body(world.db))


async def refused(db: Database, cursor: Any, *where: Condition, order: Sequence[Term] = ()) -> None:
    with pytest.raises(errors.CursorInvalid):
        await products.page(db, *where, order=order, size=2, at=cursor)


async def a_cursor(db: Database, *where: Condition, order: Sequence[Term] = ()) -> str:
    for number in range(1, 4):
        await new_product(db, f"A-{number}")
    cursor = (await products.page(db, *where, order=order, size=2)).next
    assert cursor is not None
    return cursor


def test_a_damaged_cursor_is_refused_and_nothing_is_sent(world: World) -> None:
    async def body(db: Database) -> None:
        order = (Product.sku, Product.price.desc())
        cursor = await a_cursor(db, order=order)
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        sent = db.leaf.round_trips
        for place, letter in enumerate(cursor):
            for other in {"A", "z", "-", "_", chr(ord(letter) ^ 1), "\x00", "☃"} - {letter}:
                await refused(db, cursor[:place] + other + cursor[place + 1 :], order=order)
        for place in range(len(raw)):
            for bit in range(8):
                flipped = bytearray(raw)
                flipped[place] ^= 1 << bit
                text_ = base64.urlsafe_b64encode(flipped).decode().rstrip("=")
                await refused(db, text_, order=order)
        for length in range(len(cursor)):
            await refused(db, cursor[:length], order=order)
        for longer in ("=", "==", "A", "AAAA", " ", "\n", cursor):
            await refused(db, cursor + longer, order=order)
            await refused(db, longer + cursor, order=order)
        for wrong in (b"bytes", 5, ["a"]):
            await refused(db, wrong, order=order)
        assert db.leaf.round_trips == sent
        # The cursor itself is good: what was refused was the damage.
        assert len((await products.page(db, order=order, size=2, at=cursor)).items) == 1

    world.run(body(world.db))


def test_a_cursor_of_another_query_is_refused_and_nothing_is_sent(world: World) -> None:
    elsewhere = world.other_db()

    async def body(db: Database) -> None:
        where, order = Product.price > Decimal(1), (Product.sku.asc(),)
        cursor = await a_cursor(db, where, order=order)
        sent = db.leaf.round_trips
        await refused(db, cursor, order=order)
        await refused(db, cursor, Product.price > Decimal(2), order=order)
        await refused(db, cursor, Product.price >= Decimal(1), order=order)
        await refused(db, cursor, where, equal(Product.is_listed, True), order=order)
        await refused(db, cursor, where)
        await refused(db, cursor, where, order=(Product.sku.desc(),))
        await refused(db, cursor, where, order=(Product.title,))
        await refused(db, cursor, where, order=(Product.sku, Product.title))
        with pytest.raises(errors.CursorInvalid):
            await users.page(db, at=cursor)
        with pytest.raises(errors.CursorInvalid):
            await products.with_deleted().page(db, where, order=order, at=cursor)
        assert db.leaf.round_trips == sent
        # Another size is the same query; so is the same one built anew, in another project.
        page = await products.page(
            elsewhere, Product.price > Decimal(1), order=(Product.sku,), size=1, at=cursor
        )
        assert [row.sku for row in page.items] == ["A-3"]

    world.run(body(world.db))


def test_an_order_that_no_cursor_can_hold_is_refused(world: World) -> None:
    async def body(db: Database) -> None:
        sent = db.leaf.round_trips
        for term in (
            Product.title.desc().nulls_last(),
            Product.title.nulls_first(),
            func.lower(Product.title),
            func.lower(Product.title).desc(),
            Product.price + 1,
            -Product.price,
        ):
            with pytest.raises(errors.UsageError, match="A page's order takes fields"):
                await products.page(db, order=(term,))
        assert db.leaf.round_trips == sent

    world.run(body(world.db))


def test_a_row_changed_between_pages_moves_and_the_rest_stay(world: World) -> None:
    async def body(db: Database) -> None:
        for number in range(6):
            await new_product(db, f"A-{number}")
        order = (Product.sku,)
        first = await products.page(db, order=order, size=3)
        await products.update(db, first.items[2].id, assign(Product.sku, "B-0"))
        rest = await products.page(db, order=order, size=10, at=first.next)
        assert [row.sku for row in rest.items] == ["A-3", "A-4", "A-5", "B-0"]

    world.run(body(world.db))


@pytest.mark.parametrize(
    "order",
    [(User.created_at, User.id), (User.created_at.desc(),)],
    ids=["ascending", "descending"],
)
def test_a_deep_page_is_found_by_its_index(world: World, order: tuple[Term, ...]) -> None:
    """Neither sorts nor filters: the index leads straight to the page's first row."""

    async def body(db: Database) -> None:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        fields = (User.email, User.created_at)
        rows = [(f"{n}@example.com", start + timedelta(seconds=n // 3)) for n in range(2_500)]
        await users.load(db, fields, rows)
        page = await users.page(db, order=order, size=500)
        for _ in range(3):
            page = await users.page(db, order=order, size=500, at=page.next)
        with psycopg.connect(world.clone.owner_url, autocommit=True) as owner:
            owner.execute("ANALYZE auth.users")
        plan = await deep_plan(db, order, page)
        assert "Index Scan" in plan
        assert "ix_users_created_at" in plan
        assert "Index Cond: (ROW(created_at, id)" in plan
        assert "Sort" not in plan

    world.run(body(world.db))


async def deep_plan(db: Database, order: tuple[Term, ...], page: Page[User]) -> str:
    """How PostgreSQL reads the page after `page`, as the very statement that is sent."""
    sent: list[tuple[bytes, Any]] = []
    async with db.transaction() as tx:
        fetch = tx.fetch

        async def watched(statement: Any, make: Any) -> list[Any]:
            sent.append(statement)
            return await fetch(statement, make)

        tx.fetch = watched  # type: ignore[method-assign]
        await users.page(tx, order=order, size=20, at=page.next)
        ((sql, values),) = sent
        lines = await fetch((b"EXPLAIN (COSTS OFF) " + sql, values), lambda values: values[0])
    return "\n".join(lines)
