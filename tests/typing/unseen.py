"""Wrong calls that no type checker sees: the list in the README. Each raises when it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, select

from bedplate import Database, Include, Query, Repository, assign, equal
from bedplate.modules.auth import User, users
from tests.shop import Customer, Order

BY_NAME = Query(select(User).where(User.name == bindparam("name")))
orders = Repository(Order)


def calls(db: Database, key: UUID) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every such call, by what is wrong with it; `key` is that of a user who is there."""
    return {
        # SQLAlchemy's operators take Any; equal() does not.
        "text compared with a number": lambda: users.find(db, User.email == 5),
        "a moment compared with text": lambda: users.find(db, User.created_at > "yesterday"),
        "a member that is none": lambda: users.find(db, User.role.in_(["NOBODY"])),
        # A Query's parameters go by name, and the checkers do not know the names.
        "a parameter misspelt": lambda: db.all(BY_NAME, nmae="Ada"),
        "a parameter of another type": lambda: db.all(BY_NAME, name=5),
        "a parameter missing": lambda: db.all(BY_NAME),
        # A field does not say to a checker which model it is of.
        "another model's relation": lambda: users.get(db, key, include=(Order.customer,)),
        "a relation's own relation": lambda: users.get(
            db, key, include=(User.preferences, Include(Order.lines))
        ),
        "another model's fields": lambda: users.list(db, select=(Order.id, Order.number)),
        "another model's condition": lambda: users.list(db, equal(Order.number, 1)),
        "another model's order": lambda: users.list(db, order=[Order.number]),
        "another model's change": lambda: users.update(db, key, assign(Customer.name, "Ada")),
        "another model's column to load": lambda: users.load(db, (Customer.name,), [("Ada",)]),
        "an order by a relation": lambda: users.list(db, order=[User.preferences]),
        # A key is UUID, str or int, because an adopted table has the keys its host gave it.
        "a number for a UUID": lambda: orders.get(db, 5),
        "text that is no UUID": lambda: orders.get(db, "first"),
        # Values inside tuples and expressions, and what a Python type does not say.
        "a value to load": lambda: users.load(db, (User.email,), [(5,)]),
        "an expression of another type": lambda: users.update(
            db, key, assign(User.failed_login_count, func.lower(User.email))
        ),
        "a bool for a number": lambda: users.update(db, key, assign(User.failed_login_count, True)),
        "a moment without a zone": lambda: users.update(
            db, key, assign(User.locked_until, datetime(2026, 1, 1))
        ),
        "a relation that was not read": lambda: _preferences(db, key),
    }


async def _preferences(db: Database, key: UUID) -> object:
    return (await users.get(db, key)).preferences
