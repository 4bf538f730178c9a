"""Accounting beside a host's own seven tables: a year of business, and nothing of theirs touched.

IN11: every catalog row and every row of the seven tables is the same before, while and after, the
receipts say so, and every invoice is recounted by hand.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from bedplate import Project, Settings, acting, errors
from bedplate.catalog import connect
from bedplate.kernel.settings import load
from bedplate.modules.accounting import (
    aged_receivables,
    set_billing,
)
from bedplate.modules.auth import backfill_preferences
from bedplate.operations.migrate import failures, patience
from bedplate.testing import FrozenClock, Server
from bedplate.testing import clock as test_clock
from tests.house.documents import blocks
from tests.journeys.accounting_book import (
    CONFLICT,
    DONE,
    ISSUED,
    NOT_PAYABLE,
    OTHER_PAYER,
    OVER,
    OVER_REFUND,
    REFUSED,
    Book,
)
from tests.journeys.accounting_mail import Mailing, mailed
from tests.journeys.accounting_year import Year
from tests.journeys.host_layouts import Hosted, hosted
from tests.journeys.mining_farm import SCHEMA, YEAR, Farm
from tests.proofs import write

ZONE = "America/New_York"
NEW_TABLES = (
    "invoices",
    "recurring_invoices",
    "customer_pricing_config",
    "invoice_payments",
    "audit_logs",
    "invoice_notifications",
)
# Verbatim, from the plan.
VERIFICATION = """
SELECT COUNT(*) FROM users;
SELECT COUNT(*) FROM cost_payments;
SELECT COUNT(*) FROM miners;
SELECT COUNT(*) FROM invoices;
SELECT COUNT(*) FROM recurring_invoices;
SELECT COUNT(*) FROM customer_pricing_config;
SELECT COUNT(*) FROM invoice_payments;
SELECT COUNT(*) FROM audit_logs;
SELECT COUNT(*) FROM invoice_notifications;
"""
EVERY_INVOICE = """
SELECT id, invoice_number, user_id, total_miners, unit_price, total_amount, paid_amount,
       refunded_amount, total_amount - paid_amount, status::text, due_date, paid_date,
       recurring_invoice_id, billing_date
FROM accounting.invoices
"""
EVERY_NOTIFICATION = """
SELECT invoice_id, notification_type::text, stage, due_date, status::text, sent_to
FROM accounting.invoice_notifications
"""
WAITING = "accounting.W001"
"""A template waits for a price: of some customers the host never sets one."""

RETRIES = """
SELECT sum(retry_count), count(*) FILTER (WHERE status = 'FAILED') FROM delivery.outgoing_mails
"""
ACTIONS = "SELECT action::text, count(*) FROM accounting.audit_logs GROUP BY action"
PROOF = """# A year of accounting beside a host's seven tables

`pytest --full tests/journeys/test_accounting_beside_a_host.py`: {users:,} users, {miners:,} miners
and {cost_payments:,} payments in tables of the host's own, with {key_type} keys.

Enabled, used for a year of every third day, disabled. All the while the host's tables were the
same: every catalog row and every row, looked at before, after enabling, at the turn of every month,
after the year and after disabling. The receipts of both ways, up and down, say that no row was
touched, and name nothing but what is ours. Every issued invoice was mailed with its page to a real
SMTP server, but where it was cancelled first, or the address was no more; so were reminders.
`bedplate check` found {found}.

| what | how many |
|---|---|
| invoices, all recounted by hand in plain Python | {count:,} |
| by status | {invoices} |
| billed, paid, given back (cents) | {billed_cents:,}, {paid_cents:,}, {refunded_cents:,} |
| answers, each foretold by the recount | {answers} |
| messages, each written once | {messages:,} |
| of them invoices, with their pages | {invoices_mailed:,} |
| letters tried | {letters_tried:,} |
| of them refused for now (one in ten) | {letters_refused_for_now:,} |
| taken, each once | {letters_taken:,} |
| seconds, with everything looked at | {seconds:,} |
"""
CLOCKS = """
SELECT string_agg(pg_get_functiondef(p.oid) || ';', E'\\n') FROM pg_proc p
WHERE p.pronamespace = 'bedplate'::regnamespace AND p.proname IN ('now', 'clock')
"""
SMALL = Farm()
REFUSALS = {DONE, CONFLICT, NOT_PAYABLE, OTHER_PAYER, OVER, OVER_REFUND, REFUSED}
KEY_TYPES = (
    SMALL,
    Farm(key_type="bigint", users_count=7, miners_count=30, payments_count=25),
    Farm(key_type="text", users_count=7, miners_count=30, payments_count=25),
)


def touched(receipts: list[dict[str, Any]]) -> set[str]:
    """The schemas in which something that was there changed; no row anywhere did."""
    assert {each["rows_touched"] for each in receipts} == {0}
    assert {name for each in receipts for name in each["rewritten"]} == set()
    return {name.partition(".")[0] for each in receipts for name in each["shape_changes"]}


@contextmanager
def frozen(host: Hosted, clock: FrozenClock) -> Generator[None]:
    """Let the clock of the test rule this database, and take it out again."""
    with connect(host.owner_url, autocommit=True, purpose="journey") as owner:
        found = owner.execute(CLOCKS.encode()).fetchone()
        assert found is not None
        owner.execute(test_clock.SQL.encode())
        with clock.ruling(host.owner_url):
            yield
        clock.thaw()
        owner.execute(found[0].encode())
        owner.execute(b"DROP TABLE bedplate.frozen_clock")


def asked(host: Hosted, statement: str) -> list[tuple[Any, ...]]:
    """Ask as the app, with accounting's tables and the host's on the search path."""
    assert host.settings.database_url is not None
    with connect(host.settings.database_url, autocommit=True, purpose="journey") as app:
        app.execute(f"SET search_path = {SCHEMA}, accounting".encode())
        return app.execute(statement.encode()).fetchall()


def verified(host: Hosted) -> list[int]:
    """What the plan's own verification counts: three tables of the host's, six new ones."""
    statements = [each for each in VERIFICATION.split(";") if each.strip()]
    return [asked(host, each)[0][0] for each in statements]


def recounted(farm: Farm, year: Year) -> dict[Any, tuple[Any, ...]]:
    """Every invoice as the book has it, in the shape of EVERY_INVOICE."""
    found: dict[Any, tuple[Any, ...]] = {}
    for key, bill in year.book.bills.items():
        at = year.ids[key]
        sums = (bill.cents, bill.total, bill.paid, bill.refunded, bill.total - bill.paid)
        found[at] = (
            bill.number or f"DRAFT-{at}",
            farm.key("users", bill.customer),
            bill.miners,
            *(f"{cents // 100}.{cents % 100:02}" for cents in sums),
            bill.status,
            bill.due,
            bill.closed,
            UUID(key[0]) if key[1] else None,
            key[1],
        )
    return found


def invoices_of(host: Hosted) -> dict[Any, tuple[Any, ...]]:
    rows = asked(host, EVERY_INVOICE)
    return {row[0]: (*row[1:4], *map(str, row[4:9]), *row[9:]) for row in rows}


async def live(host: Hosted, farm: Farm, clock: FrozenClock, pace: int) -> Year:
    """A year of business; at the turn of every month the host's tables are looked at."""
    before = host.state()
    book = Book(
        ZoneInfo(ZONE),
        farm.running,
        {n: (payer, cents) for n, (payer, cents, _) in enumerate(farm.payments, start=1)},
        datetime(YEAR, 1, 1, tzinfo=UTC),
    )

    async def look() -> None:
        assert await asyncio.to_thread(host.state) ^ before == set()

    with mailed(host.settings) as (office, settings):
        async with await Project.open(settings=settings) as project:
            await set_billing(project.db, time_zone=ZONE)
            async with project.db.transaction() as tx:
                await backfill_preferences(tx)
            mailing = Mailing(project.db, farm, book, office)
            year = Year(project.db, farm, clock, book, pace, mailing)
            with acting(year.by):
                await year.live(look)
            await agree_on_debts(year)
            logged = dict(asked(host, ACTIONS))
            assert {name: logged.get(name) for name in book.actions} == book.actions
            mailing.agree(year.ids, asked(host, EVERY_NOTIFICATION))
            ((retried, taken_back),) = asked(host, RETRIES)
            assert mailing.refused - taken_back <= retried <= mailing.refused
    return year


async def agree_on_debts(year: Year) -> None:
    """What customers owe is what the book says they owe."""
    owed = Counter[Any]()
    for bill in year.book.bills.values():
        if bill.status in ("ISSUED", "OVERDUE"):
            owed[year.user(bill.customer)] += bill.total - bill.paid
    aged = await aged_receivables(year.db)
    assert {each.user_id: int(each.due * 100) for each in aged} == owed


# Where a key stands is the same whatever its type; the other types' years are in the full run.
@pytest.mark.parametrize(
    "farm",
    [
        pytest.param(farm, id=farm.key_type, marks=() if farm is SMALL else pytest.mark.full)
        for farm in KEY_TYPES
    ],
)
async def test_a_year_of_business_leaves_the_host_as_it_was(
    bedplate_server: Server, bedplate_settings: Settings, bedplate_clock: FrozenClock, farm: Farm
) -> None:
    pace = 5 if farm is SMALL else 10
    with hosted(bedplate_server, bedplate_settings, farm) as host:
        year = await whole(host, farm, bedplate_clock, pace)
        assert set(year.told) >= (REFUSALS if farm is SMALL else {DONE})


async def whole(host: Hosted, farm: Farm, clock: FrozenClock, pace: int) -> Year:
    """Enable, do a year of business, disable; and look at the host's tables all the while."""
    with connect(host.admin_url, autocommit=True, purpose="journey") as admin:
        farm.fill(admin)
    before, schemas = host.state(), host.schemas()
    triggers = host.foreign_key_triggers()
    host.commands()

    receipts = host.enable()
    assert len(receipts) >= 10
    assert touched([each.as_dict() for each in receipts]) <= farm.our_schemas
    assert host.state() ^ before == set()
    assert host.foreign_key_triggers() > triggers, "our foreign keys point at the host's tables"
    rows = [farm.users_count, farm.payments_count, farm.miners_count]
    assert verified(host) == [*rows, *[0] * len(NEW_TABLES)]
    assert host.enable() == [], "the second time there is nothing to do"

    with frozen(host, clock):
        year = await live(host, farm, clock, pace)
        assert verified(host)[:3] == rows
        assert invoices_of(host) == recounted(farm, year)
        assert host.broken() == [WAITING] * year.book.waits()
    assert [each for each in host.commands() if host.is_others(each)] == []
    assert host.state() ^ before == set()

    undone = host.disable()
    assert len(undone) > len(farm.modules)
    assert touched(undone) <= farm.our_schemas
    assert host.schemas() == schemas
    assert host.state() ^ before == set()
    assert host.foreign_key_triggers() == triggers
    assert [each for each in host.commands() if host.is_others(each)] == []
    return year


@pytest.mark.parametrize("table", ["users", "cost_payments"])
def test_a_lock_in_the_way_is_waited_for(
    bedplate_server: Server,
    bedplate_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
) -> None:
    """The host works on: whoever enables gives way soon, asks again, and leaves nothing half."""
    asked_again: list[BaseException] = []

    def is_conflict(error: BaseException) -> bool:
        asked_again.append(error)
        return failures.is_lock_conflict(error)

    monkeypatch.setattr(patience, "is_lock_conflict", is_conflict)
    monkeypatch.setattr(patience, "LOCK_PAUSE_S", (0.01, 0.02))
    farm = Farm(users_count=3, miners_count=5, payments_count=4)
    with hosted(bedplate_server, bedplate_settings, farm) as host, ThreadPoolExecutor(1) as other:
        with connect(host.admin_url, autocommit=True, purpose="journey") as admin:
            farm.fill(admin)
        before = host.state()
        with connect(host.admin_url, purpose="journey") as writer:
            write = f'UPDATE farm.{table} SET "_id" = "_id" WHERE false'.encode()
            writer.execute(write)
            monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (100,) * 3)
            with pytest.raises(errors.MigrationFailed, match="pg_blocking_pids"):
                host.enable()
            assert len(asked_again) == 3
            assert host.state() ^ before == set()
            monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (100,) * 500)
            enabling = other.submit(host.enable)
            while len(asked_again) < 6:
                with connect(host.admin_url, autocommit=True, purpose="journey") as another:
                    another.execute(b"SET lock_timeout = '10s'")
                    another.execute(write)
            assert not enabling.done()
            writer.rollback()
            receipts = enabling.result(timeout=60)
            assert touched([each.as_dict() for each in receipts]) <= farm.our_schemas
        assert verified(host)[3:] == [0] * len(NEW_TABLES)
        assert host.enable() == []
        assert host.state() ^ before == set()


def test_the_page_binds_what_is_bound_here(tmp_path: Path) -> None:
    (toml,) = (body for at, body in blocks("toml") if at.startswith("docs/howto/adopt-accounting."))
    (tmp_path / "bedplate.toml").write_text(toml)
    read = load(tmp_path, {})
    farm = Farm(key_type="text")
    assert (read.modules, read.bind) == (farm.modules, farm.bind)


@pytest.mark.full
async def test_a_year_at_full_size(
    bedplate_server: Server, bedplate_settings: Settings, bedplate_clock: FrozenClock
) -> None:
    """A thousand users, 50,000 miners, 20,000 payments; every invoice is mailed."""
    farm = Farm(key_type="bigint", users_count=1_000, miners_count=50_000, payments_count=20_000)
    started = time.perf_counter()
    with hosted(bedplate_server, bedplate_settings, farm) as host:
        year = await whole(host, farm, bedplate_clock, pace=3)
    statuses = Counter(bill.status for bill in year.book.bills.values())
    figures = {
        "users": farm.users_count,
        "miners": farm.miners_count,
        "cost_payments": farm.payments_count,
        "key_type": farm.key_type,
        "invoices": dict(sorted(statuses.items())),
        "billed_cents": sum(bill.total for bill in year.book.bills.values()),
        "paid_cents": sum(bill.paid for bill in year.book.bills.values()),
        "refunded_cents": sum(bill.refunded for bill in year.book.bills.values()),
        "actions": dict(sorted(year.book.actions.items())),
        "answers": dict(sorted(year.told.items())),
        "letters_tried": year.mailing.letters,
        "letters_refused_for_now": year.mailing.refused,
        "letters_taken": len(year.mailing.office.letters),
        "messages": len(year.book.letters),
        "invoices_mailed": sum(kind == ISSUED for _, kind, *_ in year.book.letters),
        "rows_of_the_host_touched": 0,
        "seconds": round(time.perf_counter() - started, 1),
    }
    found = f"nothing but {WAITING}, as foretold" if year.book.waits() else "nothing"
    page = PROOF.format(**figures, count=statuses.total(), found=found)
    write("accounting-beside-a-host", page, figures)
