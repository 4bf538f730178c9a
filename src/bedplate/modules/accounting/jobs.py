"""The clocked work of `accounting`."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Job, Periodic, Running
from bedplate.kernel.telemetry import logger
from bedplate.modules.accounting.actions import (
    OVERDUE_MAX,
    make_pages,
    recall_messages,
    remind,
    run_overdue,
    run_recurring,
    send_due,
    templates_waiting,
)

NAMED_MAX = 20
"""How many templates one line of the log names."""


async def recurring(db: Database, running: Running[None]) -> None:
    """Bill what is due, once round all templates; each call is a transaction of its own.

    Warns of those that wait, as nobody else misses an invoice that was not made.
    """
    billed = await run_recurring(db)
    while billed.last is not None:
        billed = await run_recurring(db, after=billed.last)
    waiting = await templates_waiting(db)
    if waiting:
        named = [
            f"{each.recurring_invoice_id} (since {each.since}, {each.days} days: {each.why})"
            for each in waiting[:NAMED_MAX]
        ]
        logger.warning("%d templates wait to be billed: %s", len(waiting), ", ".join(named))


async def overdue(db: Database, running: Running[None]) -> None:
    """Mark what is overdue until nothing is left."""
    while len(await run_overdue(db)) == OVERDUE_MAX:
        pass


async def reminders(db: Database, running: Running[None]) -> None:
    """Take back what is not wanted any more; then write what is due until nothing is left."""
    await recall_messages(db)
    while await send_due(db):
        pass
    while await remind(db):
        pass


async def render(db: Database, running: Running[list[UUID]]) -> None:
    """Make the pages of issued invoices, and send what waits for them."""
    await make_pages(db, running.payload)


RENDER: Job[list[UUID]] = Job(name="accounting.render", payload=list[UUID], run=render)
"""Enqueued by the database in the transaction that issues or sends, whoever does."""

# Hourly, so that a billing day begins within the hour in whatever zone; each finds its work once.
JOBS = (
    RENDER,
    Periodic(name="accounting.recurring", every=timedelta(hours=1), run=recurring),
    Periodic(name="accounting.overdue", every=timedelta(hours=1), run=overdue),
    Periodic(name="accounting.reminders", every=timedelta(minutes=5), run=reminders),
)
