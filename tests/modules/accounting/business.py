"""Customers, invoices and payments for tests of accounting, and whether the laws hold."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg

from bedplate.kernel.database import Writer
from bedplate.modules.accounting import (
    Draft,
    Invoice,
    RecurringInvoice,
    draft_invoice,
    issue_invoice,
)
from bedplate.modules.auth import User, users
from bedplate.modules.mining import Miner, miners, record_payment
from bedplate.operations import checks
from bedplate.testing import Clone
from tests.modules.accounting.deeds import rule_of
from tests.world import CLIENTS, World

# The order in which rows were written: room that an earlier test freed is used again, so a row's
# place alone says nothing.
AS_WRITTEN = " ORDER BY xmin::text::bigint, ctid"

FAR = date(2099, 12, 31)
# What must be nowhere, counted by hand from the rows.
WRONG = """
SELECT i.invoice_number, i.status::text FROM accounting.invoices i
LEFT JOIN (SELECT invoice_id, sum(amount_paid) AS paid, count(*) AS many
           FROM accounting.invoice_payments GROUP BY 1) p ON p.invoice_id = i.id
LEFT JOIN (SELECT invoice_id, sum(amount) AS back FROM accounting.invoice_refunds GROUP BY 1) r
    ON r.invoice_id = i.id
WHERE i.paid_amount <> coalesce(p.paid, 0) OR i.paid_amount > i.total_amount
   OR i.refunded_amount <> coalesce(r.back, 0) OR i.refunded_amount > i.paid_amount
   OR (i.status IN ('PAID', 'REFUNDED')) <> (i.paid_amount = i.total_amount)
   OR (i.status = 'REFUNDED') <> (i.refunded_amount = i.total_amount)
   OR (i.status IN ('PAID', 'REFUNDED')) <> (i.paid_date IS NOT NULL)
UNION ALL
SELECT c.id::text, 'spent twice' FROM mining.cost_payments c
JOIN (SELECT cost_payment_id, sum(amount_paid) AS spent
      FROM accounting.invoice_payments GROUP BY 1) p ON p.cost_payment_id = c.id
WHERE p.spent > c.amount
"""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Customer:
    """A customer with two miners, and the administrator who bills."""

    id: UUID
    by: UUID


async def customer(db: Writer, *, running: int = 2) -> Customer:
    """Somebody to bill."""
    number = next(_numbers)
    user = await users.create(db, User(email=f"customer-{number}@example.com", name="Ada"))
    admin = await users.create(db, User(email=f"admin-{number}@example.com"))
    for _ in range(running):
        await miners.create(db, Miner(user_id=user.id))
    return Customer(user.id, admin.id)


async def drafted(
    db: Writer, who: Customer, *, price: str = "10.00", due: date = FAR, count: int = 2
) -> Invoice:
    """A draft of so many miners."""
    draft = Draft(
        user_id=who.id,
        total_miners=count,
        unit_price=Decimal(price),
        due_date=due,
        created_by=who.by,
    )
    return await draft_invoice(db, draft)


async def issued(db: Writer, who: Customer, **terms: Any) -> Invoice:
    """An issued invoice; of 20.00 unless other terms are given."""
    return await issue_invoice(db, (await drafted(db, who, **terms)).id, by=who.by)


async def money(db: Writer, who: Customer, amount: str) -> UUID:
    """What a customer paid."""
    return (await record_payment(db, who.id, Decimal(amount))).id


def template(who: Customer, **terms: object) -> RecurringInvoice:
    """A template of ten a miner on the first of each month from 2025 on, unless told otherwise."""
    given: dict[str, object] = {
        "day_of_month": 1,
        "start_date": date(2025, 1, 1),
        "unit_price": Decimal("10.00"),
        **terms,
    }
    return RecurringInvoice(user_id=who.id, created_by=who.by, **given)  # type: ignore[arg-type]


def at_once(
    clone: Clone,
    statement: str,
    each: list[tuple[Any, ...]],
    isolation: str = "READ COMMITTED",
) -> list[str]:
    """Run a statement once for each set of values, all at once as the app; tell how each ended.

    None begins before all are connected. There are CLIENTS of them at most.
    """
    assert len(each) <= CLIENTS
    connected = Barrier(len(each))

    def one(values: tuple[Any, ...]) -> str:
        try:
            with psycopg.connect(clone.url) as app:
                connected.wait(60)
                app.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
                app.execute(statement.encode(), values)
        except psycopg.errors.Error as error:
            return rule_of(error)
        return "done"

    with ThreadPoolExecutor(len(each)) as pool:
        return list(pool.map(one, each))


def broken(world: World) -> dict[str, Any]:
    """Which laws are broken, and the rows that break them."""
    outcomes = checks.run(world.project.registry, world.clone.url)
    ours = [each for each in outcomes if each.id.startswith("accounting.")]
    assert ours
    assert [each for each in ours if each.problem is not None] == []
    return {each.id: each.rows for each in ours if not each.ok}
