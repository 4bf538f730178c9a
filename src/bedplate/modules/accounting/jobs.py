"""The clocked work of `accounting`."""

from __future__ import annotations

from datetime import timedelta

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Periodic, Running
from bedplate.modules.accounting.actions import OVERDUE_MAX, run_overdue, run_recurring


async def recurring(db: Database, running: Running[None]) -> None:
    """Bill what is due, once round all templates; each call is a transaction of its own."""
    billed = await run_recurring(db)
    while billed.last is not None:
        billed = await run_recurring(db, after=billed.last)


async def overdue(db: Database, running: Running[None]) -> None:
    """Mark what is overdue until nothing is left."""
    while len(await run_overdue(db)) == OVERDUE_MAX:
        pass


# Hourly, so that a billing day begins within the hour in whatever zone; each finds its work once.
JOBS = (
    Periodic(name="accounting.recurring", every=timedelta(hours=1), run=recurring),
    Periodic(name="accounting.overdue", every=timedelta(hours=1), run=overdue),
)
