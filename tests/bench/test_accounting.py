"""The accounting works on a real server: everybody bills the same, and reads use indexes."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bedplate.kernel.settings import load
from bedplate.testing import Clone, Server, Template
from bench import accounting_data, accounting_queries
from bench.accounting_contestant import AccountingContestant
from bench.accounting_data import LEDGER, PEERS, UNTRIGGERED, Books
from bench.accounting_queries import QUERIES, Volumes
from bench.accounting_rounds import Billing, recount
from bench.accounting_worker import AccountingWorker
from bench.contestants.accounting_bedplate import AccountingBedplate
from bench.contestants.accounting_psycopg import AccountingPsycopg
from bench.contestants.accounting_sqlalchemy import AccountingSqlalchemy
from bench.processes import CommandFailed

TEMPLATES = 20
INVOICE = """
    SELECT user_id, total_miners, unit_price, total_amount, status::text, recurring_invoice_id,
           date_trunc('month', billing_date::timestamp) = date_trunc('month', %s::timestamp),
           issued_date IS NOT NULL, right(invoice_number, 2)
    FROM {}.invoices ORDER BY recurring_invoice_id
"""
CHANGES = (
    ("unit_price = unit_price + 1", "unit_price = unit_price - 1"),
    ("invoice_number = invoice_number || '0'", "invoice_number = left(invoice_number, 10)"),
    ("status = 'OVERDUE'", "status = 'ISSUED'"),
)
MANY = Volumes(invoices=4_000, audit_rows=16_000)
BUFFERS_MOST = 130
"""A page of 50 rows that lie 50 pages apart, found by an index and checked once more."""


@pytest.fixture(scope="session")
def template(bedplate_server: Server) -> Generator[Template]:
    made = Template(bedplate_server, replace(load(), modules=accounting_data.MODULES))
    yield made
    made.close()


@pytest.fixture
def clone(template: Template) -> Iterator[Clone]:
    made = template.clone()
    yield made
    template.drop(made)


@pytest.fixture
def books(clone: Clone) -> Books:
    return accounting_data.load(clone.owner_url, clone.url, TEMPLATES)


async def billed(clone: Clone, billing: Billing, contestant: AccountingContestant) -> None:
    """Let a contestant bill a month by each of its ways, as the rounds do."""
    worker = AccountingWorker(contestant)
    await worker.open({"url": clone.url})
    for work, way in contestant.ways.items():
        answer = await worker.bill({"work": work, **billing.order(way)})
        billing.acknowledge(way, answer["invoices"])
    await worker.close({})


def invoices(clone: Clone, books: Books, schema: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(clone.owner_url) as owner:
        return owner.execute(INVOICE.format(schema).encode(), [books.first_month]).fetchall()


async def test_everybody_bills_the_same(clone: Clone, books: Books) -> None:
    billing = Billing(books)
    for make in (AccountingPsycopg, AccountingSqlalchemy):
        await billed(clone, billing, make())
    # A loop bills a tenth at a time: it goes on until the month is whole.
    while billing.billed[PEERS] < TEMPLATES:
        await billed(clone, billing, AccountingSqlalchemy())
    shipped, by_hand, untriggered = (
        sorted(row[:-1] for row in invoices(clone, books, schema))
        for schema in (LEDGER, PEERS, UNTRIGGERED)
    )
    assert len(shipped) == TEMPLATES
    assert shipped == by_hand == untriggered
    await billed(clone, billing, AccountingBedplate())
    assert recount(clone.owner_url, billing) == 4 * TEMPLATES


async def test_a_recount_notices(clone: Clone, books: Books) -> None:
    billing = Billing(books)
    await billed(clone, billing, AccountingSqlalchemy())
    for wrong, right in CHANGES:
        with psycopg.connect(clone.owner_url, autocommit=True) as owner:
            owner.execute(f"UPDATE bench_billing.invoices SET {wrong}".encode())
            with pytest.raises(CommandFailed, match="of bench_billing are wrong"):
                recount(clone.owner_url, billing)
            owner.execute(f"UPDATE bench_billing.invoices SET {right}".encode())
    billing.billed[PEERS] += 1
    with pytest.raises(CommandFailed, match="5 invoices were answered in bench_billing, 4 are"):
        recount(clone.owner_url, billing)


async def test_the_plans_queries_read_from_indexes(clone: Clone, books: Books) -> None:
    accounting_queries.fill(clone.owner_url, MANY)
    for title in QUERIES:
        plan = await plan_of(clone, title)
        assert "Index" in plan, plan
        assert not re.search(r"Seq Scan on (invoices|audit_logs)", plan), plan
        touched = re.search(r"Buffers: shared hit=(\d+)(?: read=(\d+))?", plan)
        assert touched is not None, plan
        assert sum(int(each or 0) for each in touched.groups()) < BUFFERS_MOST, plan
    # Sabotage: without its index the first of them reads every invoice, and the plan says so.
    with psycopg.connect(clone.owner_url) as owner:
        owner.execute(
            "DROP INDEX accounting.ix_invoices_user_id, accounting.ix_invoices_created_at"
        )
    assert "Seq Scan on invoices" in await plan_of(clone, "invoices of a customer")


async def test_every_query_finds_something_in_time(clone: Clone, books: Books) -> None:
    accounting_queries.fill(clone.owner_url, Volumes(invoices=2_000, audit_rows=8_000))
    reads = await accounting_queries.measure(clone.owner_url, clone.url, samples=10)
    assert list(reads) == list(QUERIES)
    assert all(0 < each.p50_ms <= each.p95_ms for each in reads.values())


async def plan_of(clone: Clone, title: str) -> str:
    """How PostgreSQL runs a query, as the very statement that is sent."""
    ask, _ = QUERIES[title]
    value = accounting_queries.pick(clone.owner_url, title, 2)[1]
    sent: list[tuple[bytes, Any]] = []
    db = accounting_queries.opened(clone.url)
    await db.open()
    try:
        async with db.transaction() as tx:
            fetch = tx.fetch

            async def watched(statement: Any, make: Any) -> list[Any]:
                sent.append(statement)
                return await fetch(statement, make)

            tx.fetch = watched  # type: ignore[method-assign]
            assert await ask(tx, value)
            ((sql, values),) = sent
            explain = b"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) " + sql
            lines = await fetch((explain, values), lambda row: row[0])
    finally:
        await db.close()
    return "\n".join(lines)
