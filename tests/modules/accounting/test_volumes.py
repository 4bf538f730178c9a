"""A year of business as large as the plan says: its rows, its size, and how long its reads take."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from bedplate import Database, audit, equal
from bedplate.kernel.audit import Wanted
from bedplate.modules.accounting import (
    Invoice,
    InvoiceStatus,
    aged_receivables,
    create_template,
    customer_statement,
    invoices,
    price_at,
    revenue_by_month,
    run_overdue,
    run_recurring,
    set_price,
)
from bedplate.testing import Clone, FrozenClock
from tests import proofs
from tests.asking import ask
from tests.modules.accounting.business import Customer, broken, customer, template
from tests.world import World

TABLES = (
    *("invoices", "recurring_invoices", "customer_pricing_config"),
    *("invoice_payments", "audit_logs", "invoice_notifications"),
)
BOUND_MS = 100
"""What the plan asks of each of its queries."""
# By hand, beside what templates bill: one in twelve is not paid.
DRAFTS = """
INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date, created_by)
SELECT bedplate.uuid7(), %(who)s, 1 + n %% 9, 42, %(due)s, %(by)s
FROM generate_series(1, %(count)s) AS n RETURNING id
"""
PAID = """
WITH open AS (
    SELECT i.id AS invoice_id, bedplate.uuid7() AS payment_id, i.user_id, i.total_amount
    FROM accounting.invoices i WHERE i.status = 'ISSUED'
), brought AS (
    INSERT INTO mining.cost_payments (id, user_id, amount)
    SELECT o.payment_id, o.user_id, o.total_amount FROM open o RETURNING id
)
SELECT o.invoice_id, o.payment_id, o.total_amount FROM open o
"""
PAY = """
INSERT INTO accounting.invoice_payments (id, invoice_id, cost_payment_id, amount_paid)
VALUES (bedplate.uuid7(), %s, %s, %s)
"""
TOLD = """
INSERT INTO accounting.invoice_notifications (id, invoice_id, notification_type, sent_to)
SELECT bedplate.uuid7(), i.id, 'INVOICE_ISSUED', 'customer@example.com' FROM accounting.invoices i
WHERE i.status <> 'DRAFT' ON CONFLICT DO NOTHING
"""
SIZES = """
SELECT c.relname::text, pg_total_relation_size(c.oid)
FROM pg_class c WHERE c.relnamespace = 'accounting'::regnamespace AND c.relkind = 'r'
"""


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: sizes are the server's."""
    return world


@dataclass(frozen=True)
class Business:
    """How much of everything there is; the plan's numbers are those of FULL."""

    months: int
    by_hand: int
    customers: int


SMALL = Business(months=2, by_hand=20, customers=3)
FULL = Business(months=12, by_hand=460, customers=40)


async def month(world: World, who: list[Customer], by_hand: int, first: date) -> None:
    """Bill by templates and by hand, tell everybody, and pay all but one in twelve."""
    clock = world.clock
    clock.set(datetime(first.year, first.month, 1, 12, tzinfo=UTC))
    await run_recurring(world.db)
    with psycopg.connect(world.clone.url) as app:
        for place, one in enumerate(who):
            count = by_hand // len(who) + (place < by_hand % len(who))
            terms = {"who": one.id, "by": one.by, "due": first + timedelta(14), "count": count}
            drafts = [id for (id,) in app.execute(DRAFTS.encode(), terms).fetchall()]
            app.execute(b"SELECT accounting.issue_many(%s)", [drafts])
        app.execute(TOLD.encode())
    clock.advance(days=10)
    with psycopg.connect(world.clone.url) as app, app.cursor() as cursor:
        due: list[Any] = cursor.execute(PAID.encode()).fetchall()
        cursor.executemany(PAY.encode(), [row for n, row in enumerate(due) if n % 12])
    clock.advance(days=10)
    await run_overdue(world.db)


async def reads(db: Database, who: Customer, until: datetime) -> dict[str, float]:
    """How long each read takes, in milliseconds: the middle one of nine."""
    at = (await invoices.list(db, limit=1))[0].id
    day = until.date()
    asked: dict[str, Any] = {
        "invoices of a customer": lambda: invoices.page(db, equal(Invoice.user_id, who.id)),
        "invoices by status": lambda: invoices.page(
            db, equal(Invoice.status, InvoiceStatus.OVERDUE)
        ),
        "invoices due from a day on": lambda: invoices.page(db, Invoice.due_date >= day),
        "history of an invoice": lambda: audit.entries(
            db, Wanted(entity_type="Invoice", entity_id=str(at))
        ),
        "a customer's price": lambda: price_at(db, who.id, day),
        "a customer's statement": lambda: customer_statement(
            db, who.id, since=until - timedelta(365), until=until
        ),
        "aged receivables": lambda: aged_receivables(db),
        "aged receivables of a past day": lambda: aged_receivables(db, at=day - timedelta(20)),
        "revenue by month": lambda: revenue_by_month(db, day.year),
    }
    took: dict[str, float] = {}
    for name, read in asked.items():
        times = list[float]()
        for _ in range(9):
            began = time.perf_counter()
            assert await read()
            times.append((time.perf_counter() - began) * 1000)
        took[name] = round(sorted(times)[4], 1)
    return took


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.full)]
)
def test_a_year_as_large_as_the_plan_says(
    world: World, frozen_clock: FrozenClock, size: Business
) -> None:
    frozen_clock.set(datetime(2026, 1, 1, 6, tzinfo=UTC))

    async def body(db: Database) -> dict[str, float]:
        who = [await customer(db) for _ in range(size.customers)]
        for one in who:
            await set_price(db, one.id, Decimal("20.00"), date(2026, 1, 1), by=one.by)
            await set_price(db, one.id, Decimal("21.00"), date(2026, 2, 1), by=one.by)
            await create_template(db, template(one, start_date=date(2026, 1, 1), unit_price=None))
        for number in range(1, size.months + 1):
            await month(world, who, size.by_hand, date(2026, number, 1))
        return await reads(db, who[0], frozen_clock.now)

    took = world.run(body(world.db))
    assert broken(world) == {}
    stored = _stored(world.clone)
    rows = {name: count for name, (_, count) in stored.items()}
    billed = size.months * (size.by_hand + size.customers)
    assert (rows["invoices"], rows["invoice_notifications"]) == (billed, billed)
    assert rows["recurring_invoices"] * 2 == rows["customer_pricing_config"] == 2 * size.customers
    assert 0.9 * billed <= rows["invoice_payments"] <= billed
    assert rows["audit_logs"] >= 3 * billed
    if size is FULL:
        _write(world.clone, stored, took)
        assert 10_000 <= rows["audit_logs"] <= 50_000
        assert [name for name, ms in took.items() if ms >= BOUND_MS] == []


def _stored(clone: Clone) -> dict[str, tuple[int, int]]:
    """Bytes with indexes, and rows, of each table."""
    counted = "SELECT count(*) FROM accounting."
    return {name: (size, ask(clone, counted + name)[0][0]) for name, size in ask(clone, SIZES)}


def _write(clone: Clone, stored: dict[str, tuple[int, int]], took: dict[str, float]) -> None:
    ((version,),) = ask(clone, "SELECT current_setting('server_version')")
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {version}"
    ours = sum(size for name, (size, _) in stored.items() if name not in TABLES)
    whole = sum(stored[name][0] for name in TABLES)
    lines = [
        "# Accounting: a year of business as large as the plan says",
        "",
        f"Run by `pytest --full`; {machine}. 500 invoices a month for 40 customers, eleven of"
        " twelve paid; every law of `bedplate check` holds.",
        "",
        "| table | rows | MB with indexes |",
        "|---|---|---|",
        *(f"| `{name}` | {stored[name][1]:,} | {stored[name][0] / 2**20:.1f} |" for name in TABLES),
        f"| the plan's six | | {whole / 2**20:.1f} |",
        f"| beside them, without the pages of documents | | {ours / 2**20:.1f} |",
        "",
        f"| read (the plan asks for {BOUND_MS} ms) | ms, the middle one of nine |",
        "|---|---|",
        *(f"| {name} | {ms} |" for name, ms in took.items()),
    ]
    figures = {"machine": machine, "rows_and_bytes": stored, "reads_ms": took}
    proofs.write("accounting-year", "\n".join(lines), figures)
