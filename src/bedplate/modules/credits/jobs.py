"""The clocked work of `credits`."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Periodic, Running
from bedplate.modules.credits.actions import Settled, expire_due
from bedplate.modules.credits.errors import AccountsUnsettled


async def expire(db: Database, running: Running[None]) -> None:
    """Book what expired in every account once; each call is a transaction of its own.

    Raises AccountsUnsettled at the end for those that could not be, so that the run is not one
    that succeeded.
    """
    failed: list[UUID] = []
    last: Settled | None = None
    while True:
        done = await expire_due(db, after=last)
        failed.extend(done.failed)
        last = done.last
        if last is None:
            break
    if failed:
        raise AccountsUnsettled(
            f"{len(failed)} accounts could not be settled, credit_balances.id = {failed[0]} first."
        )


JOBS = (Periodic(name="credits.expire", every=timedelta(minutes=5), run=expire),)
