"""A look at the jobs, and a hand on one of them: for people, and for what they build."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, bindparam, text

from bedplate.kernel.database import Database
from bedplate.kernel.errors import NotFound, UsageError
from bedplate.kernel.jobs import JOB_LEASES, wake
from bedplate.kernel.leased import State
from bedplate.kernel.query import Query

_LIST: Query[Any] = Query(
    text(
        "SELECT id, kind, state, attempts, max_attempts, run_at, finished_at, progress, "
        "errors -> -1 ->> 'code', errors -> -1 ->> 'message' FROM bedplate.jobs "
        "WHERE :state IS NULL OR state = :state ORDER BY id DESC LIMIT :limit"
    ).bindparams(bindparam("state", type_=Text), bindparam("limit", type_=BigInteger))
)
_STATE: Query[Any] = Query(
    text("SELECT state FROM bedplate.jobs WHERE id = CAST(:id AS uuid)").bindparams(
        bindparam("id", type_=Text)
    )
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One job as people see it; its payload is left out, for it may be private."""

    id: UUID
    kind: str
    state: str
    attempts: int
    max_attempts: int
    run_at: datetime
    finished_at: datetime | None
    progress: int | None
    error_code: str | None
    error_message: str | None


async def listed(db: Database, *, state: State | None = None, limit: int = 50) -> list[Listed]:
    """Return the newest jobs, of one state where it is given."""
    rows = await db.all(_LIST, state=None if state is None else state.value, limit=limit)
    return [Listed(*row) for row in rows]


async def cancel(db: Database, id: UUID) -> State:
    """Cancel a job that waits, or ask its worker to stop one that runs; return its state then.

    Raises NotFound, and UsageError for a job that has ended.
    """
    state = await JOB_LEASES.cancel(db, id)
    if state is None:
        raise await _refused(db, id, "cancelled", "PENDING or RUNNING")
    return state


async def retry(db: Database, id: UUID) -> None:
    """Let a dead letter be tried anew, at once and with all its attempts.

    Raises NotFound, UsageError for a job that is not FAILED, and UniqueViolation where another one
    of its unique_key waits or runs.
    """
    if not await JOB_LEASES.retry(db, id):
        raise await _refused(db, id, "retried", "FAILED")
    await wake(db)


async def _refused(db: Database, id: UUID, what: str, wanted: str) -> NotFound | UsageError:
    found = await db.first(_STATE, id=str(id))
    if found is None:
        return NotFound(f"There is no job {id}.", "See `bedplate work list`.")
    return UsageError(f"The job {id} is {found[0]}.", f"Only a job that is {wanted} can be {what}.")
