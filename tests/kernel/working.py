"""What the tests of leases and jobs work on: one job, a holder, and a look into the table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import text

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import JOB_LEASES, Job, Running, StoredJob
from bedplate.kernel.leases import Claimed, Leases

LEASE = timedelta(seconds=30)


class Parcel(msgspec.Struct, frozen=True):
    """What a job of these tests is given."""

    number: int


async def nothing(db: Database, running: Running[Parcel]) -> None:
    """A body for tests that play the worker themselves."""


SEND = Job(name="shop.send", payload=Parcel, run=nothing, attempts_max=3)


async def claim(
    db: Database, holder: str = "one", limit: int = 1, leases: Leases[StoredJob] = JOB_LEASES
) -> Claimed[StoredJob]:
    return await leases.claim(db, holder, limit=limit, lease=LEASE, kinds=[SEND.name])


async def job(db: Database, id: Any = None) -> StoredJob:
    """The one job there is, or the one with this id."""
    where = "" if id is None else f" WHERE id = '{id}'"
    rows = await db.all(
        text(
            "SELECT id, state, attempts, epoch, holder, errors, run_at, unique_key, finished_at, "
            f"progress, expires_at, payload FROM bedplate.jobs{where}"
        )
    )
    assert len(rows) == 1
    names = "id state attempts epoch holder errors run_at unique_key finished_at progress"
    found = StoredJob(kind=SEND.name, payload=rows[0][-1])
    for name, value in zip([*names.split(), "expires_at"], rows[0][:-1], strict=True):
        setattr(found, name, value)
    return found
