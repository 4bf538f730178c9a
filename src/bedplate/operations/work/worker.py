"""The worker: claims jobs, runs their bodies, keeps their leases, and stops in order.

A worker that dies at any point loses nothing: what it held runs again once the lease ran out, and
whatever it still writes then is refused. It needs an event loop; bodies await our handles, and
whatever else they like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from bedplate.kernel.clock import nanoseconds
from bedplate.kernel.database import Database
from bedplate.kernel.errors import BedplateError
from bedplate.kernel.jobs import JOB_LEASES, StoredJob
from bedplate.kernel.leased import State
from bedplate.kernel.leases import Lease, new_holder
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import Settings
from bedplate.operations.work import periods
from bedplate.operations.work.attempt import Attempt, Ended, Stop
from bedplate.operations.work.book import Book
from bedplate.operations.work.listening import Listener

POLL_FIRST_S = 0.02
"""How soon a worker that found work, or was woken, looks again; doubles from there."""

POLL_HEARING_S = 1.0
"""How long an idle worker that hears of new work waits at most."""

POLL_DEAF_S = 0.2
"""The same where it cannot listen: behind a transaction pooler."""

SETTLE_S = 5.0
"""How long what was told to stop at the end may take to say so."""

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOptions:
    """How much a worker does at once, and how long it may be silent."""

    concurrency: int = 4
    lease: timedelta = timedelta(seconds=30)
    grace: timedelta = timedelta(seconds=10)

    @classmethod
    def of(cls, settings: Settings) -> WorkOptions:
        """Take a project's settings."""
        return cls(
            concurrency=settings.work_concurrency,
            lease=timedelta(milliseconds=settings.work_lease_ms),
            grace=timedelta(milliseconds=settings.work_grace_ms),
        )


@dataclass(slots=True)
class Tally:
    """What became of the jobs a worker ran."""

    succeeded: int = 0
    retried: int = 0
    failed: int = 0
    cancelled: int = 0
    released: int = 0
    lost: int = 0

    def add(self, ended: Ended) -> None:
        """Count one more."""
        setattr(self, ended, getattr(self, ended) + 1)

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


class Worker:
    """Works on the jobs of one project; give its database `concurrency` + 2 connections.

    `note` is told of failures, and of a database that does not answer.
    """

    def __init__(
        self, db: Database, registry: Registry, options: WorkOptions, *, note: Note
    ) -> None:
        self.tally = Tally()
        self.holder = new_holder()
        self._db = db
        self._book = Book.of(registry)
        self._kinds = list(self._book.jobs)
        self._options = options
        self._note = note
        self._running: dict[asyncio.Task[None], Attempt] = {}
        self._wake = asyncio.Event()
        self._woken = False
        self._listener = Listener(db, self._hear)
        self._declared = False
        self._look_at_periods_ns = 0
        self._said = ""
        self._broken: BaseException | None = None

    async def run(self, stopping: asyncio.Event) -> Tally:
        """Work until `stopping` is set; then let what runs end within the grace, or release it.

        A fault of its own ends it, too: leases that nobody keeps would be given to others.
        """
        async with AsyncExitStack() as stack:
            self._beside(stack, self._listener.run(), self._keep_leases(), self._watch(stopping))
            wait = POLL_FIRST_S
            try:
                while self._goes_on(stopping):
                    self._wake.clear()
                    found = await self._look()
                    wait = POLL_FIRST_S if found or self._woken else min(wait * 2, self._longest)
                    self._woken = False
                    await self._pause(wait)
            finally:
                await self._leave()
        return self.tally

    async def drain(self, stopping: asyncio.Event | None = None) -> Tally:
        """Work until nothing is due and nothing runs; raises what the database does.

        What must wait before it is tried again is not due.
        """
        stopping = stopping or asyncio.Event()
        async with AsyncExitStack() as stack:
            self._beside(stack, self._keep_leases(), self._watch(stopping))
            try:
                while self._goes_on(stopping):
                    self._wake.clear()
                    # What runs while we look may be due again by the time the answer is here.
                    idle = not self._running
                    if not await self._claim() and idle:
                        break
                    if self._running:
                        await self._pause(POLL_HEARING_S)
            finally:
                await self._leave()
        return self.tally

    def statistics(self) -> Mapping[str, object]:
        """Tell how many jobs run, whether new ones are heard of, and what became of the others."""
        listening = self._listener.listening
        return {"running": len(self._running), "listening": listening, **self.tally.as_dict()}

    @property
    def _free(self) -> int:
        return self._options.concurrency - len(self._running)

    @property
    def _longest(self) -> float:
        return POLL_HEARING_S if self._listener.listening else POLL_DEAF_S

    def _beside(self, stack: AsyncExitStack, *coroutines: Coroutine[Any, Any, None]) -> None:
        for coroutine in coroutines:
            task = asyncio.create_task(coroutine)
            task.add_done_callback(self._ended_beside)
            stack.push_async_callback(_cancelled, task)

    def _ended_beside(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
            self._wake.set()

    def _goes_on(self, stopping: asyncio.Event) -> bool:
        """Tell whether to go on; raises what ended a task that the worker cannot do without."""
        if self._broken is not None:
            raise self._broken
        return not stopping.is_set()

    def _hear(self) -> None:
        self._woken = True
        self._wake.set()

    async def _watch(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._wake.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look(self) -> bool:
        """Claim what is due; say once, and wait, where the database does not answer."""
        try:
            found = await self._claim()
        except BedplateError as error:
            if error.message != self._said:
                self._said = error.message
                self._note(f"The worker waits: {error.message}")
            return False
        self._said = ""
        return found

    async def _claim(self) -> bool:
        """Begin the periods that are due, then claim and start as many jobs as are free to run.

        Returns whether another look is worth while at once.
        """
        await self._begin_periods()
        if not self._free:
            return False
        options = self._options
        claimed = await JOB_LEASES.claim(
            self._db, self.holder, limit=self._free, lease=options.lease, kinds=self._kinds
        )
        for row in claimed.ended:
            self._count(row, Ended.FAILED if row.state == State.FAILED else Ended.CANCELLED)
        for row in claimed.held:
            self._start(row)
        return bool(claimed.held or claimed.ended or claimed.again)

    async def _begin_periods(self) -> None:
        if nanoseconds() < self._look_at_periods_ns:
            return
        if not self._declared:
            await periods.declare(self._db, self._book.periodic)
            self._declared = True
        seconds = await periods.begin(self._db, self._book.periodic)
        self._look_at_periods_ns = nanoseconds() + int(seconds * 1e9)

    def _start(self, row: StoredJob) -> None:
        work = Attempt(self._db, self._book.jobs[row.kind], row, self._options.lease)
        task = asyncio.create_task(self._carry_out(work))
        work.task = task
        self._running[task] = work
        task.add_done_callback(self._ended)

    async def _carry_out(self, work: Attempt) -> None:
        self._count(work.row, await work.run(), work.why)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The database did not take the outcome for a whole lease; the job runs again.
            self._note(f"The outcome of a job could not be written: {type(error).__name__}.")

    def _count(
        self, row: StoredJob, ended: Ended, why: str = "its lease ran out too often"
    ) -> None:
        self.tally.add(ended)
        if ended is Ended.FAILED:
            self._note(f"{row.kind} {row.id} failed for good: {why}")
        elif ended is Ended.RETRIED:
            self._note(f"{row.kind} {row.id} failed and will be tried again: {why}")

    async def _keep_leases(self) -> None:
        """Extend every lease at a third of its time; stop what was lost or is to be cancelled."""
        while True:
            await asyncio.sleep(self._options.lease.total_seconds() / 3)
            works = [work for work in self._running.values() if not work.settling]
            asked_ns = nanoseconds()
            try:
                held = await JOB_LEASES.heartbeats(
                    self._db, [Lease.of(work.row) for work in works], extend=self._options.lease
                )
            except BedplateError:
                # Unheard for a whole lease, somebody else may be at it by now.
                for work in works:
                    if asked_ns - work.kept_ns > self._options.lease.total_seconds() * 1e9:
                        work.stop(Stop.LOST)
                continue
            for work in works:
                if work.row.id not in held:
                    work.stop(Stop.LOST)
                else:
                    work.kept_ns = asked_ns
                    if held[work.row.id]:
                        work.stop(Stop.CANCELLED)

    async def _leave(self) -> None:
        """Let what runs end within the grace, while its lease is kept; then give it back."""
        if self._running and self._broken is None:
            await asyncio.wait(self._running, timeout=self._options.grace.total_seconds())
        for work in list(self._running.values()):
            work.stop(Stop.LEAVING)
        if self._running:
            await asyncio.wait(self._running, timeout=SETTLE_S)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
