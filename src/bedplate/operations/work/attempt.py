"""One attempt at a job: its body, and how its end is written under its lease."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Text, Uuid, bindparam, column, text

from bedplate.kernel.clock import nanoseconds
from bedplate.kernel.context import acting
from bedplate.kernel.database import Database
from bedplate.kernel.errors import ConnectionFailed, FieldInvalid, LeaseLost
from bedplate.kernel.jobs import JOB_LEASES, Job, Running, StoredJob
from bedplate.kernel.leased import State
from bedplate.kernel.leases import Fault, Lease
from bedplate.kernel.query import Query

AGAIN_S = 0.1
"""How soon an end that the database did not take is written again, at first."""

# While the epoch is ours, so is whatever state the row is in.
_OUTCOME: Query[str] = Query(
    text("SELECT state FROM bedplate.jobs WHERE id = :id AND epoch = :epoch")
    .bindparams(bindparam("id", type_=Uuid), bindparam("epoch", type_=BigInteger))
    .columns(column("state", Text))
)


class Stop(enum.Enum):
    """Why a body is stopped in the middle."""

    LOST = enum.auto()
    CANCELLED = enum.auto()
    LEAVING = enum.auto()


class Ended(enum.StrEnum):
    """What became of an attempt, as the tally calls it."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    LOST = "lost"


_BY_STATE = {
    State.PENDING: Ended.RETRIED,
    State.SUCCEEDED: Ended.SUCCEEDED,
    State.FAILED: Ended.FAILED,
    State.CANCELLED: Ended.CANCELLED,
}


class Attempt:
    """One claimed job in one worker. `why` says what went wrong, where something did."""

    def __init__(self, db: Database, job: Job[Any], row: StoredJob, extend: timedelta) -> None:
        self.row = row
        self.settling = False
        self.kept_ns = nanoseconds()
        self.why = ""
        self.task: asyncio.Task[None] | None = None
        self._db = db
        self._job = job
        self._lease = Lease.of(row)
        self._extend = extend
        self._stopped: Stop | None = None

    def stop(self, reason: Stop) -> None:
        """Stop the body, unless it has ended and its end is being written."""
        if self.task is not None and not self.settling and self._stopped is None:
            self._stopped = reason
            self.task.cancel()

    async def run(self) -> Ended:
        """Run the body and write how it ended; raises what the database does for a whole lease."""
        row = self.row
        running: Running[Any] = Running(row.id, None, row.attempts, self._lease, self._extend)
        try:
            running.payload = _decoded(self._job, row.payload)
            with acting(request_id=f"job {row.id}"):
                await self._job.run(self._db, running)
        except asyncio.CancelledError:
            # It was asked for here, and what follows is to run to its end.
            _current_task().uncancel()
            end = self._stopped_early
        except LeaseLost:
            end = self._lost
        except Exception as error:
            fault = Fault.of(error)
            self.why = f"{fault.code}: {fault.message}"

            async def end() -> Ended:
                return await self._failed(fault)
        else:
            end = self._finished
        self.settling = True
        return Ended.SUCCEEDED if running.finished else await self._settled(end)

    async def _finished(self) -> Ended:
        await JOB_LEASES.finish(self._db, self._lease)
        return Ended.SUCCEEDED

    async def _failed(self, fault: Fault) -> Ended:
        retry_in = self._job.backoff.after(self.row.attempts)
        state = await JOB_LEASES.fail(self._db, self._lease, fault, retry_in=retry_in)
        return _BY_STATE[state]

    async def _stopped_early(self) -> Ended:
        if self._stopped is Stop.LOST:
            return Ended.LOST
        if self._stopped is Stop.CANCELLED:
            await JOB_LEASES.end_cancelled(self._db, self._lease)
            return Ended.CANCELLED
        state = await JOB_LEASES.release(self._db, self._lease)
        return Ended.RELEASED if state == State.PENDING else Ended.CANCELLED

    async def _lost(self) -> Ended:
        return Ended.LOST

    async def _settled(self, end: Callable[[], Awaitable[Ended]]) -> Ended:
        """Write the end, again where the connection broke: the fence makes that safe."""
        wait = AGAIN_S
        deadline_ns = nanoseconds() + int(self._extend.total_seconds() * 1e9)
        while True:
            try:
                return await end()
            except LeaseLost:
                return await self._found()
            except ConnectionFailed:
                if nanoseconds() > deadline_ns:
                    raise
                await asyncio.sleep(wait)
                wait *= 2

    async def _found(self) -> Ended:
        """Look what the row says: an answer may have been lost, or a host's session committed."""
        state = await self._db.first(_OUTCOME, id=self._lease.id, epoch=self._lease.epoch)
        return _BY_STATE.get(State(state), Ended.LOST) if state is not None else Ended.LOST


def _decoded(job: Job[Any], payload: Any) -> Any:
    try:
        return msgspec.convert(payload, job.payload, str_keys=True)
    except msgspec.ValidationError:
        # Its text may quote a value.
        raise FieldInvalid(
            f"The stored payload of {job.name} does not fit its declared type.",
            "A payload that changed its shape needs a job of another name.",
        ) from None


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
