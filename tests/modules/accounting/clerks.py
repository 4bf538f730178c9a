"""Clerks: processes that do an office's work, and a book of each that says what it did."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bedplate.kernel import processes
from tests.aside import run_aside
from tests.modules.accounting.deeds import END, LIMIT_S, Order, work

KILL = ((signal.SIGKILL, 10.0),)


@dataclass
class Clerk:
    """A process and its book."""

    pid: int
    book: Path
    orders: Path

    def lines(self) -> list[str]:
        """The lines that were written whole."""
        text = self.book.read_text() if self.book.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines(keepends=True)

    def is_done(self) -> bool:
        return END in self.lines()

    def acknowledged(self) -> dict[str, str]:
        """How its orders were answered, by their keys."""
        pairs = [line.split() for line in self.lines() if line != END]
        return {pair[0]: pair[1] for pair in pairs}


@dataclass
class Office:
    """The clerks of one test."""

    url: str
    folder: Path
    threads: int
    clerks: list[Clerk] = field(default_factory=list[Clerk])

    def start(self, orders: list[Order] | Path) -> Clerk:
        """Start a clerk with work of its own, or with what another was asked to do."""
        place = self.folder / f"clerk-{len(self.clerks)}"
        path = orders if isinstance(orders, Path) else place.with_suffix(".orders")
        if not isinstance(orders, Path):
            path.write_text(json.dumps(orders))
        book = place.with_suffix(".book")
        arguments = (self.url, str(path), str(book), str(self.threads))
        clerk = Clerk(run_aside(work, place, *arguments), book, path)
        self.clerks.append(clerk)
        return clerk

    def replace(self, clerk: Clerk) -> Clerk:
        """Kill a clerk; another, who knows nothing of what it did, does its work again."""
        assert processes.terminate(clerk.pid, KILL)
        return self.start(clerk.orders)

    def lines(self) -> int:
        return sum(len(clerk.lines()) for clerk in self.clerks)

    def wait(self, *, lines: int = 0) -> None:
        """Wait until so many lines are written, or all are done that were not killed."""
        deadline = time.monotonic() + LIMIT_S
        while not lines or self.lines() < lines:
            if all(clerk.is_done() or not processes.alive(clerk.pid) for clerk in self.clerks):
                return
            assert time.monotonic() < deadline, "the clerks do not get on"
            time.sleep(0.01)


@contextmanager
def office(url: str, folder: Path, threads: int) -> Iterator[Office]:
    """Clerks that do not outlive the block."""
    made = Office(url, folder, threads)
    try:
        yield made
    finally:
        for clerk in made.clerks:
            processes.terminate(clerk.pid, KILL)
