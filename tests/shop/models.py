"""Customers order products. The relations of every kind, and a column of every type."""

from __future__ import annotations

import enum
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bedplate.kernel.columns import Identified, SoftDeleted, Timestamped, Versioned
from bedplate.kernel.model import Model
from bedplate.kernel.types import document, enum_type, moment, money, user_key

SCHEMA = "shop"


class Kind(enum.Enum):
    """What a product is; the values differ from the names on purpose."""

    GOODS = "goods"
    SERVICE = "service"
    GIFT_CARD = "gift-card"


class Status(enum.Enum):
    """How far an order has come."""

    OPEN = "OPEN"
    PAID = "PAID"
    SENT = "SENT"


class Customer(Identified, Timestamped, Model):
    """A user who buys: one customer per user at most (1-1), many orders (1-n)."""

    __tablename__ = "customers"

    user_id: Mapped[UUID] = mapped_column(
        user_key(), ForeignKey("auth.users.id", ondelete="CASCADE"), comment="Who the customer is."
    )
    name: Mapped[str] = mapped_column(String(40), comment="Name on the invoice.")
    born_on: Mapped[date | None] = mapped_column(default=None, comment="Birthday.")

    card: Mapped[LoyaltyCard | None] = relationship(
        init=False, back_populates="customer", lazy="raise"
    )
    orders: Mapped[list[Order]] = relationship(init=False, back_populates="customer", lazy="raise")

    __table_args__: Any = (
        UniqueConstraint("user_id", name="uq_customers_user_id"),
        {"schema": SCHEMA, "comment": "Users who buy."},
    )


class LoyaltyCard(Identified, Model):
    """A customer's card (1-1, and the customer may have none)."""

    __tablename__ = "loyalty_cards"

    customer_id: Mapped[UUID] = mapped_column(
        ForeignKey("shop.customers.id", ondelete="CASCADE"), comment="Whose card it is."
    )
    code: Mapped[str] = mapped_column(String(8), comment="What is printed on the card.")
    points: Mapped[int] = mapped_column(default=0, server_default="0", comment="Points so far.")

    customer: Mapped[Customer] = relationship(init=False, back_populates="card", lazy="raise")

    __table_args__: Any = (
        UniqueConstraint("customer_id", name="uq_loyalty_cards_customer_id"),
        UniqueConstraint("code", name="uq_loyalty_cards_code"),
        CheckConstraint("points >= 0", name="points"),
        {"schema": SCHEMA, "comment": "Cards of the customers."},
    )


class Product(Identified, Timestamped, SoftDeleted, Versioned, Model):
    """What is sold: soft-deleted, versioned, and perhaps a variant of another product."""

    __tablename__ = "products"

    sku: Mapped[str] = mapped_column(String(20), comment="Number; unique among living products.")
    title: Mapped[str] = mapped_column(comment="What it is called.")
    price: Mapped[Decimal] = mapped_column(money(), comment="Price in euro.")
    kind: Mapped[Kind] = mapped_column(
        enum_type(Kind, SCHEMA),
        default=Kind.GOODS,
        server_default=Kind.GOODS.name,
        comment="What kind of product it is.",
    )
    is_listed: Mapped[bool] = mapped_column(
        default=True, server_default=text("true"), comment="Whether it is shown."
    )
    parent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("shop.products.id"), default=None, comment="The product it is a variant of."
    )

    parent: Mapped[Product | None] = relationship(
        init=False, back_populates="variants", remote_side="Product.id", lazy="raise"
    )
    variants: Mapped[list[Product]] = relationship(
        init=False, back_populates="parent", lazy="raise"
    )
    specimens: Mapped[list[Specimen]] = relationship(
        init=False, back_populates="product", lazy="raise"
    )

    __table_args__ = (
        CheckConstraint("price > 0", name="price"),
        Index("uq_products_sku", "sku", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_products_parent_id", "parent_id"),
        Index("ix_products_price", "price", "id"),
        {"schema": SCHEMA, "comment": "What is sold."},
    )


class Specimen(Identified, Model):
    """A column of every type, all of them nullable; and a product, so that a relation has them."""

    __tablename__ = "specimens"

    product_id: Mapped[UUID] = mapped_column(
        ForeignKey("shop.products.id", ondelete="CASCADE"), comment="The product it belongs to."
    )
    kind: Mapped[Kind | None] = mapped_column(
        enum_type(Kind, SCHEMA), default=None, comment="An enum."
    )
    amount: Mapped[Decimal | None] = mapped_column(
        Numeric(20, 6), default=None, comment="An exact decimal."
    )
    token: Mapped[UUID | None] = mapped_column(Uuid, default=None, comment="A UUID.")
    seen_at: Mapped[datetime | None] = mapped_column(moment(), default=None, comment="A moment.")
    day: Mapped[date | None] = mapped_column(default=None, comment="A day.")
    lasts: Mapped[timedelta | None] = mapped_column(Interval, default=None, comment="A duration.")
    data: Mapped[Any | None] = mapped_column(document(), default=None, comment="A document.")
    content: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, comment="Bytes.")
    ratio: Mapped[float | None] = mapped_column(Double, default=None, comment="A float.")
    flag: Mapped[bool | None] = mapped_column(default=None, comment="True or false.")
    small: Mapped[int | None] = mapped_column(default=None, comment="A 32-bit number.")
    large: Mapped[int | None] = mapped_column(BigInteger, default=None, comment="A 64-bit number.")
    short: Mapped[str | None] = mapped_column(String(10), default=None, comment="Limited text.")
    words: Mapped[str | None] = mapped_column(Text, default=None, comment="Text.")
    texts: Mapped[list[str | None] | None] = mapped_column(
        ARRAY(Text), default=None, comment="An array of text."
    )
    numbers: Mapped[list[int | None] | None] = mapped_column(
        ARRAY(Integer), default=None, comment="An array of numbers."
    )
    amounts: Mapped[list[Decimal | None] | None] = mapped_column(
        ARRAY(Numeric(12, 2)), default=None, comment="An array of decimals."
    )
    tokens: Mapped[list[UUID | None] | None] = mapped_column(
        ARRAY(Uuid), default=None, comment="An array of UUIDs."
    )

    product: Mapped[Product] = relationship(init=False, back_populates="specimens", lazy="raise")

    __table_args__: Any = (
        Index("ix_specimens_product_id", "product_id"),
        {"schema": SCHEMA, "comment": "One column of every type."},
    )


class Order(Identified, Timestamped, Versioned, Model):
    """What a customer ordered at one time."""

    __tablename__ = "orders"

    customer_id: Mapped[UUID] = mapped_column(
        ForeignKey("shop.customers.id"), comment="Who ordered."
    )
    number: Mapped[int] = mapped_column(BigInteger, comment="What people call the order by.")
    total: Mapped[Decimal] = mapped_column(money(), comment="Sum in euro.")
    placed_at: Mapped[datetime | None] = mapped_column(
        moment(), default=None, comment="When it was placed; NULL for a basket."
    )
    status: Mapped[Status] = mapped_column(
        enum_type(Status, SCHEMA),
        default=Status.OPEN,
        server_default=Status.OPEN.name,
        comment="How far the order has come.",
    )
    note: Mapped[str | None] = mapped_column(default=None, comment="What the customer wishes.")

    customer: Mapped[Customer] = relationship(init=False, back_populates="orders", lazy="raise")
    lines: Mapped[list[OrderLine]] = relationship(init=False, back_populates="order", lazy="raise")

    __table_args__: Any = (
        UniqueConstraint("number", name="uq_orders_number"),
        CheckConstraint("total >= 0", name="total"),
        Index("ix_orders_customer_id", "customer_id"),
        {"schema": SCHEMA, "comment": "What customers ordered."},
    )


class OrderLine(Identified, Model):
    """One product of an order. Its product is looked for at COMMIT only."""

    __tablename__ = "order_lines"

    order_id: Mapped[UUID] = mapped_column(
        ForeignKey("shop.orders.id", ondelete="CASCADE"), comment="The order it is a line of."
    )
    product_id: Mapped[UUID] = mapped_column(
        ForeignKey("shop.products.id", deferrable=True, initially="DEFERRED"),
        comment="What was ordered; checked at COMMIT.",
    )
    position: Mapped[int] = mapped_column(comment="Place in the order, from 1.")
    quantity: Mapped[int] = mapped_column(default=1, server_default="1", comment="How many.")
    unit_price: Mapped[Decimal] = mapped_column(money(), comment="Price of one in euro.")

    order: Mapped[Order] = relationship(init=False, back_populates="lines", lazy="raise")
    product: Mapped[Product] = relationship(init=False, lazy="raise")

    __table_args__: Any = (
        UniqueConstraint("order_id", "position", name="uq_order_lines_order_id_position"),
        CheckConstraint("quantity BETWEEN 1 AND 100", name="quantity"),
        Index("ix_order_lines_product_id", "product_id"),
        {"schema": SCHEMA, "comment": "The products of each order."},
    )
