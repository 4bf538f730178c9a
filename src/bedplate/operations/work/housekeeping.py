"""What the kernel itself has done from time to time: rows that nobody will ask for again go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Periodic, Running
from bedplate.kernel.query import Query

KEEP_JOBS = timedelta(days=7)
"""How long a job that SUCCEEDED or was CANCELLED stays; a FAILED one stays until it is retried."""

BATCH_ROWS = 10_000
"""How many rows go at a time, so that no statement runs or locks for long."""

_OLD_JOBS: Query[Any] = Query(
    text(
        "DELETE FROM bedplate.jobs WHERE ctid = ANY (ARRAY("
        "SELECT ctid FROM bedplate.jobs WHERE finished_at < bedplate.now() - :keep "
        "AND state IN ('SUCCEEDED', 'CANCELLED') LIMIT :rows FOR UPDATE SKIP LOCKED))"
    ).bindparams(bindparam("keep", type_=INTERVAL), bindparam("rows", type_=BigInteger))
)
_OLD_KEYS: Query[Any] = Query(
    text(
        "DELETE FROM bedplate.idempotency_keys WHERE ctid = ANY (ARRAY("
        "SELECT ctid FROM bedplate.idempotency_keys WHERE expires_at < bedplate.now() "
        "LIMIT :rows FOR UPDATE SKIP LOCKED))"
    ).bindparams(bindparam("rows", type_=BigInteger))
)


async def prune(db: Database, running: Running[None]) -> None:
    """Delete jobs that ended more than 7 days ago, and idempotency keys that have expired."""
    while await db.run(_OLD_JOBS, keep=KEEP_JOBS, rows=BATCH_ROWS) == BATCH_ROWS:
        pass
    while await db.run(_OLD_KEYS, rows=BATCH_ROWS) == BATCH_ROWS:
        pass


HOUSEKEEPING = (Periodic(name="bedplate.prune", every=timedelta(hours=1), run=prune),)
