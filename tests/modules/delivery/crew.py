"""Workers that deliver mail as processes of their own, to be started and killed by a test."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import psycopg

from bedplate.kernel import processes
from bedplate.kernel.settings import load
from bedplate.operations.work import Worker, WorkOptions
from bedplate.project import Project
from bedplate.testing import Clone

ROOT = Path(__file__).parents[3]
WAIT_S = 30.0
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


def main() -> None:
    asyncio.run(work(Path(sys.argv[2])))


@dataclass
class Crew:
    """The workers of one test."""

    clone: Clone
    folder: Path
    pids: list[int] = field(default_factory=list)
    started: int = 0

    def start(self) -> int:
        self.started += 1
        script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
        script += "from tests.modules.delivery.crew import main; main()"
        pid = processes.start(
            [sys.executable, "-c", script, "--", str(self.folder)],
            log=self.folder / f"log-{self.started}",
            guard=self.folder / f"guard-{self.started}",
        )
        self.pids.append(pid)
        return pid

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        self.pids.remove(pid)
        assert processes.terminate(pid, [(number, WAIT_S)]), self.logs()

    def kill_and_forget(self, pid: int) -> None:
        """Kill one in the middle, and let the leases it had on mails run out at once."""
        self.kill(pid)
        with psycopg.connect(self.clone.url) as connection:
            connection.execute(RAN_OUT.encode(), [f"%:{pid}:%"])

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("log-*")))


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
    crew = Crew(clone, folder)
    try:
        yield crew
    finally:
        for pid in list(crew.pids):
            crew.kill(pid)
