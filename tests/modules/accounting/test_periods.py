"""Each template bills each of its months once, in order, whoever runs it, where and how often."""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest

from bedplate import Database
from bedplate.kernel import processes
from bedplate.modules.accounting import (
    RecurringInvoice,
    create_template,
    run_recurring,
)
from bedplate.testing import Clone, FrozenClock
from tests import proofs
from tests.aside import run_aside
from tests.asking import as_owner, ask
from tests.modules.accounting.business import broken, customer, template
from tests.modules.accounting.clerks import KILL
from tests.modules.accounting.deeds import BILL, bill
from tests.world import CLIENTS, World

DAY = timedelta(days=1)
# The first of each month, the 28th, the last (the leap day too), and days on which clocks change:
# in 2024 those are March 10th and 31st, October 27th, November 3rd, April 7th and October 6th.
ANCHORS: tuple[dict[str, Any], ...] = (
    {"day_of_month": 1},
    {"day_of_month": 28},
    {"last_day_of_month": True},
    *({"day_of_month": day} for day in (3, 6, 7, 10, 27)),
)


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the run is the server's."""
    return world


def naive(each: RecurringInvoice, through: date) -> list[str]:
    """The days that a template bills, found by looking at every day there is."""
    days = list[str]()
    day = each.start_date
    while day <= min(through, each.end_date or through):
        is_last = (day + DAY).day == 1
        if is_last if each.last_day_of_month else day.day == each.day_of_month:
            days.append(str(day))
        day += DAY
    return days


def billed(world: World) -> dict[UUID, list[tuple[str, str]]]:
    """What each template billed, with the day of its number, in the order of the numbers."""
    found = dict[UUID, list[tuple[str, str]]]()
    for id, day, number in ask(
        world.clone,
        "SELECT recurring_invoice_id, billing_date::text, invoice_number FROM accounting.invoices"
        " ORDER BY left(invoice_number, 8), substr(invoice_number, 9)::int",
    ):
        found.setdefault(id, []).append((day, f"{number[:4]}-{number[4:6]}-{number[6:8]}"))
    return found


def make(world: World, terms: list[dict[str, Any]]) -> list[RecurringInvoice]:
    async def body(db: Database) -> list[RecurringInvoice]:
        return [await create_template(db, template(await customer(db), **each)) for each in terms]

    return world.run(body(world.db))


def test_random_templates_bill_what_a_naive_model_says(
    world: World, frozen_clock: FrozenClock
) -> None:
    """In two halves, which make one whole."""
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    terms = list[dict[str, Any]]()
    for _ in range(30):
        start = date(2023, 1, 1) + chance.randrange(500) * DAY
        each: dict[str, Any] = dict(chance.choice(ANCHORS))
        terms.append({"start_date": start, **each})
        if chance.random() < 0.4:
            terms[-1]["end_date"] = start + chance.randrange(400) * DAY
    made = make(world, terms)
    frozen_clock.set(datetime(2023, 6, 1, tzinfo=UTC))
    for _ in range(3):
        frozen_clock.advance(days=chance.randrange(1, 200))
        world.run(run_recurring(world.db))
        found = billed(world)
        for template_made in made:
            days = [day for day, _ in found.get(template_made.id, [])]
            assert days == naive(template_made, frozen_clock.now.date())
    assert broken(world) == {}


@dataclass(frozen=True)
class Year:
    """Which months of 2024, in which zones, run by how many at once, for how many customers."""

    first: int
    last: int
    zones: tuple[str, ...]
    workers: int
    customers: int


SMALL = Year(3, 3, ("Europe/Berlin",), CLIENTS, 1)
FULL = Year(
    first=1,
    last=12,
    zones=(
        *("UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin", "America/New_York"),
        *("Australia/Lord_Howe", "Asia/Kathmandu"),
    ),
    workers=CLIENTS,
    customers=4,
)


def ticks(year: Year, zone: str) -> Iterator[datetime]:
    """Just before each billing day begins in the zone, as it begins, twice more on the day."""
    day = date(2024, year.first, 1)
    while day.month <= year.last and day.year == 2024:
        if day.day in (1, 3, 6, 7, 10, 27, 28) or (day + DAY).day == 1:
            begins = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
            yield begins - timedelta(microseconds=1)
            yield begins
            yield begins + timedelta(hours=3)
            yield begins + timedelta(hours=22, minutes=59)
        day += DAY


def run_at_once(clone: Clone, workers: int, clock: FrozenClock, moments: Iterator[datetime]) -> int:
    """At each moment all workers bill until nothing is due; return how often they came."""
    with ExitStack() as open_, ThreadPoolExecutor(workers) as threads:
        clients = [
            open_.enter_context(psycopg.connect(clone.url, autocommit=True)) for _ in range(workers)
        ]

        def bill(client: psycopg.Connection[Any]) -> int:
            runs = 1
            while client.execute(BILL.encode()).fetchall()[0][0]:
                runs += 1
            return runs

        runs = 0
        for moment in moments:
            clock.set(moment)
            runs += sum(threads.map(bill, clients))
        return runs


@pytest.mark.parametrize(
    "year",
    [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.full)],
)
def test_each_month_is_billed_once_on_its_day_whoever_runs_it(
    world: World, frozen_clock: FrozenClock, year: Year
) -> None:
    set_zone = (
        "INSERT INTO accounting.billing_settings (time_zone) VALUES (%s)"
        " ON CONFLICT (id) DO UPDATE SET time_zone = excluded.time_zone"
    )
    started, figures = time.monotonic(), dict[str, dict[str, int]]()
    for zone in year.zones:
        as_owner(world.clone, set_zone, zone)
        start = date(2024, year.first, 1)
        terms = [{**each, "start_date": start} for each in ANCHORS for _ in range(year.customers)]
        made = make(world, terms)
        runs = run_at_once(world.clone, year.workers, frozen_clock, ticks(year, zone))
        through = date(2024 + year.last // 12, year.last % 12 + 1, 1) - DAY
        found = billed(world)
        for each in made:
            # The number's day is the billed one: it was billed as that day began, not before.
            assert found[each.id] == [(day, day) for day in naive(each, through)], zone
        invoices = sum(len(found[each.id]) for each in made)
        figures[zone] = {"templates": len(made), "runs": runs, "invoices": invoices}
        as_owner(world.clone, "UPDATE accounting.recurring_invoices SET is_active = false")
    assert broken(world) == {}
    if year is FULL:
        _write(world, year, figures, time.monotonic() - started)


def test_killed_workers_leave_each_month_billed_once(
    world: World, frozen_clock: FrozenClock, tmp_path: Path
) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    frozen_clock.set(datetime(2024, 6, 15, 12, tzinfo=UTC))
    made = make(world, [{**each, "start_date": date(2024, 1, 1)} for each in ANCHORS * 3])
    pids = [run_aside(bill, tmp_path / f"clerk-{n}", world.clone.url) for n in range(3)]
    count = "SELECT count(*) FROM accounting.invoices"
    try:
        for pid in pids:
            seen = ask(world.clone, count)[0][0]
            deadline = time.monotonic() + 120
            while ask(world.clone, count)[0][0] < min(seen + chance.randrange(1, 30), 100):
                assert time.monotonic() < deadline
            assert processes.terminate(pid, KILL)
    finally:
        for pid in pids:
            processes.terminate(pid, KILL)
    billed_before = sum(map(len, billed(world).values()))
    world.run(run_recurring(world.db))
    found = billed(world)
    for each in made:
        assert [day for day, _ in found[each.id]] == naive(each, date(2024, 6, 15))
    print(
        f"{billed_before} billed by those who were killed, {sum(map(len, found.values()))} in all"
    )
    assert broken(world) == {}


def _write(world: World, year: Year, figures: dict[str, dict[str, int]], seconds: float) -> None:
    ((version,),) = ask(world.clone, "SELECT current_setting('server_version')")
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {version}"
    lines = [
        "# Accounting: a year of recurring invoices in every zone",
        "",
        f"Run by `pytest --full`; {machine}; {seconds:.0f} s.",
        "",
        f"2024, a leap year: {year.workers} workers at once, just before each billing day begins "
        "in its zone, as it begins, and twice more on it. Templates bill on the first, the 28th, "
        "the last of each month, and on days on which clocks change.",
        "",
        "| zone | templates | runs | invoices | twice, missing, or on another day |",
        "|---|---|---|---|---|",
        *(
            f"| {zone} | {each['templates']} | {each['runs']:,} | {each['invoices']} | 0 |"
            for zone, each in figures.items()
        ),
    ]
    told = {"machine": machine, "seconds": round(seconds, 1), "workers": year.workers}
    proofs.write("recurring", "\n".join(lines), {**told, "zones": figures})
