"""No row value and no password in any error, traceback or log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import bindparam, select, text

from bedplate.kernel import ids
from bedplate.kernel.database import Database
from bedplate.kernel.errors import AuthenticationFailed, BedplateError, DatabaseUnreachable
from bedplate.kernel.fields import assign
from bedplate.kernel.pool import AsyncLeaf, PoolOptions
from bedplate.kernel.query import Query
from bedplate.modules.auth import User, create_user, users
from tests.kernel.builders import a_product, new_product, orders, products
from tests.shop import Order, Product
from tests.world import World

SECRET = "swordfish-4711"
Act = Callable[[Database], Coroutine[Any, Any, Any]]


async def _unique(db: Database) -> None:
    for _ in range(2):
        await users.create(db, User(email=f"{SECRET}@example.com", password_hash=SECRET))


async def _taken(db: Database) -> None:
    async with db.transaction() as tx:
        for _ in range(2):
            await create_user(tx, User(email=f"{SECRET}@example.com"))


async def _check(db: Database) -> None:
    await users.create(db, User(email=SECRET, password_hash=SECRET))


async def _too_long(db: Database) -> None:
    await new_product(db, SECRET * 3)


async def _in_copy(db: Database) -> None:
    await products.create_many(db, [a_product("A"), a_product(SECRET * 3)])


async def _nul(db: Database) -> None:
    await new_product(db, "A", title=f"{SECRET}\x00")


async def _wrong_type(db: Database) -> None:
    await products.create(db, a_product("A", price=SECRET))


async def _wrong_key(db: Database) -> None:
    await products.get(db, SECRET)


async def _wrong_row(db: Database) -> None:
    rows = [("A", "T", Decimal(1)), ("B", "T", SECRET)]
    await products.load(db, (Product.sku, Product.title, Product.price), rows)


async def _foreign_key(db: Database) -> None:
    note = SECRET
    await orders.create(db, Order(customer_id=ids.new(), number=1, total=Decimal(1), note=note))


async def _cast(db: Database) -> None:
    await db.one(text("SELECT CAST(CAST(:value AS text) AS int)"), value=SECRET)


async def _update(db: Database) -> None:
    product = await new_product(db)
    await products.update(db, product.id, assign(Product.sku, SECRET * 3))


async def _parameter(db: Database) -> None:
    query = Query(select(Product).where(Product.price == bindparam("price")))
    await db.all(query, price=SECRET)


async def _cursor(db: Database) -> None:
    await products.page(db, at=SECRET)


ACTS: tuple[Act, ...] = (
    *(_unique, _taken, _check, _too_long, _in_copy, _nul, _wrong_type, _wrong_key),
    *(_wrong_row, _foreign_key, _cast, _update, _parameter, _cursor),
)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__.strip("_"))
def test_an_error_tells_no_value(world: World, act: Act, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(BedplateError) as refused:
        world.run(act(world.db))
    error = refused.value
    text_of_it = "".join(traceback.format_exception(error))
    for said in (str(error), repr(error), text_of_it, caplog.text, str(error.__dict__)):
        assert SECRET not in said


def test_the_drivers_own_error_would_have_told(world: World) -> None:
    """Why errors are raised `from None`: what they are made of quotes the row."""
    world.run(new_product(world.db, SECRET))
    with pytest.raises(BedplateError) as refused:
        world.run(new_product(world.db, SECRET))
    origin = refused.value.__context__
    assert SECRET in str(origin)
    assert refused.value.__suppress_context__


def test_an_instance_shows_its_key_and_nothing_else() -> None:
    user = User(email=f"{SECRET}@example.com", password_hash=SECRET)
    assert SECRET not in repr(user)
    assert str(user.id) in repr(user)


def test_a_slow_statement_is_logged_without_its_values(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.db.watch._slow_ns = 0
    with caplog.at_level(logging.WARNING, "bedplate"):
        world.run(users.list(world.db, User.email == SECRET))
    assert "slow statement" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://ada:{secret}@127.0.0.1:1/none", DatabaseUnreachable),
        ("postgresql://ada:{secret}@no-such-host.invalid/none", DatabaseUnreachable),
        ("postgresql://ada:{secret}@[not-an-address/none", DatabaseUnreachable),
    ],
)
async def test_a_password_is_in_no_error_of_connecting(
    url: str, kind: type[BedplateError], caplog: pytest.LogCaptureFixture
) -> None:
    leaf = AsyncLeaf(PoolOptions(url=url.format(secret=SECRET), connect_timeout_ms=2_000))
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as refused:
        await leaf.open()
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + caplog.text
    assert SECRET not in told


def test_a_wrong_password_is_not_told_either(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    leaf: Any = world.db.leaf
    scheme, _, rest = world.clone.url.partition("://")
    user, _, address = rest.partition("@")
    url = f"{scheme}://{user.partition(':')[0]}:{SECRET}@{address}"
    other = type(leaf)(replace(leaf._options, url=url))
    with caplog.at_level(logging.DEBUG), pytest.raises(AuthenticationFailed) as refused:
        world.run(other.open())
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + caplog.text
    assert SECRET not in told
    assert "DATABASE_URL" in str(refused.value)
