"""Clerks: processes that issue invoices on several connections at once, and write down which."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg

from bedplate.kernel import processes
from tests.aside import run_aside

KILL = ((signal.SIGKILL, 10.0),)
LIMIT_S = 300.0
ISSUE = (
    "UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %s AND status = 'DRAFT'"
    " RETURNING invoice_number"
)
NUMBER = "SELECT invoice_number FROM accounting.invoices WHERE id = %s"
END = "end\n"


def settle(url: str, invoice: str, is_kept: bool) -> str | None:
    """Issue an invoice, or roll back once it has its number; return the number it was given."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            with psycopg.connect(url) as app:
                if not is_kept:
                    app.execute(ISSUE, [invoice])
                    app.rollback()
                    return None
                # Who was cut off does not know whether it was issued: whoever asks again sees it.
                rows = app.execute(ISSUE, [invoice]).fetchall()
                rows = rows or app.execute(NUMBER, [invoice]).fetchall()
            return str(rows[0][0])
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the server stays away"
            time.sleep(0.05)


def issue(url: str, orders: str, book: str, threads: str) -> None:
    """Read what is to be issued; write a line for each that is."""
    work: list[tuple[str, bool]] = json.loads(Path(orders).read_text())
    with Path(book).open("a") as written, ThreadPoolExecutor(int(threads)) as pool:

        def one(order: tuple[str, bool]) -> None:
            number = settle(url, *order)
            if number is not None:
                _write(written, f"{order[0]} {number}\n")

        list(pool.map(one, work))
        _write(written, END)


RUN = """
SELECT count(*) FROM accounting.run_recurring(accounting.billing_day(bedplate.clock()), 2, true)
"""


def bill(url: str) -> None:
    """Bill two templates at a time until nothing is due."""
    with psycopg.connect(url, autocommit=True) as app:
        while app.execute(RUN).fetchall()[0][0]:
            pass


def _write(book: IO[str], line: str) -> None:
    book.write(line)
    book.flush()


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
        """Which invoices it was told are issued, and their numbers."""
        pairs = [line.split() for line in self.lines() if line != END]
        return {pair[0]: pair[1] for pair in pairs}


@dataclass
class Office:
    """The clerks of one test."""

    url: str
    folder: Path
    threads: int
    clerks: list[Clerk] = field(default_factory=list[Clerk])

    def start(self, work: list[tuple[str, bool]] | Path) -> Clerk:
        """Start a clerk with work of its own, or with what another was asked to do."""
        place = self.folder / f"clerk-{len(self.clerks)}"
        orders = work if isinstance(work, Path) else place.with_suffix(".orders")
        if not isinstance(work, Path):
            orders.write_text(json.dumps(work))
        book = place.with_suffix(".book")
        arguments = (self.url, str(orders), str(book), str(self.threads))
        clerk = Clerk(run_aside(issue, place, *arguments), book, orders)
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
