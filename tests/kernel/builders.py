"""Rows that the tests of the kernel begin with, and the repositories they use."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bedplate.kernel.database import Writer
from bedplate.kernel.repository import Repository
from bedplate.modules.auth import User, users
from tests.shop import Customer, LoyaltyCard, Order, OrderLine, Product, Specimen

products = Repository(Product)
customers = Repository(Customer)
cards = Repository(LoyaltyCard)
orders = Repository(Order)
order_lines = Repository(OrderLine)
specimens = Repository(Specimen)


def a_product(sku: str = "A-1", **fields: Any) -> Product:
    """A product that is not stored yet."""
    return Product(**{"sku": sku, "title": f"Title {sku}", "price": Decimal("9.99"), **fields})


async def new_product(db: Writer, sku: str = "A-1", **fields: Any) -> Product:
    """A stored product."""
    return await products.create(db, a_product(sku, **fields))


async def new_customer(db: Writer, name: str = "Ada", **fields: Any) -> Customer:
    """A stored customer with a user of its own."""
    user = await users.create(db, User(email=f"{name.lower()}@example.com", name=name))
    return await customers.create(db, Customer(user_id=user.id, name=name, **fields))


async def new_order(db: Writer, customer: Customer, number: int = 1, **fields: Any) -> Order:
    """A stored order without lines."""
    total = fields.pop("total", Decimal("10.00"))
    order = Order(customer_id=customer.id, number=number, total=total, **fields)
    return await orders.create(db, order)
