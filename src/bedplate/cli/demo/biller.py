"""A worker process of the demo's second act: bills, marks what is overdue, allocates payments.

Run as `python -m bedplate.cli.demo.biller ROUNDS BOOK`. Several do the same at once, on purpose:
each finds the same work as the others, and the database sees to it that it is done once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from sqlalchemy import Boolean, Date, Integer, Uuid, bindparam, column, text

from bedplate.cli.demo.errands import BILLING_MODULES, END, Deeds, Rounds, settings_for
from bedplate.kernel.database import Database
from bedplate.kernel.query import Query
from bedplate.modules.accounting import (
    AccountingRefused,
    add_payment,
    run_overdue,
    run_recurring,
)
from bedplate.project import Project

PAUSE_S = 0.05
CENT = Decimal("0.01")

# What customers paid and nobody has allocated yet, each with the oldest invoice it may pay.
_OPEN: Query[Any] = Query(
    text("""
        SELECT DISTINCT ON (c.id) i.id AS invoice_id, c.id AS cost_payment_id
        FROM mining.cost_payments c
        LEFT JOIN accounting.allocated_payments a ON a.cost_payment_id = c.id
        JOIN accounting.invoices i ON i.user_id = c.user_id AND i.status IN ('ISSUED', 'OVERDUE')
        WHERE coalesce(a.amount_allocated, 0) < c.amount
        ORDER BY c.id, i.due_date, i.id LIMIT :most
    """)
    .bindparams(bindparam("most", type_=Integer))
    .columns(column("invoice_id", Uuid), column("cost_payment_id", Uuid))
)
_OVER: Query[bool] = Query(
    text("SELECT accounting.billing_day(bedplate.clock()) >= :until AS over")
    .bindparams(bindparam("until", type_=Date))
    .columns(column("over", Boolean))
)


async def work(rounds: Rounds, book: BinaryIO) -> None:
    """Do what is to be done, over and over, until the last day has nothing left to do."""
    settings = settings_for(Path("/"), rounds.url, 1, BILLING_MODULES)
    async with await Project.open(settings=settings) as project:
        db = project.db
        while os.fstat(book.fileno()).st_nlink:  # Without its book the demo is gone.
            over = await _is_over(db, rounds.until)
            done = await once(db, rounds.most)
            if done != Deeds(0, 0, 0, 0):
                book.write(msgspec.json.encode(done) + b"\n")
            elif over:
                book.write(END)
                return
            else:
                await asyncio.sleep(PAUSE_S)


async def once(db: Database, most: int) -> Deeds:
    """Bill some, mark some, allocate some; and try to spend what was spent a second time."""
    billed = await run_recurring(db, most=most)
    overdue = await run_overdue(db, most=most)
    paid = refused = 0
    for invoice_id, cost_payment_id in await db.all(_OPEN, most=most):
        try:
            await add_payment(db, invoice_id, cost_payment_id)
            paid += 1
            await add_payment(db, invoice_id, cost_payment_id, CENT)
        except AccountingRefused:
            refused += 1
    return Deeds(len(billed.made), len(overdue), paid, refused)


async def _is_over(db: Database, until: date) -> bool:
    over: bool = await db.one(_OVER, until=until)
    return over


def main() -> None:
    """Do the rounds in the first file; write what was done to the second."""
    rounds, book = map(Path, sys.argv[1:])
    told = msgspec.json.decode(rounds.read_bytes(), type=Rounds)
    with book.open("ab", buffering=0) as written:
        asyncio.run(work(told, written))
    gc.freeze()  # As every command does: the end comes sooner.


if __name__ == "__main__":
    main()
