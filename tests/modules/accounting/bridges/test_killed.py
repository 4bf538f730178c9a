"""Workers killed in the middle, and a server that refuses one letter in ten: once each, at last."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bedplate.kernel import processes
from bedplate.kernel.settings import load
from bedplate.modules.accounting import recall_messages, remind, run_overdue
from bedplate.modules.delivery import deliver_due
from bedplate.testing import Clone
from tests.aside import run_aside
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.accounting.business import customer
from tests.modules.delivery.postmen import opened

MODULES = ("auth", "mining", "accounting", "delivery")
INVOICES = 40
KILLS = 3
WAIT_S = 120.0
WRITTEN = "SELECT count(*) FROM accounting.invoice_notifications"


async def work(url: str, smtp_url: str, gate: str) -> None:
    """Do what a worker does, again and again, from when the gate opens until it is killed."""
    settings = replace(
        load(), database_url=url, modules=("auth", "mining", "accounting", "delivery")
    )
    db = opened(Clone("killed", settings), smtp_url)
    await db.open()
    print("ready", flush=True)
    wait_for(Path(gate).exists)
    # Whoever was to kill it may be killed first.
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        await run_overdue(db, most=7)
        await recall_messages(db)
        await remind(db, most=3)
        await deliver_due(db, limit=5)


def main(url: str, smtp_url: str, gate: str) -> None:
    asyncio.run(work(url, smtp_url, gate))


async def test_every_reminder_goes_once_whatever_is_killed(
    billing: Billing, tmp_path: Path
) -> None:
    chance = random.Random(5)
    who = await customer(billing.db)
    made = [await billing.invoice(who=who, due_in=1) for _ in range(INVOICES)]
    billing.clock.advance(days=3)
    billing.post.at_data = lambda _: "451 not now" if chance.random() < 0.1 else None
    billing.post.delay_s = 0.005
    gate = tmp_path / "gate"
    arguments = (billing.clone.url, billing.post.url, str(gate))
    pids = [run_aside(main, tmp_path / str(number), *arguments) for number in range(KILLS)]
    try:
        wait_for(lambda: all("ready" in log.read_text() for log in tmp_path.glob("*.log")))
        assert all(processes.alive(pid) for pid in pids)
        gate.touch()
        # Whoever is killed is killed at work, however long the first message takes.
        wait_for(lambda: billing.ask(WRITTEN) != [(0,)])
        for pid in pids:
            await asyncio.sleep(chance.uniform(0.1, 0.3))
            assert processes.terminate(pid, [(signal.SIGKILL, WAIT_S)])
            no_half_messages(billing)
    finally:
        for pid in filter(processes.alive, pids):
            processes.terminate(pid, [(signal.SIGKILL, WAIT_S)])
    # Leases of the dead run out, and letters that were refused come up again.
    billing.clock.advance(minutes=1)
    for _ in range(4):
        await billing.run()
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
    # A letter that was taken the moment its worker died goes again, with the Message-ID it had.
    letters = billing.post.ids()
    assert len(letters) == INVOICES
    assert sum(letters.values()) <= INVOICES + KILLS


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
