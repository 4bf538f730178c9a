"""What an office does, and processes that do it on several connections at once.

Each order has a key of its own, so that whoever was cut off, and whoever does a dead clerk's work
again, can ask what became of it. Nothing of ours is imported: a clerk is at work at once.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import IO, Any

import psycopg

LIMIT_S = 300.0
END = "end\n"
TRY = "try"
"""To issue and roll back, once the invoice has its number."""
RUN = "run"
"""To bill what is due, which has no answer that stays."""


@dataclass(frozen=True)
class Deed:
    """A statement that answers what it did, and one that tells by the key what had been done."""

    do: str
    done: str = ""


ISSUE = """
UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %(key)s AND status = 'DRAFT'
RETURNING invoice_number
"""
BILL = """
SELECT count(*) FROM accounting.run_recurring(accounting.billing_day(bedplate.clock()), 2, true)
"""
DEEDS = {
    "issue": Deed(ISSUE, "SELECT invoice_number FROM accounting.invoices WHERE id = %(key)s"),
    TRY: Deed(ISSUE),
    RUN: Deed(BILL),
    "pay": Deed(
        "SELECT amount::text"
        " FROM accounting.pay(%(key)s, %(invoice)s, %(money)s, %(amount)s, NULL)",
        "SELECT amount_paid::text FROM accounting.invoice_payments WHERE id = %(key)s",
    ),
    "refund": Deed(
        "SELECT amount::text FROM accounting.give_back("
        "gen_random_uuid(), %(invoice)s, %(key)s, %(amount)s, NULL)"
    ),
    "price": Deed(
        "SELECT default_unit_price::text"
        " FROM accounting.set_price(%(key)s, %(who)s, %(amount)s, %(day)s, %(by)s)",
        "SELECT default_unit_price::text FROM accounting.customer_pricing_config"
        " WHERE id = %(key)s",
    ),
}

Order = tuple[str, dict[str, str]]
"""The name of a deed, and its values; its "key" is no other order's."""


class Desk:
    """Where one works: a connection, and a new one when that is gone."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._app: psycopg.Connection[Any] | None = None

    def settle(self, order: Order) -> str:
        """Do it until the database answers; return what was done, or the rule that refused it."""
        (kind, values), deadline = order, time.monotonic() + LIMIT_S
        while True:
            try:
                self._app = self._app or psycopg.connect(self._url)
                with self._app.transaction(force_rollback=kind == TRY):
                    return _answer(self._app, kind, values)
            except psycopg.errors.DeadlockDetected:
                raise
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server stays away"
                self._app = None
                time.sleep(0.05)


def _answer(app: psycopg.Connection[Any], kind: str, values: dict[str, str]) -> str:
    deed, refused = DEEDS[kind], ""
    try:
        with app.transaction():
            rows = app.execute(deed.do.encode(), values).fetchall()
    except psycopg.IntegrityError as error:
        rows, refused = [], rule_of(error)
    if not rows and deed.done:
        # Whoever was cut off does not know whether it was done: whoever asks again sees it.
        rows = app.execute(deed.done.encode(), values).fetchall()
    return str(rows[0][0]) if rows else refused


def rule_of(error: psycopg.Error) -> str:
    """By which rule, or else how, a statement was refused."""
    return error.diag.constraint_name or error.sqlstate or type(error).__name__


def work(url: str, orders: str, book: str, threads: str) -> None:
    """Read what is to be done; write a line for each that is."""
    asked: list[Order] = json.loads(Path(orders).read_text())
    own = local()

    def sit_down() -> None:
        own.desk = Desk(url)

    with (
        Path(book).open("a") as written,
        ThreadPoolExecutor(int(threads), initializer=sit_down) as pool,
    ):

        def one(order: Order) -> None:
            answer = own.desk.settle(order)
            if order[0] != TRY:
                _write(written, f"{order[1]['key']} {answer}\n")

        list(pool.map(one, asked))
        _write(written, END)


def bill(url: str) -> None:
    """Bill two templates at a time until nothing is due."""
    with psycopg.connect(url, autocommit=True) as app:
        while app.execute(BILL.encode()).fetchall()[0][0]:
            pass


def _write(book: IO[str], line: str) -> None:
    book.write(line)
    book.flush()
