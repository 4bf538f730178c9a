"""Workers and the server killed in the middle, one letter in ten refused: once each, at last."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bedplate.kernel import processes
from bedplate.kernel.errors import ConnectionFailed, ConnectionLost
from bedplate.kernel.settings import Settings, load
from bedplate.modules.accounting import recall_messages, remind, run_overdue
from bedplate.modules.delivery import deliver_due
from bedplate.testing import Clone, FrozenClock
from tests.aside import run_aside
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.accounting.business import customer
from tests.modules.accounting.clerks import KILL
from tests.modules.accounting.ground import Ground, ground_in
from tests.modules.delivery.postmen import PostOffice, opened

MODULES = ("auth", "mining", "accounting", "delivery")
INVOICES = 40
WORKERS = 3
AT_ONCE = 5
"""How many letters a worker has in hand."""

WAIT_S = 120.0


@pytest.fixture
def ground(tmp_path: Path, bedplate_settings: Settings) -> Iterator[Ground]:
    major = bedplate_settings.test.postgres_major
    with ground_in(tmp_path / "project", major, *MODULES) as made:
        FrozenClock.install(made.clone.owner_url)
        yield made


@pytest.fixture
async def billing(
    ground: Ground, post: PostOffice, bedplate_clock: FrozenClock
) -> AsyncIterator[Billing]:
    """A business on a server of its own."""
    made = Billing(ground.clone, opened(ground.clone, post.url), post, bedplate_clock)
    with bedplate_clock.ruling(ground.clone.owner_url):
        bedplate_clock.set(made.today)
        await made.db.open()
        yield made
        await made.db.close()


async def work(url: str, smtp_url: str, gate: str) -> None:
    """Do what a worker does, again and again, from when the gate opens until it is killed."""
    settings = replace(load(), database_url=url, modules=MODULES)
    db = opened(Clone("killed", settings), smtp_url)
    await db.open()
    print("ready", flush=True)
    wait_for(Path(gate).exists)
    # Whoever was to kill it may be killed first.
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        # The server dies under it, too; the next round finds what that left.
        with suppress(ConnectionFailed):
            await run_overdue(db, most=7)
            await recall_messages(db)
            await remind(db, most=3)
            await deliver_due(db, limit=AT_ONCE)


def main(url: str, smtp_url: str, gate: str) -> None:
    asyncio.run(work(url, smtp_url, gate))


async def test_every_reminder_goes_once_whatever_is_killed(
    ground: Ground, billing: Billing, tmp_path: Path
) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    who = await customer(billing.db)
    made = [await billing.invoice(who=who, due_in=1) for _ in range(INVOICES)]
    billing.clock.advance(days=3)
    billing.post.at_data = lambda _: "451 not now" if chance.random() < 0.1 else None
    billing.post.delay_s = 0.005
    gate = tmp_path / "gate"
    arguments = (billing.clone.url, billing.post.url, str(gate))
    pids = [run_aside(main, tmp_path / str(number), *arguments) for number in range(WORKERS)]

    def more_letters() -> None:
        enough = min(len(billing.post.letters) + chance.randrange(1, 8), INVOICES - 10)
        wait_for(lambda: len(billing.post.letters) >= enough)

    try:
        wait_for(lambda: all("ready" in log.read_text() for log in tmp_path.glob("*.log")))
        assert all(processes.alive(pid) for pid in pids)
        gate.touch()
        # Each is killed at work, however long the first message takes: two workers, the server
        # with a letter in the last one's hands, and that one.
        for pid in pids[:-1]:
            more_letters()
            assert processes.terminate(pid, KILL)
            no_half_messages(billing)
        more_letters()
        ground.kill_server()
        no_half_messages(billing)
        more_letters()
    finally:
        for pid in filter(processes.alive, pids):
            processes.terminate(pid, KILL)
    no_half_messages(billing)
    # Leases of the dead run out, and letters that were refused come up again.
    billing.clock.advance(minutes=1)
    for _ in range(4):
        await run(billing)
        billing.clock.advance(hours=2)
    # A letter that chance refuses each time has its answer at last.
    billing.post.at_data = lambda _: None
    await billing.run()
    no_half_messages(billing)
    assert billing.ask(
        "SELECT count(*), count(DISTINCT invoice_id), min(status::text), max(status::text)"
        " FROM accounting.invoice_notifications"
    ) == [(INVOICES, INVOICES, "SENT", "SENT")]
    for invoice in made:
        assert Counter(billing.log(invoice))["EMAIL_SENT"] == 1
    # A letter that was taken the moment its worker or the server died goes again, with the
    # Message-ID it had.
    letters = billing.post.ids()
    assert len(letters) == INVOICES
    assert sum(letters.values()) <= INVOICES + WORKERS + AT_ONCE
    assert ground.broken() == []
    # Asked once more, nothing is due.
    await billing.run()
    assert billing.post.ids() == letters


async def run(billing: Billing) -> None:
    """Do what the worker does, on connections that may have died with the server."""
    while True:
        with suppress(ConnectionLost):
            return await billing.run()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def no_half_messages(billing: Billing) -> None:
    """Every notification has its mail, every mail its notification, and both say the same."""
    assert (
        billing.ask(
            "SELECT n.id, m.id, n.status::text, m.status FROM accounting.invoice_notifications n"
            " FULL JOIN delivery.outgoing_mails m ON m.id = n.mail_id"
            " WHERE n.id IS NULL OR m.id IS NULL OR n.status::text <> m.status"
            " AND NOT (n.status = 'FAILED' AND m.status = 'PENDING')"
        )
        == []
    )
