"""Wrong calls that no type checker sees: the list in the README. Each fails when it runs, or says
something else than was meant."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, select

from bedplate import Database, Query, Repository, assign, equal
from bedplate.modules.auth import User, users
from tests.shop import Customer, Order, Product

BY_NAME = Query(select(User).where(User.name == bindparam("name")))
orders = Repository(Order)
products = Repository(Product)


async def operators(db: Database) -> None:
    """SQLAlchemy's operators take Any; `equal` does not."""
    await users.find(db, User.email == 5)
    await users.find(db, User.created_at > "yesterday")
    await users.find(db, User.role.in_(["NOBODY"]))


async def names_in_queries(db: Database) -> None:
    """The parameters of a Query are checked when it runs."""
    await db.all(BY_NAME, nmae="Ada")
    await db.all(BY_NAME, name=5)
    await db.all(BY_NAME)


async def other_models(db: Database, key: UUID) -> None:
    """A field does not tell a checker which model it is of."""
    await users.get(db, key, include=(Order.customer,))
    await users.list(db, select=(Order.id, Order.number))
    await users.update(db, key, assign(Customer.name, "Ada"))
    await users.load(db, (Customer.name,), [("Ada",)])
    await users.list(db, order=[User.preferences])


async def keys(db: Database) -> None:
    """A key is UUID, str or int, because an adopted users table has what its host gave it."""
    await orders.get(db, 5)
    await orders.get(db, "not a uuid")


async def values(db: Database, key: UUID) -> None:
    """Expressions, tuples to load, and what a Python type does not say."""
    await users.update(db, key, assign(User.failed_login_count, func.lower(User.email)))
    await users.load(db, (User.email,), [(5,)])
    await users.update(db, key, assign(User.failed_login_count, True))
    await users.update(db, key, assign(User.locked_until, datetime(2026, 1, 1)))


async def what_was_read(db: Database, key: UUID) -> None:
    """Whether a relation was included; the types of a select= of more than three fields."""
    print((await users.get(db, key)).preferences)
    rows = await users.list(db, select=(User.id, User.name, User.email, User.role))
    role: int = rows[0][3]
    print(role, equal(User.name, "Ada"))
