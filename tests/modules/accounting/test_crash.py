"""Whoever is killed while invoices are issued: numbers have no gap, and none is given twice."""

from __future__ import annotations

import os
import platform
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel import embedded, processes, registry
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.settings import Settings
from bedplate.operations import checks, migrate
from bedplate.project import Project
from tests import proofs
from tests.modules.accounting.business import customer
from tests.modules.accounting.clerks import KILL, Clerk, Office, office

MODULES = ("auth", "mining", "accounting")
DRAFT = """
INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date, created_by)
SELECT bedplate.uuid7(), %s, n, 10, '2099-12-31', %s FROM generate_series(1, %s) AS n
RETURNING id::text
"""
CUT_OFF = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""
# What one moment shows of each day: without gaps it is as many as the last.
SEEN = """
SELECT coalesce(sum(last - many), 0), coalesce(sum(many), 0) FROM (
    SELECT count(*) AS many, max(substr(invoice_number, 9)::int) AS last
    FROM accounting.invoices WHERE issued_date IS NOT NULL
    GROUP BY left(invoice_number, 8)) AS d
"""
GIVEN = "SELECT id::text, invoice_number FROM accounting.invoices WHERE issued_date IS NOT NULL"


@dataclass
class Ground:
    """A server of our own, which may be killed, and an auditor's view of it."""

    attachment: Attachment
    folder: Path
    seen: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Each time it was looked at: how many numbers were missing, and how many were there."""

    @property
    def url(self) -> str:
        return self.attachment.url()

    def project(self) -> Project:
        settings = Settings(folder=self.folder, database_url=self.url, modules=MODULES)
        return open_project(settings=settings)

    def drafts(self, many: int) -> list[str]:
        project = self.project()
        try:
            who = wait(customer(project.db))
        finally:
            wait(project.close())
        with psycopg.connect(self.url) as app:
            return [row[0] for row in app.execute(DRAFT, [who.id, who.by, many])]

    def kill_server(self) -> None:
        pid = embedded.status(self.folder).pid
        assert pid is not None
        assert processes.terminate(pid, KILL)
        self.attachment.ensure_running()

    def cut_off(self) -> None:
        """End every connection of the app's but this one."""
        with psycopg.connect(self.url, autocommit=True) as app:
            app.execute(CUT_OFF)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the numbers again and again, whatever happens to the server."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.01):
                with (
                    suppress(psycopg.OperationalError),
                    psycopg.connect(self.attachment.url("owner"), autocommit=True) as owner,
                ):
                    while not over.wait(0.01):
                        self.seen += owner.execute(SEEN).fetchall()

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def broken(self) -> list[str]:
        outcomes = checks.run(registry.load(MODULES, self.folder), self.url)
        ours = [each for each in outcomes if each.id.startswith("accounting.")]
        assert len(ours) > 5
        return [each.id for each in ours if not each.ok]


@pytest.fixture
def ground(tmp_path: Path, bedplate_settings: Settings) -> Iterator[Ground]:
    folder = tmp_path / "project"
    folder.mkdir()
    major = bedplate_settings.test.postgres_major
    try:
        attachment = embedded.attach(folder, major=major, database="accounting", durable=False)
        try:
            migrate.apply_unproven(
                registry.load(MODULES, folder),
                owner_url=attachment.url("owner"),
                app_url=attachment.url("app"),
            )
            yield Ground(attachment, folder)
        finally:
            attachment.detach()
    finally:
        embedded.purge(folder)


@dataclass(frozen=True)
class Size:
    """How much is done, and how often somebody is killed meanwhile."""

    issues: int
    processes: int
    threads: int
    clients_killed: int
    cut_off: int
    server_killed: int


SMALL = Size(200, 3, 4, 2, 1, 1)
FULL = Size(5_000, 4, 8, 10, 5, 3)


def under_fire(ground: Ground, work: Office, size: Size, chance: random.Random) -> list[Clerk]:
    """Issue everything; each mishap comes at a random point of its own stretch of the work."""
    drafts = ground.drafts(size.issues)
    orders = [(draft, place % 5 != 0) for place, draft in enumerate(drafts)]
    living = [work.start(orders[hand :: size.processes]) for hand in range(size.processes)]
    mishaps = ["client"] * size.clients_killed + ["cut off"] * size.cut_off
    mishaps += ["server"] * size.server_killed
    chance.shuffle(mishaps)
    stretch = size.issues * 4 // 5 // (len(mishaps) + 1)
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
def test_numbers_have_no_gap_whoever_is_killed(ground: Ground, size: Size) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    started = time.monotonic()
    with office(ground.url, ground.folder, size.threads) as work, ground.watched():
        living = under_fire(ground, work, size, chance)
        assert all(clerk.is_done() for clerk in living)
        told = [clerk.acknowledged() for clerk in work.clerks]
    seconds = time.monotonic() - started
    with psycopg.connect(ground.url) as app:
        given = dict[str, str](app.execute(GIVEN).fetchall())
        (version,) = app.execute("SHOW server_version").fetchall()[0]
    by_day = dict[str, list[int]]()
    for number in given.values():
        by_day.setdefault(number[:8], []).append(int(number[8:]))
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {version}",
        "seed": seed,
        "issued": len(given),
        "rolled_back": size.issues - len(given),
        "clients": size.processes * size.threads,
        "clients_killed": size.clients_killed,
        "all_connections_ended": size.cut_off,
        "server_killed": size.server_killed,
        "seconds": round(seconds, 1),
        "days": len(by_day),
        "gaps": sum(max(serials) - len(set(serials)) for serials in by_day.values()),
        "duplicates": sum(len(serials) - len(set(serials)) for serials in by_day.values()),
        "acknowledged_but_other": sum(
            given.get(invoice) != number for each in told for invoice, number in each.items()
        ),
        "looked_at": len(ground.seen),
        "moments_with_a_gap": sum(missing != 0 for missing, _ in ground.seen),
        "laws_broken": ground.broken(),
    }
    if size is FULL:
        _write(figures)
    assert len(given) == size.issues * 4 // 5, figures
    assert (figures["gaps"], figures["duplicates"]) == (0, 0), figures
    assert figures["acknowledged_but_other"] == 0, figures
    # Had numbers been given in another order than that of the commits, a moment would have a gap.
    assert figures["looked_at"] > 5, figures
    assert figures["moments_with_a_gap"] == 0, figures
    assert figures["laws_broken"] == []
    assert [many for _, many in ground.seen] == sorted(many for _, many in ground.seen)


def _write(figures: dict[str, Any]) -> None:
    lines = [
        "# Accounting: numbers under fire",
        "",
        f"Run by `pytest --full`; {figures['machine']}; seed {figures['seed']}.",
        "",
        f"{figures['issued'] + figures['rolled_back']:,} issues by {figures['clients']} clients at "
        f"once, {figures['rolled_back']:,} of them rolled back after they had their number, in "
        f"{figures['seconds']:.0f} s. Meanwhile {figures['clients_killed']} client processes were "
        f"killed, all connections ended {figures['all_connections_ended']} times, and the server "
        f"killed with SIGKILL {figures['server_killed']} times.",
        "",
        "| | |",
        "|---|---|",
        f"| invoices issued | {figures['issued']:,} |",
        f"| billing days | {figures['days']} |",
        f"| gaps in the numbers of a day | {figures['gaps']} |",
        f"| numbers given twice | {figures['duplicates']} |",
        f"| numbers told to a client that are another now | {figures['acknowledged_but_other']} |",
        f"| moments looked at while it ran | {figures['looked_at']:,} |",
        f"| moments with a gap: an order other than that of commits "
        f"| {figures['moments_with_a_gap']} |",
        f"| laws of accounting broken | {len(figures['laws_broken'])} |",
    ]
    proofs.write("invoice-numbers", "\n".join(lines), figures)
