"""Wrong calls, one a line. Both strict checkers refuse each line marked `wrong`, and no other;
a line marked `wrong for pyright` passes mypy."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from bedplate import (
    Binding,
    Database,
    Include,
    Page,
    Project,
    Query,
    Reader,
    Repository,
    Request,
    Settings,
    Transaction,
    acting,
    assign,
    equal,
    once,
)
from bedplate.integrations.blocking import wait
from bedplate.modules.auth import (
    Role,
    User,
    UserPreferences,
    backfill_preferences,
    create_user,
    get_user_with_data,
    users,
)
from tests.shop import Customer, Kind, Order, Product, Specimen

products = Repository(Product)
NAMES = Query(select(User.id, User.name))


def constructors(key: UUID, moment: datetime) -> None:
    User(emial="ada@example.com")  # wrong
    User("ada@example.com")  # wrong
    User(email=5)  # wrong
    User(role="ADMIN")  # wrong
    User(is_active="yes")  # wrong
    User(id="1")  # wrong
    User(created_at=moment)  # wrong
    User(preferences=None)  # wrong
    UserPreferences()  # wrong
    UserPreferences(user_id="1")  # wrong
    Customer(user_id=key)  # wrong
    Customer(user_id=key, name="Ada", born_on="1815-12-10")  # wrong
    Customer(key, key, "Ada")  # wrong
    Product(sku="A", title="A")  # wrong
    Product(sku="A", title="A", price=9.99)  # wrong
    Product(sku="A", title="A", price=Decimal(9), kind="goods")  # wrong
    Order(customer_id=key, number=1, total=Decimal(9), status=Kind.GOODS)  # wrong
    Specimen(product_id=key, lasts=5)  # wrong
    Specimen(product_id=key, content="text")  # wrong
    Specimen(product_id=key, texts=[1])  # wrong


def conditions_and_changes() -> None:
    equal(User.emial, "ada@example.com")  # wrong
    equal(User.email, 5)  # wrong
    equal(User.email)  # wrong
    equal(User.role, "ADMIN")  # wrong
    equal(User.is_active, 1)  # wrong
    equal(Product.price, 9.99)  # wrong
    equal("email", "ada@example.com")  # wrong
    assign(User.nmae, "Ada")  # wrong
    assign(User.name, 5)  # wrong
    assign(User.failed_login_count, None)  # wrong
    assign(Order.status, Kind.GOODS)  # wrong
    assign(Specimen.seen_at, "2026-01-01")  # wrong
    assign("name", "Ada")  # wrong


async def reads(db: Database, key: UUID, ada: User) -> None:
    await users.get(key)  # wrong
    await users.get(db)  # wrong
    await users.get(db, None)  # wrong
    await users.get(db, ada)  # wrong
    await users.get(db, key, includes=(User.preferences,))  # wrong
    await users.get(db, key, include=User.preferences)  # wrong
    await users.get(db, key, include=(User.preference,))  # wrong
    await users.get(db, key, include=(User.email,))  # wrong
    await users.get(db, key, include=("preferences",))  # wrong
    await users.fetch(db, key)  # wrong
    await users.find(db, True)  # wrong
    await users.find(db, User.is_active)  # wrong
    await users.find(db, email="ada@example.com")  # wrong
    await users.list(db, order=["name"])  # wrong
    await users.list(db, order=[User.nmae])  # wrong
    await users.list(db, limit="5")  # wrong
    await users.list(db, select=("id", "name"))  # wrong
    await users.list(db, select=(User.nmae,))  # wrong
    await users.list(db, select=(User.id,), include=(User.preferences,))  # wrong
    await users.page(db, size="20")  # wrong
    await users.page(db, at=2)  # wrong
    await users.page(db, offset=20)  # wrong
    await users.count(db, "is_active")  # wrong
    await users.exists(db, include=(User.preferences,))  # wrong
    Include(Order.note)  # wrong
    Include(Order.lines, order=("position",))  # wrong
    Include(Order.lines, limit="5")  # wrong


async def results(db: Database, key: UUID) -> None:
    address: str = (await users.get(db, key)).email  # wrong
    found: User = await users.find(db)  # wrong
    print((await users.get(db, key)).emial)  # wrong
    print(users.get(db, key).email)  # wrong
    keys: list[UUID] = await users.list(db, select=(User.id,))  # wrong
    pairs: list[tuple[UUID, str]] = await users.list(db, select=(User.id, User.name))  # wrong
    (await users.list(db, select=(User.id, User.name)))[0][2]  # wrong
    page: Page[Order] = await users.page(db)  # wrong
    number: str = (await users.page(db)).items[0].failed_login_count  # wrong
    more: bool = (await users.page(db)).next  # wrong
    total: str = await users.count(db)  # wrong
    rows: list[User] = await db.all(NAMES)  # wrong
    role: str = await db.one(select(User.role))  # wrong for pyright
    name: str = await db.one(select(User.name).where(User.is_active))  # wrong
    first: User = await db.first(select(User))  # wrong
    print(address, found, keys, pairs, page, number, more, total, rows, role, name, first)


async def handles(db: Database, reader: Reader, tx: Transaction, key: UUID, ada: User) -> None:
    await users.create(reader, ada)  # wrong
    await users.create(ada)  # wrong
    await users.create(db, {"email": "ada@example.com"})  # wrong
    await users.create(db, UserPreferences(user_id=key))  # wrong
    await users.create_many(db, ada)  # wrong
    await users.create_many(reader, [ada])  # wrong
    await users.update(reader, key, assign(User.name, "Ada"))  # wrong
    await users.update(db, key, name="Ada")  # wrong
    await users.update(db, key, {"name": "Ada"})  # wrong
    await users.update(db, key, equal(User.name, "Ada"))  # wrong
    await users.delete(reader, key)  # wrong
    await users.delete(db, ada)  # wrong
    await users.upsert(db, ada)  # wrong
    await users.load(db, ("email",), [("ada@example.com",)])  # wrong
    await db.all("SELECT 1")  # wrong
    await db.one(User)  # wrong
    await db.commit()  # wrong
    reader.after_commit(print)  # wrong
    tx.after_commit("done")  # wrong
    await tx.emit("user created")  # wrong
    db.transaction(actor=1.5)  # wrong
    db.read(ada)  # wrong
    Query("SELECT 1")  # wrong
    Query(select(User), include=(User.email,))  # wrong
    Repository(Role)  # wrong


async def verbs(db: Database, tx: Transaction, reader: Reader, ada: User, key: UUID) -> None:
    await create_user(db, ada)  # wrong
    await create_user(tx, "ada@example.com")  # wrong
    await create_user(tx, email="ada@example.com")  # wrong
    await create_user(tx, UserPreferences(user_id=key))  # wrong
    await get_user_with_data(db, 1.5)  # wrong
    await backfill_preferences(reader)  # wrong
    await users.by_email(db, 5)  # wrong
    acting(1.5)  # wrong
    acting(key, request_id=5)  # wrong
    acting(user=key)  # wrong
    await Project.open(5)  # wrong
    await Project.open(settings={"modules": ["auth"]})  # wrong
    await Project.open(module="auth")  # wrong
    print(Project.open().db)  # wrong
    Settings(modules=("auth",))  # wrong
    Binding(key="_id")  # wrong
    Binding(table="public.User", writeable=True)  # wrong
    await once(db, Request("key"))  # wrong
    wait(users.get)  # wrong
    name: str = wait(users.get(db, key))  # wrong
    print(name)
