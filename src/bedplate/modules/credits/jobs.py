"""The clocked work of `credits`."""

from __future__ import annotations

from datetime import timedelta

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Periodic, Running
from bedplate.modules.credits.actions import SETTLED_MAX, expire_due


async def expire(db: Database, running: Running[None]) -> None:
    """Book what expired until nothing is due; each call is a transaction of its own."""
    while (await expire_due(db)).accounts == SETTLED_MAX:
        pass


JOBS = (Periodic(name="credits.expire", every=timedelta(minutes=5), run=expire),)
