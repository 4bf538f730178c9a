"""Whoever is killed: what was answered is so, once, and numbers have no gap.

Invoices are issued, paid and refunded, prices set and templates billed, all at once, while client
processes and the server are killed; then everything is asked again, and recounted.
"""

from __future__ import annotations

import os
import platform
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.integrations.blocking import wait
from bedplate.kernel.settings import Settings
from tests import proofs
from tests.modules.accounting.clerks import Clerk, Office, office
from tests.modules.accounting.deeds import RUN, TRY, Order, bill
from tests.modules.accounting.ground import Ground, ground_in
from tests.modules.accounting.orders import MONTHS, Amounts, Plan, is_refusal, rows, stands, wrong
from tests.world import CLIENTS

GIVEN = "SELECT invoice_number FROM accounting.invoices WHERE issued_date IS NOT NULL"
KINDS = ("issue", "pay", "refund", "price")


@pytest.fixture
def ground(tmp_path: Path, bedplate_settings: Settings) -> Iterator[Ground]:
    major = bedplate_settings.test.postgres_major
    with ground_in(tmp_path / "project", major, "auth", "mining", "accounting") as made:
        yield made


@dataclass(frozen=True)
class Size:
    """How much is done by how many processes, and how often somebody is killed meanwhile."""

    amounts: Amounts
    processes: int
    clients_killed: int
    cut_off: int
    server_killed: int

    @property
    def threads(self) -> int:
        return CLIENTS // self.processes


SMALL = Size(Amounts(issue=100, pay=60, refund=40, price=30, run=20, customers=4), 2, 2, 1, 1)
FULL = Size(
    Amounts(issue=5_000, pay=2_000, refund=1_000, price=500, run=500, customers=50), 4, 10, 5, 3
)


def under_fire(
    ground: Ground, work: Office, size: Size, orders: list[Order], chance: random.Random
) -> list[Clerk]:
    """Do everything; each mishap comes at a random point of its own stretch of the work."""
    living = [work.start(orders[hand :: size.processes]) for hand in range(size.processes)]
    mishaps = ["client"] * size.clients_killed + ["cut off"] * size.cut_off
    mishaps += ["server"] * size.server_killed
    chance.shuffle(mishaps)
    stretch = size.amounts.kept // (len(mishaps) + 1)
    for mishap in mishaps:
        work.wait(lines=work.lines() + chance.randrange(1, stretch))
        if mishap == "server":
            ground.kill_server()
        elif mishap == "cut off":
            ground.cut_off()
        else:
            hand = chance.randrange(size.processes)
            living[hand] = work.replace(living[hand])
    work.wait()
    return living


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="small"), pytest.param(FULL, marks=pytest.mark.full, id="full")]
)
def test_what_was_answered_is_so_whoever_is_killed(ground: Ground, size: Size) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    plan, project = Plan(chance, size.amounts), ground.project()
    try:
        wait(plan.prepare(project.db))
    finally:
        wait(project.close())
    orders = plan.orders(ground.url)
    started = time.monotonic()
    with office(ground.url, ground.folder, size.threads) as work, ground.watched():
        living = under_fire(ground, work, size, orders, chance)
        seconds = time.monotonic() - started
        assert all(clerk.is_done() for clerk in living)
        bill(ground.url)
        before = rows(ground.url)
        again = work.start(orders)
        work.wait()
        assert again.is_done()
        told = [clerk.acknowledged() for clerk in work.clerks]
    figures = recounted(ground, size, orders, told) | {
        "seed": seed,
        "seconds": round(seconds, 1),
        "rows_changed_by_asking_again": sum(
            before[table] != found for table, found in rows(ground.url).items()
        ),
    }
    if size is FULL:
        _write(figures)
    require_sound(figures)
    assert [many for _, many in ground.seen] == sorted(many for _, many in ground.seen)


def recounted(
    ground: Ground, size: Size, orders: list[Order], told: list[dict[str, str]]
) -> dict[str, Any]:
    """What the rows say of what the clerks were told."""
    found = stands(ground.url)
    with psycopg.connect(ground.url) as app:
        given = [number for (number,) in app.execute(GIVEN).fetchall()]
        (version,) = app.execute("SHOW server_version").fetchall()[0]
    by_day = dict[str, list[int]]()
    for number in given:
        by_day.setdefault(number[:8], []).append(int(number[8:]))
    kinds = {values["key"]: kind for kind, values in orders}
    answers = [(key, answer) for each in told for key, answer in each.items() if kinds[key] != RUN]
    done = Counter(kinds[key] for key in found.keys() & kinds.keys())
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {version}",
        "done": dict(sorted(done.items())),
        "refused": dict(sorted(Counter(kinds[k] for k in kinds.keys() - found.keys()).items())),
        "billed": size.amounts.templates * MONTHS,
        "clients": size.processes * size.threads,
        "clients_killed": size.clients_killed,
        "all_connections_ended": size.cut_off,
        "server_killed": size.server_killed,
        "answers": len(answers),
        "days": len(by_day),
        "gaps": sum(max(serials) - len(set(serials)) for serials in by_day.values()),
        "duplicates": sum(len(serials) - len(set(serials)) for serials in by_day.values()),
        "answered_but_other": sum(
            key in found if is_refusal(answer) else found.get(key) != answer
            for key, answer in answers
        ),
        "looked_at": len(ground.seen),
        "moments_with_a_gap": sum(missing != 0 for missing, _ in ground.seen),
        "wrong": len(wrong(ground.url)),
        "laws_broken": ground.broken(),
    }


def require_sound(figures: dict[str, Any]) -> None:
    assert (figures["gaps"], figures["duplicates"]) == (0, 0), figures
    assert (figures["answered_but_other"], figures["wrong"]) == (0, 0), figures
    assert figures["rows_changed_by_asking_again"] == 0, figures
    # Had numbers been given in another order than that of the commits, a moment would have a gap.
    assert figures["looked_at"] > 5, figures
    assert figures["moments_with_a_gap"] == 0, figures
    assert figures["laws_broken"] == []
    assert all(figures["done"][kind] for kind in KINDS), figures
    # Everything was issued that was to be, and nothing that was rolled back.
    assert figures["refused"].keys() == {"pay", "refund", "price", RUN, TRY}, figures


def _write(figures: dict[str, Any]) -> None:
    done, refused = figures["done"], figures["refused"]
    lines = [
        "# Accounting under fire",
        "",
        f"Run by `pytest --full`; {figures['machine']}; seed {figures['seed']}.",
        "",
        f"{done['issue'] + refused[TRY]:,} issues by {figures['clients']} clients at once, "
        f"{refused[TRY]:,} of them rolled back after they had their number; among them payments, "
        f"refunds, prices and runs over templates, in {figures['seconds']:.0f} s. Meanwhile "
        f"{figures['clients_killed']} client processes were killed, all connections ended "
        f"{figures['all_connections_ended']} times, and the server killed with SIGKILL "
        f"{figures['server_killed']} times. Another client did a dead one's work again; at the end "
        "all of it was asked once more, and everything recounted by hand.",
        "",
        "| | |",
        "|---|---|",
        f"| invoices issued | {done['issue']:,} |",
        f"| months billed of templates, each once | {figures['billed']:,} |",
        f"| payments made, and refused | {done['pay']:,}, {refused['pay']:,} |",
        f"| refunds made, and refused | {done['refund']:,}, {refused['refund']:,} |",
        f"| prices set, and refused | {done['price']:,}, {refused['price']:,} |",
        f"| billing days | {figures['days']} |",
        f"| gaps in the numbers of a day | {figures['gaps']} |",
        f"| numbers given twice | {figures['duplicates']} |",
        f"| answers to clients, of which another is true now | {figures['answers']:,}, "
        f"{figures['answered_but_other']} |",
        f"| tables changed by asking all of it again | {figures['rows_changed_by_asking_again']} |",
        f"| wrong balances, months and prices | {figures['wrong']} |",
        f"| moments looked at while it ran | {figures['looked_at']:,} |",
        f"| moments with a gap: an order other than that of commits "
        f"| {figures['moments_with_a_gap']} |",
        f"| laws broken | {len(figures['laws_broken'])} |",
    ]
    proofs.write("invoice-numbers", "\n".join(lines), figures)
