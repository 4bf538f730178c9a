"""The plan's reads of accounting at a hundred times its volumes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

import psycopg

from bedplate import Database, Handle, audit, equal
from bedplate.kernel import registry
from bedplate.kernel.audit import Wanted
from bedplate.kernel.settings import Settings
from bedplate.modules.accounting import Invoice, InvoiceStatus, invoices
from bedplate.project import database
from bench.accounting_data import MODULES
from bench.processes import CommandFailed

BOUND_MS = 100
"""What the plan asks of each of its queries."""
SAMPLES = 200
PAGE_ROWS = 50

_TRIGGERS = "ALTER TABLE accounting.invoices {} TRIGGER USER"
# As years of business would have left them: four of five are paid, a few are open or overdue. Who
# is billed is picked out of an array: a join to a row's number compares every two.
_INVOICES = """
    INSERT INTO accounting.invoices (
        id, user_id, total_miners, unit_price, due_date, invoice_number, status,
        invoice_generated_date, issued_date, paid_date, paid_amount, created_by, created_at)
    SELECT bedplate.uuid7(), c.id, 2, 42, day, 'PAST-' || n, s.status::accounting.invoice_status,
           day, day, CASE WHEN s.status = 'PAID' THEN day END,
           CASE WHEN s.status = 'PAID' THEN 84 ELSE 0 END, c.id, day
    FROM (SELECT array_agg(id) AS ids FROM auth.users WHERE email LIKE 'billed%%') AS u
    CROSS JOIN generate_series(1, %(invoices)s) AS n
    CROSS JOIN LATERAL (SELECT u.ids[1 + n %% cardinality(u.ids)]) AS c (id)
    CROSS JOIN LATERAL (
        SELECT date '2020-01-01' + (n * 2000::bigint / %(invoices)s)::int) AS d (day)
    CROSS JOIN LATERAL (SELECT CASE n %% 20 WHEN 0 THEN 'OVERDUE' WHEN 1 THEN 'ISSUED'
                               WHEN 2 THEN 'CANCELLED' ELSE 'PAID' END) AS s (status)
"""
_AUDIT = """
    INSERT INTO accounting.audit_logs (id, action, entity_type, entity_id, changes, description,
                                       created_at)
    SELECT bedplate.uuid7(), a.action::accounting.audit_action, 'Invoice', i.id::text,
           jsonb_build_object('after', jsonb_build_object('status', i.status)),
           'Invoice ' || i.invoice_number, i.created_at + a.place * interval '1 day'
    FROM unnest(ARRAY['INVOICE_CREATED', 'INVOICE_ISSUED', 'PAYMENT_ADDED', 'INVOICE_UPDATED'])
        WITH ORDINALITY AS a (action, place)
    CROSS JOIN accounting.invoices i WHERE i.invoice_number LIKE 'PAST-%'
"""
_USERS = "SELECT user_id FROM accounting.invoices ORDER BY md5(id::text) LIMIT %s"
_DAYS = "SELECT due_date FROM accounting.invoices ORDER BY md5(id::text) LIMIT %s"
_IDS = "SELECT id FROM accounting.invoices ORDER BY md5(id::text) LIMIT %s"
_STATES = """
    SELECT (ARRAY['PAID', 'OVERDUE', 'ISSUED', 'CANCELLED'])[1 + n %% 4]
    FROM generate_series(1, %s) AS n
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """How many rows are read from."""

    invoices: int
    audit_rows: int


FULL = Volumes(invoices=600_000, audit_rows=2_400_000)
"""A hundred times what plan B expects in a year (its audit log: 1 to 5 million)."""
QUICK = Volumes(invoices=6_000, audit_rows=24_000)


@dataclass(frozen=True, slots=True)
class Reads:
    """How long a query takes, in milliseconds."""

    p50_ms: float
    p95_ms: float


async def by_user(db: Handle, user_id: UUID) -> int:
    """A customer's newest invoices."""
    mine = equal(Invoice.user_id, user_id)
    order = (Invoice.created_at.desc(),)
    return len((await invoices.page(db, mine, order=order, size=PAGE_ROWS)).items)


async def by_status(db: Handle, status: str) -> int:
    """Invoices of one status, those due first at the top."""
    there = equal(Invoice.status, InvoiceStatus[status])
    return len((await invoices.page(db, there, order=(Invoice.due_date,), size=PAGE_ROWS)).items)


async def by_due_date(db: Handle, day: date) -> int:
    """Invoices due from a day on."""
    due = Invoice.due_date >= day
    return len((await invoices.page(db, due, order=(Invoice.due_date,), size=PAGE_ROWS)).items)


async def history(db: Handle, invoice_id: UUID) -> int:
    """All that was done to one invoice."""
    wanted = Wanted(entity_type="Invoice", entity_id=str(invoice_id))
    return len(await audit.entries(db, wanted))


Ask = Callable[[Handle, Any], Coroutine[Any, Any, int]]
QUERIES: Mapping[str, tuple[Ask, str]] = {
    "invoices of a customer": (by_user, _USERS),
    "invoices by status": (by_status, _STATES),
    "invoices by due date": (by_due_date, _DAYS),
    "history of an invoice": (history, _IDS),
}
"""The plan's queries, each with the statement that picks what is asked for."""


def fill(owner_url: str, volumes: Volumes) -> None:
    """Add invoices and audit entries past the triggers, which would take their time for each."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute(_TRIGGERS.format("DISABLE").encode())
        connection.execute(_INVOICES, {"invoices": volumes.invoices})
        connection.execute(_TRIGGERS.format("ENABLE").encode())
        connection.execute(_AUDIT)
        connection.execute("VACUUM (ANALYZE) accounting.invoices, accounting.audit_logs")


def opened(app_url: str) -> Database:
    """Return a database on which the queries run, not yet open."""
    settings = Settings(folder=Path.cwd(), modules=MODULES, pool_size_max=1)
    return database(settings, registry.load(MODULES), app_url)


async def measure(owner_url: str, app_url: str, samples: int = SAMPLES) -> dict[str, Reads]:
    """Ask each query for so many different things, one after another."""
    found: dict[str, Reads] = {}
    db = opened(app_url)
    await db.open()
    try:
        for title, (ask, _) in QUERIES.items():
            values = pick(owner_url, title, samples)
            # The first prepares the statement and is not counted.
            took = sorted([await _timed(db, ask, value) for value in [values[0], *values]][1:])
            found[title] = Reads(took[len(took) // 2], took[len(took) * 95 // 100])
    finally:
        await db.close()
    return found


def pick(owner_url: str, title: str, samples: int) -> list[Any]:
    """Pick what a query is asked for."""
    with psycopg.connect(owner_url) as connection:
        _, picking = QUERIES[title]
        return [row[0] for row in connection.execute(picking.encode(), [samples])]


async def _timed(db: Handle, ask: Ask, value: Any) -> float:
    began = perf_counter()
    if not await ask(db, value):
        raise CommandFailed(f"{ask.__name__}: nothing was found for {value}")
    return (perf_counter() - began) * 1000
