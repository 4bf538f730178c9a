"""What PostgreSQL refuses becomes an error by its SQLSTATE, with the rule's name and columns."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout
from sqlalchemy import text

from bedplate.kernel import errors, ids
from bedplate.kernel.database import Database
from bedplate.kernel.fields import assign
from bedplate.kernel.sqlstates import translate, unreachable
from bedplate.modules.auth import User, users
from tests.kernel.builders import (
    a_product,
    customers,
    new_customer,
    new_order,
    new_product,
    orders,
    products,
)
from tests.shop import Order, Product
from tests.world import World


async def _twice(db: Database) -> None:
    await new_product(db, "A")
    await new_product(db, "A")


async def _same_address(db: Database) -> None:
    await users.create(db, User(email="ada@example.com"))
    await users.create(db, User(email="ADA@example.com"))


async def _same_key(db: Database) -> None:
    product = await new_product(db, "A")
    await products.create(db, a_product("B", id=product.id))


async def _orphan(db: Database) -> None:
    await orders.create(db, Order(customer_id=ids.new(), number=1, total=Decimal(1)))


async def _still_referenced(db: Database) -> None:
    order = await new_order(db, await new_customer(db))
    await customers.delete(db, order.customer_id)


async def _worthless(db: Database) -> None:
    await new_product(db, "A", price=Decimal("-1.00"))


async def _untitled(db: Database) -> None:
    product = await new_product(db)
    await products.update(db, product.id, assign(Product.title, None))  # type: ignore[arg-type]


RULES: dict[str, tuple[Callable[[Database], Coroutine[Any, Any, Any]], type, str, tuple[str, ...]]]
RULES = {
    "a unique index": (_twice, errors.UniqueViolation, "uq_products_sku", ("sku",)),
    "a unique expression": (_same_address, errors.UniqueViolation, "uq_users_email", ("email",)),
    "a primary key": (_same_key, errors.UniqueViolation, "pk_products", ("id",)),
    "a foreign key": (
        _orphan,
        errors.ForeignKeyViolation,
        "fk_orders_customer_id_customers",
        ("customer_id",),
    ),
    "a key in use": (
        _still_referenced,
        errors.ForeignKeyViolation,
        "fk_orders_customer_id_customers",
        ("customer_id",),
    ),
    "a check": (_worthless, errors.CheckViolation, "ck_products_price", ("price",)),
    "not null": (_untitled, errors.NotNullViolation, "", ("title",)),
}


@pytest.mark.parametrize("name", RULES)
def test_a_broken_rule_is_told_by_its_name_and_columns(world: World, name: str) -> None:
    break_it, kind, constraint, columns = RULES[name]
    with pytest.raises(kind) as refused:
        world.run(break_it(world.db))
    error: Any = refused.value
    assert isinstance(error, errors.IntegrityError)
    assert (error.constraint, error.columns) == (constraint, columns)
    assert error.table.count(".") == 1
    assert error.sqlstate.startswith("23")
    assert error.next_step
    assert constraint in str(error)


STATEMENTS: dict[str, tuple[str, type[errors.BedplateError], str]] = {
    "division by zero": ("SELECT 1 / 0", errors.DataError, "22012"),
    "a number too large": ("SELECT 2147483648::int", errors.DataError, "22003"),
    "no such day": ("SELECT '2030-02-30'::date", errors.DataError, "22008"),
    "text too long": (
        "INSERT INTO shop.products (id, sku, title, price) "
        "VALUES (gen_random_uuid(), repeat('x', 21), 'T', 1)",
        errors.DataError,
        "22001",
    ),
    "no privilege": ("TRUNCATE shop.products", errors.PermissionDenied, "42501"),
    "no such table": ("SELECT * FROM shop.nothing", errors.DatabaseError, "42P01"),
    "no such column": ("SELECT nothing FROM shop.products", errors.DatabaseError, "42703"),
    "bad syntax": ("SELEC 1", errors.DatabaseError, "42601"),
    "raised by a function": (
        "DO $$ BEGIN RAISE EXCEPTION 'secret-4711' USING ERRCODE = 'BP999'; END $$",
        errors.DatabaseError,
        "BP999",
    ),
    "history": (
        "DO $$ BEGIN RAISE EXCEPTION 'secret-4711' USING ERRCODE = 'BP001'; END $$",
        errors.AppendOnly,
        "BP001",
    ),
    "an actor who is nobody": (
        "DO $$ BEGIN RAISE EXCEPTION 'secret-4711' USING ERRCODE = 'BP002'; END $$",
        errors.ActorUnknown,
        "BP002",
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_refused_statement_is_told_by_its_sqlstate(world: World, name: str) -> None:
    sql, kind, state = STATEMENTS[name]
    with pytest.raises(errors.DatabaseError) as refused:
        world.run(world.db.run(text(sql.replace(":", r"\:"))))
    assert type(refused.value) is kind
    assert refused.value.sqlstate == state
    assert state in str(refused.value)
    assert refused.value.next_step
    assert "secret-4711" not in str(refused.value)
    assert world.db.statistics()["errors"] == 1


def test_text_with_a_nul_is_refused_and_the_transaction_goes_on(world: World) -> None:
    async def body(db: Database) -> int:
        async with db.transaction() as tx:
            with pytest.raises(errors.DataError):
                await new_product(tx, "A", title="a\x00b")
            await new_product(tx, "B")
        with pytest.raises(errors.DataError):
            await products.create_many(db, [a_product("C"), a_product("D", title="\x00")])
        return await products.count(db)

    assert world.run(body(world.db)) == 1


def told(state: str) -> psycopg.Error:
    """An error of the driver's; its text quotes a row, as PostgreSQL's do."""
    error = psycopg.Error("quotes secret-4711")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", errors.SerializationFailure),
        ("40P01", errors.Deadlock),
        ("55P03", errors.LockTimeout),
        ("57014", errors.StatementTimeout),
        ("25006", errors.ReadOnly),
        ("23P01", errors.ExclusionViolation),
        ("23001", errors.ForeignKeyViolation),
        ("23999", errors.IntegrityError),
        ("22999", errors.DataError),
        ("57P01", errors.ConnectionLost),
        ("08006", errors.ConnectionLost),
        ("25P03", errors.ConnectionLost),
        ("XX000", errors.DatabaseError),
    ],
)
def test_the_sqlstate_alone_decides(state: str, kind: type[errors.BedplateError]) -> None:
    translated = translate(told(state))
    assert type(translated) is kind
    assert "secret-4711" not in str(translated)


def test_what_has_no_sqlstate_is_told_by_its_class() -> None:
    assert type(translate(psycopg.OperationalError("secret"))) is errors.ConnectionLost
    assert type(translate(psycopg.DataError("secret"))) is errors.DataError
    assert type(translate(psycopg.ProgrammingError("secret"))) is errors.DatabaseError
    assert type(translate(PoolTimeout("secret"))) is errors.PoolTimeout
    assert type(translate(PoolClosed("secret"))) is errors.HandleClosed
    assert type(translate(OSError("secret"))) is errors.DatabaseError
    ours = errors.NotFound("No row.")
    assert translate(ours) is ours


def test_a_connection_that_is_refused_is_told_from_one_that_is_not_answered() -> None:
    assert type(unreachable(told("28P01"))) is errors.AuthenticationFailed
    assert type(unreachable(told("3D000"))) is errors.AuthenticationFailed
    assert type(unreachable(psycopg.OperationalError("timeout"))) is errors.DatabaseUnreachable
