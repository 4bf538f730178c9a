"""Right calls: what `wrong` gets wrong, said as it is meant. Both type checkers must be content."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select, text, union_all, update
from sqlalchemy.orm import aliased

from bedplate import (
    Binding,
    Database,
    Include,
    Page,
    Project,
    Query,
    Reader,
    Repository,
    Settings,
    Transaction,
    Writer,
    acting,
    assign,
    equal,
)
from bedplate.integrations.blocking import open_project, wait
from bedplate.modules.auth import (
    Role,
    User,
    UserPreferences,
    backfill_preferences,
    create_user,
    get_user_with_data,
    users,
)
from tests.shop import Customer, Kind, Order, OrderLine, Product, Specimen, Status

products = Repository(Product)
NAMES = Query(select(User.id, User.name))
BY_NAME = Query(select(User).where(User.name == bindparam("name")), include=(User.preferences,))
LOCK = Query(update(User).values(is_active=False), returns=User)


def constructors(key: UUID) -> None:
    User(email="ada@example.com", name=None, role=Role.ADMIN, is_active=True, id=key)
    UserPreferences(user_id=key)
    Customer(user_id=key, name="Ada", born_on=date(1815, 12, 10))
    Product(sku="A", title="A", price=Decimal("9.99"), kind=Kind.GOODS)
    Order(customer_id=key, number=1, total=Decimal(9), status=Status.PAID)
    OrderLine(order_id=key, product_id=key, position=1, unit_price=Decimal(9))
    Specimen(product_id=key, lasts=timedelta(1), content=b"", texts=["a", None], data={"a": [1]})


def conditions_and_changes(moment: datetime, name: str | None) -> None:
    equal(User.email, "ada@example.com")
    equal(User.email, None)
    equal(User.name, name)
    equal(User.role, Role.ADMIN)
    equal(Product.price, Decimal("9.99"))
    equal(aliased(User).email, "ada@example.com")
    assign(User.name, "Ada")
    assign(User.name, None)
    assign(User.name, name)
    assign(User.name, User.email)
    assign(User.name, func.initcap(User.name))
    assign(User.failed_login_count, User.failed_login_count + 1)
    assign(Specimen.seen_at, moment)


async def reads(db: Database, reader: Reader, tx: Transaction, key: UUID) -> None:
    for handle in (db, reader, tx):
        await users.get(handle, key, include=(User.preferences,))
    await users.get(db, "a host's text key")
    await users.find(db, equal(User.email, "ada@example.com"), User.created_at > func.now())
    await users.list(db, order=[User.name, User.created_at.desc()], limit=5)
    await Repository(Customer).get(
        db,
        key,
        include=(
            Customer.card,
            Include(
                Customer.orders,
                where=(equal(Order.status, Status.PAID),),
                order=(Order.placed_at.desc(),),
                limit=10,
                include=(Include(Order.lines, include=(OrderLine.product,)),),
            ),
        ),
    )
    await users.with_deleted().count(db, User.deleted_at.is_not(None))
    async for user in users.stream(db, User.is_active.is_(True)):
        print(user.email)


async def results(db: Database, key: UUID, columns: list[ColumnElement[Any]]) -> None:
    address: str | None = (await users.get(db, key)).email
    found: User | None = await users.find(db)
    keys: list[tuple[UUID]] = await users.list(db, select=(User.id,))
    pairs: list[tuple[UUID, str | None]] = await users.list(db, select=(User.id, User.name))
    pair: tuple[UUID, str | None] | None = await users.find(db, select=(User.id, User.name))
    page: Page[User] = await users.page(db, order=[User.created_at], size=20)
    more: str | None = page.next
    total: int = await users.count(db)
    rows: list[tuple[UUID, str | None]] = await db.all(NAMES)
    named: list[User] = await db.all(BY_NAME, name="Ada")
    locked: list[User] = await db.all(LOCK)
    role: Role = await db.one(select(User.role))
    first: User | None = await db.first(select(User).limit(1))
    both: list[tuple[User, UserPreferences]] = await db.all(
        select(User, UserPreferences).join(UserPreferences)
    )
    some: list[Any] = await db.all(select(*columns))
    counted: list[Any] = await db.all(text("SELECT 1"))
    written: list[User] = await db.all(update(User).values(name=None).returning(User))
    either: list[UUID] = await db.all(union_all(select(User.id), select(Order.id)))
    four: list[tuple[Any, ...]] = await users.list(
        db, select=(User.id, User.name, User.email, User.role)
    )
    touched: int = await db.run(update(User).values(is_active=True))
    print(address, found, keys, pairs, pair, page, more, total, rows, named, locked, role, first)
    print(both, some, counted, written, either, four, touched)


async def rename(db: Writer, key: UUID, name: str) -> User:
    return await users.update(db, key, assign(User.name, name))


async def handles(db: Database, tx: Transaction, key: UUID, ada: User) -> None:
    for writer in (db, tx):
        await users.create(writer, ada)
        await users.create_many(writer, [ada])
        await users.load(writer, (User.email, User.name), [("ada@example.com", "Ada")])
        await rename(writer, key, "Ada")
        await users.upsert(writer, ada, on=(User.clerk_id,))
        await users.delete(writer, key)
        await users.restore(writer, key)
    tx.after_commit(lambda: None)
    async with tx.savepoint(), db.transaction(actor=key), db.read("a host's text key"):
        pass
    again: User = await db.retry(lambda tx: rename(tx, key, "Ada"))
    print(again)


async def verbs(db: Database, tx: Transaction, ada: User, key: UUID) -> None:
    created: User = await create_user(tx, ada)
    whole: User = await get_user_with_data(db, created.id)
    backfilled: int = (await backfill_preferences(tx)).rows
    one: User | None = await users.by_email(db, "ada@example.com")
    with acting(key, request_id="r1", ip="127.0.0.1", user_agent="curl"):
        pass
    settings = Settings(
        folder=Path("."), modules=("auth",), bind={"users": Binding("public.User", key_type="text")}
    )
    async with await Project.open(settings=settings) as project:
        print(project.db, whole, backfilled, one)


def sync(key: UUID) -> None:
    project = open_project("folder")
    user: User = wait(users.get(project.db, key))
    print(user)
