"""Client processes: start them, read what they wrote, kill one."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bedplate.cli.demo.errands import END, Answer, Deeds, Orders, Rounds, read_answers, read_deeds
from bedplate.kernel import processes
from bedplate.kernel.errors import BedplateError

PROGRAMS = {Orders: "bedplate.cli.demo.client", Rounds: "bedplate.cli.demo.biller"}
KILL = ((signal.SIGKILL, 10.0),)
POLL_S = 0.02
LIMIT_S = 180.0


class ClientFailed(BedplateError):
    """A client process ended early, or did not end."""

    code = "demo.client"
    advice = "Run it again as `bedplate --traceback demo` and report what it shows."


@dataclass(slots=True)
class Client:
    """One client process, or one biller, and the book it writes its answers into."""

    pid: int
    orders: Orders | Rounds
    book: Path
    log: Path
    is_over: bool = False
    """Seen to have ended: its pid may be another process's by now."""

    def lines(self) -> int:
        """Return how many lines are in the book."""
        return self.book.read_bytes().count(b"\n") if self.book.exists() else 0

    def answers(self) -> list[Answer]:
        """Return what has been acknowledged so far."""
        return read_answers(self.book)

    def deeds(self) -> list[Deeds]:
        """Return what a biller has done so far."""
        return read_deeds(self.book)

    def is_done(self) -> bool:
        """Tell whether every errand is done; raises ClientFailed where the process died early."""
        if not self.is_over and processes.alive(self.pid):
            return False
        self.is_over = True
        if self.book.exists() and self.book.read_bytes().endswith(END):
            return True
        said = self.log.read_text(errors="replace").strip().splitlines()
        raise ClientFailed(f"A client process ended early: {said[-1] if said else 'no word'}.")


class Crew:
    """The client processes of one folder; those that are left are killed at the end."""

    def __init__(self, folder: Path, limit_s: float) -> None:
        self.clients: list[Client] = []
        self._folder = folder
        self._limit_s = limit_s

    def start(self, orders: Orders | Rounds) -> Client:
        """Start a client process."""
        place = self._folder / f"client-{len(self.clients)}"
        told = place.with_suffix(".orders")
        told.touch(mode=0o600)  # It holds the database's address with its password.
        told.write_bytes(msgspec.json.encode(orders))
        book, log = place.with_suffix(".book"), place.with_suffix(".log")
        pid = processes.start(
            [sys.executable, "-P", "-m", PROGRAMS[type(orders)], str(told), str(book)],
            log=log,
            guard=place.with_suffix(".guard"),
        )
        client = Client(pid, orders, book, log)
        self.clients.append(client)
        return client

    def kill(self, client: Client) -> None:
        """Kill a client process with SIGKILL."""
        if not processes.terminate(client.pid, KILL):
            raise ClientFailed(f"The client process {client.pid} cannot be killed.")
        client.is_over = True

    def wait(self, clients: Sequence[Client]) -> None:
        """Wait until these have done everything; raises ClientFailed."""
        deadline = time.monotonic() + self._limit_s
        waiting = list(clients)
        while waiting := [client for client in waiting if not client.is_done()]:
            if time.monotonic() > deadline:
                raise ClientFailed(f"A client process took longer than {self._limit_s:g} s.")
            time.sleep(POLL_S)

    def wait_for_lines(self, clients: Sequence[Client], lines: int) -> None:
        """Wait until these have written that many lines together, or are done."""
        deadline = time.monotonic() + self._limit_s
        while sum(client.lines() for client in clients) < lines:
            if all(client.is_done() for client in clients):
                return
            if time.monotonic() > deadline:
                raise ClientFailed(f"The clients took longer than {self._limit_s:g} s.")
            time.sleep(POLL_S)


@contextmanager
def crew_in(folder: Path, *, limit_s: float = LIMIT_S) -> Generator[Crew]:
    """Give a crew whose processes do not outlive the block, and who may take so long at a time."""
    crew = Crew(folder, limit_s)
    try:
        yield crew
    finally:
        for client in crew.clients:
            if not client.is_over:
                processes.terminate(client.pid, KILL)
