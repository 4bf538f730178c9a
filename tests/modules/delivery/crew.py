"""Workers that deliver mail as processes of their own, to be started and killed by a test."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bedplate.kernel.settings import load
from bedplate.operations.work import Worker, WorkOptions
from bedplate.project import Project
from bedplate.testing import Clone
from tests.aside import Crew
from tests.asking import ask

LEASE_MS = 20_000
CONCURRENCY = 4
TIMEOUT_MS = 10_000
"""Of an attempt: long enough that on a busy machine nothing fails but what a test makes fail."""

RAN_OUT = """
UPDATE delivery.outgoing_mails SET expires_at = bedplate.now()
WHERE state = 'RUNNING' AND holder LIKE %s
"""


async def work(folder: Path) -> None:
    """Work until SIGTERM, with the settings of a folder."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    settings = replace(load(folder), transaction_pooler=False)
    async with await Project.open(settings=settings) as project:
        options = WorkOptions(concurrency=CONCURRENCY, lease=timedelta(milliseconds=LEASE_MS))
        worker = Worker(
            project.db, project.registry, options, note=lambda text: print(text, flush=True)
        )
        await worker.run(stopping)


def main(folder: str) -> None:
    asyncio.run(work(Path(folder)))


def kill_and_forget(crew: Crew, pid: int) -> None:
    """Kill one in the middle, and let the leases it had on mails run out at once."""
    crew.kill(pid)
    ask(crew.clone, RAN_OUT, f"%:{pid}:%")


@contextmanager
def crew_of(clone: Clone, folder: Path, smtp_url: str) -> Iterator[Crew]:
    """A crew on a clone, its mail going to a server; whoever is left is killed."""
    (folder / "bedplate.toml").write_text(
        f'database_url = "{clone.url}"\n'
        'modules = ["auth", "delivery"]\n'
        "[delivery]\n"
        f'smtp_url = "{smtp_url}"\n'
        'sender = "Shop <billing@shop.example>"\n'
        f"timeout_ms = {TIMEOUT_MS}\n"
        "retry_first_ms = 50\n"
        "retry_longest_ms = 200\n"
    )
    with closing(Crew(clone, folder, main, (str(folder),))) as crew:
        yield crew
