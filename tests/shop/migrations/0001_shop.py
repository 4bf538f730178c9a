"""Everything that `shop` has."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from bedplate.kernel import lines

revision = "0001_shop"
down_revision = None

KIND = postgresql.ENUM(
    "GOODS", "SERVICE", "GIFT_CARD", name="kind", schema="shop", create_type=False
)
STATUS = postgresql.ENUM("OPEN", "PAID", "SENT", name="status", schema="shop", create_type=False)
MONEY = sa.Numeric(12, 2)
MOMENT = sa.DateTime(timezone=True)
TABLES = ("customers", "loyalty_cards", "products", "specimens", "orders", "order_lines")


def upgrade() -> None:
    op.execute("CREATE TYPE shop.kind AS ENUM ('GOODS', 'SERVICE', 'GIFT_CARD')")
    op.execute("COMMENT ON TYPE shop.kind IS 'What a product is.'")
    op.execute("CREATE TYPE shop.status AS ENUM ('OPEN', 'PAID', 'SENT')")
    op.execute("COMMENT ON TYPE shop.status IS 'How far an order has come.'")
    _customers()
    _products()
    _specimens()
    _orders()
    lines.grant(*TABLES)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema="shop")
    op.execute("DROP TYPE shop.kind")
    op.execute("DROP TYPE shop.status")


def _customers() -> None:
    _table(
        "customers",
        "Users who buy.",
        sa.Column(
            "user_id",
            lines.user_key_type(),
            sa.ForeignKey(
                lines.users_reference(), ondelete="CASCADE", name="fk_customers_user_id_users"
            ),
            nullable=False,
            comment="Who the customer is.",
        ),
        sa.Column("name", sa.String(40), nullable=False, comment="Name on the invoice."),
        sa.Column("born_on", sa.Date, comment="Birthday."),
        *_times(),
        sa.UniqueConstraint("user_id", name="uq_customers_user_id"),
    )
    _table(
        "loyalty_cards",
        "Cards of the customers.",
        _to("loyalty_cards", "customer_id", "customers", "Whose card it is.", ondelete="CASCADE"),
        sa.Column("code", sa.String(8), nullable=False, comment="What is printed on the card."),
        sa.Column(
            "points", sa.Integer, nullable=False, server_default="0", comment="Points so far."
        ),
        sa.UniqueConstraint("customer_id", name="uq_loyalty_cards_customer_id"),
        sa.UniqueConstraint("code", name="uq_loyalty_cards_code"),
        sa.CheckConstraint("points >= 0", name="ck_loyalty_cards_points"),
    )


def _products() -> None:
    _table(
        "products",
        "What is sold.",
        sa.Column(
            "sku", sa.String(20), nullable=False, comment="Number; unique among living products."
        ),
        sa.Column("title", sa.String, nullable=False, comment="What it is called."),
        sa.Column("price", MONEY, nullable=False, comment="Price in euro."),
        sa.Column(
            "kind",
            KIND,
            nullable=False,
            server_default="GOODS",
            comment="What kind of product it is.",
        ),
        sa.Column(
            "is_listed",
            sa.Boolean,
            nullable=False,
            server_default=sa.text("true"),
            comment="Whether it is shown.",
        ),
        _to("products", "parent_id", "products", "The product it is a variant of.", nullable=True),
        *_times(),
        sa.Column("deleted_at", MOMENT, comment="When the row was deleted; NULL while it lives."),
        _version(),
        sa.CheckConstraint("price > 0", name="ck_products_price"),
    )
    op.create_index(
        "uq_products_sku",
        "products",
        ["sku"],
        unique=True,
        schema="shop",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_products_parent_id", "products", ["parent_id"], schema="shop")
    op.create_index("ix_products_price", "products", ["price", "id"], schema="shop")


def _specimens() -> None:
    columns: dict[str, tuple[Any, str]] = {
        "kind": (KIND, "An enum."),
        "amount": (sa.Numeric(20, 6), "An exact decimal."),
        "token": (sa.Uuid, "A UUID."),
        "seen_at": (MOMENT, "A moment."),
        "day": (sa.Date, "A day."),
        "lasts": (sa.Interval, "A duration."),
        "data": (postgresql.JSONB, "A document."),
        "content": (sa.LargeBinary, "Bytes."),
        "ratio": (sa.Double, "A float."),
        "flag": (sa.Boolean, "True or false."),
        "small": (sa.Integer, "A 32-bit number."),
        "large": (sa.BigInteger, "A 64-bit number."),
        "short": (sa.String(10), "Limited text."),
        "words": (sa.Text, "Text."),
        "texts": (postgresql.ARRAY(sa.Text), "An array of text."),
        "numbers": (postgresql.ARRAY(sa.Integer), "An array of numbers."),
        "amounts": (postgresql.ARRAY(MONEY), "An array of decimals."),
        "tokens": (postgresql.ARRAY(sa.Uuid), "An array of UUIDs."),
    }
    _table(
        "specimens",
        "One column of every type.",
        _to(
            "specimens", "product_id", "products", "The product it belongs to.", ondelete="CASCADE"
        ),
        *(sa.Column(name, type_, comment=comment) for name, (type_, comment) in columns.items()),
    )
    op.create_index("ix_specimens_product_id", "specimens", ["product_id"], schema="shop")


def _orders() -> None:
    _table(
        "orders",
        "What customers ordered.",
        _to("orders", "customer_id", "customers", "Who ordered."),
        sa.Column(
            "number", sa.BigInteger, nullable=False, comment="What people call the order by."
        ),
        sa.Column("total", MONEY, nullable=False, comment="Sum in euro."),
        sa.Column("placed_at", MOMENT, comment="When it was placed; NULL for a basket."),
        sa.Column(
            "status",
            STATUS,
            nullable=False,
            server_default="OPEN",
            comment="How far the order has come.",
        ),
        sa.Column("note", sa.String, comment="What the customer wishes."),
        *_times(),
        _version(),
        sa.UniqueConstraint("number", name="uq_orders_number"),
        sa.CheckConstraint("total >= 0", name="ck_orders_total"),
    )
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"], schema="shop")
    deferred: dict[str, Any] = {"deferrable": True, "initially": "DEFERRED"}
    _table(
        "order_lines",
        "The products of each order.",
        _to("order_lines", "order_id", "orders", "The order it is a line of.", ondelete="CASCADE"),
        _to(
            "order_lines",
            "product_id",
            "products",
            "What was ordered; checked at COMMIT.",
            **deferred,
        ),
        sa.Column("position", sa.Integer, nullable=False, comment="Place in the order, from 1."),
        sa.Column("quantity", sa.Integer, nullable=False, server_default="1", comment="How many."),
        sa.Column("unit_price", MONEY, nullable=False, comment="Price of one in euro."),
        sa.UniqueConstraint("order_id", "position", name="uq_order_lines_order_id_position"),
        sa.CheckConstraint("quantity BETWEEN 1 AND 100", name="ck_order_lines_quantity"),
    )
    op.create_index("ix_order_lines_product_id", "order_lines", ["product_id"], schema="shop")


def _table(name: str, comment: str, *parts: Any) -> None:
    key = sa.Column("id", sa.Uuid, primary_key=True, comment="Key (UUIDv7).")
    op.create_table(name, key, *parts, schema="shop", comment=comment)


def _to(
    table: str, column: str, target: str, comment: str, *, nullable: bool = False, **options: Any
) -> sa.Column[Any]:
    reference = sa.ForeignKey(f"shop.{target}.id", name=f"fk_{table}_{column}_{target}", **options)
    return sa.Column(column, sa.Uuid, reference, nullable=nullable, comment=comment)


def _times() -> tuple[sa.Column[Any], ...]:
    made = {"created_at": "When the row was made.", "updated_at": "When the row was last changed."}
    return tuple(
        sa.Column(
            name,
            MOMENT,
            nullable=False,
            server_default=sa.text("bedplate.now()"),
            comment=comment,
        )
        for name, comment in made.items()
    )


def _version() -> sa.Column[Any]:
    return sa.Column(
        "version",
        sa.Integer,
        nullable=False,
        server_default="1",
        comment="Counts the row's changes, from 1.",
    )
