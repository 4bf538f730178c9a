"""The worker: what becomes of jobs that succeed, fail, take long, are cancelled or left behind."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from bedplate.kernel import context
from bedplate.kernel.database import Database
from bedplate.kernel.errors import BedplateError, NotFound, RegistryError, UsageError
from bedplate.kernel.jobs import Job, Periodic, Running, enqueue, enqueue_many
from bedplate.kernel.leased import State
from bedplate.operations import work
from bedplate.operations.work import Worker, WorkOptions
from bedplate.operations.work import worker as worker_file
from bedplate.testing import Clone, FrozenClock
from tests.operations.crew import registry
from tests.operations.workers import at_work, db, job, states, until, worker
from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "db", "spares"]


async def test_a_job_is_given_its_payload_and_succeeds(db: Database) -> None:
    given: list[Any] = []

    async def run(db: Database, running: Running[int]) -> None:
        given.append((running.payload, running.attempt, context.current().request_id))

    do = job(run)
    ids = await enqueue_many(db, do, [1, 2, 3])
    tally = await worker(db, do).drain()
    assert sorted(given) == [(n, 1, f"job {id}") for n, id in zip([1, 2, 3], ids, strict=True)]
    # The kernel's own period is one more.
    assert tally.as_dict() == {
        **dict.fromkeys(("retried", "failed", "cancelled", "released", "lost"), 0),
        "succeeded": 4,
    }
    assert await states(db) == [State.SUCCEEDED] * 3


async def test_a_failing_job_is_tried_again_and_then_kept_with_all_errors(db: Database) -> None:
    async def run(db: Database, running: Running[int]) -> None:
        if running.attempt == 1:
            raise BedplateError("The mail host is away.")
        raise ValueError(f"hush {running.payload}")

    do, notes = job(run, attempts_max=3), list[str]()
    id = await enqueue(db, do, 7)
    tally = await worker(db, do, notes=notes).drain()
    assert (tally.retried, tally.failed) == (2, 1)
    [listed] = await work.listed(db, state=State.FAILED)
    assert (listed.id, listed.attempts, listed.error_code) == (id, 3, "exception")
    errors = (await db.one(text("SELECT errors FROM bedplate.jobs WHERE kind = 'crew.do'")))[0]
    assert [each["attempt"] for each in errors] == [1, 2, 3]
    assert errors[0]["message"] == "The mail host is away."
    assert errors[2]["message"].startswith("ValueError at test_work.py:")
    assert "hush" not in str(errors) + str(notes)
    assert "for good" in notes[-1]
    await work.retry(db, id)
    assert (await worker(db, do).drain()).failed == 1
    with pytest.raises(UsageError):
        await work.cancel(db, id)
    with pytest.raises(NotFound):
        await work.retry(db, UUID(int=1))


async def test_draining_looks_again_where_a_job_came_back_while_it_looked(db: Database) -> None:
    looking = asyncio.Event()

    class Slow(Worker):
        async def _claim(self) -> bool:
            found = await super()._claim()
            if not found and self._running:
                looking.set()
                await asyncio.wait(self._running)  # our answer says: nothing is due
            return found

    async def run(db: Database, running: Running[int]) -> None:
        if running.payload == 1 and running.attempt == 1:
            await looking.wait()
            raise BedplateError("Not yet.")

    do = job(run, attempts_max=2)
    await enqueue_many(db, do, [1, 2])
    slow = Slow(db, registry(do), WorkOptions(), note=lambda _: None)
    await slow.drain()
    assert await states(db) == [State.SUCCEEDED] * 2


async def test_a_payload_that_no_longer_fits_fails_without_being_shown(db: Database) -> None:
    async def run(db: Database, running: Running[Any]) -> None:
        raise AssertionError

    await enqueue(db, job(run, payload=str, attempts_max=1), "hush")
    assert (await worker(db, job(run, payload=int, attempts_max=1)).drain()).failed == 1
    [listed] = await work.listed(db, state=State.FAILED)
    assert listed.error_code == "field_invalid"
    assert "hush" not in str(listed.error_message)


async def test_jobs_that_nobody_here_knows_are_left_alone(db: Database) -> None:
    async def run(db: Database, running: Running[int]) -> None: ...

    await enqueue(db, job(run), 1)
    await worker(db).drain()
    assert await states(db) == [State.PENDING]


async def test_a_job_longer_than_its_lease_is_kept_by_heartbeats(
    db: Database, frozen_clock: FrozenClock
) -> None:
    attempts: list[int] = []
    enough = asyncio.Event()

    async def run(db: Database, running: Running[int]) -> None:
        attempts.append(running.attempt)
        await enough.wait()

    do = job(run)
    await enqueue(db, do, 1)
    lease = timedelta(seconds=1)
    # The lease's time passes where we let it, however busy the machine is.
    frozen_clock.freeze()
    async with at_work(worker(db, do, lease=lease)), at_work(worker(db, do, lease=lease)):
        await until(lambda: _is(bool(attempts)))
        for _ in range(3):
            frozen_clock.advance(seconds=0.8)
            await until(lambda: fresh(db))
        enough.set()
        await until(lambda: ended(db))
    assert attempts == [1]
    assert await states(db) == [State.SUCCEEDED]


async def fresh(db: Database) -> bool:
    rows = await db.all(
        text(
            "SELECT expires_at > bedplate.now() + interval '0.5 s' "
            "FROM bedplate.jobs WHERE kind = 'crew.do'"
        )
    )
    return rows == [(True,)]


async def ended(db: Database) -> bool:
    return not set(await states(db)) & {State.PENDING, State.RUNNING}


async def test_a_running_job_is_stopped_within_a_heartbeat_of_its_cancellation(
    db: Database, frozen_clock: FrozenClock
) -> None:
    stopped: list[float] = []
    running_now = asyncio.Event()

    async def run(db: Database, running: Running[int]) -> None:
        running_now.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(time.monotonic())

    do = job(run)
    id = await enqueue(db, do, 1)
    frozen_clock.freeze()
    async with at_work(worker(db, do, lease=timedelta(seconds=1.5))) as made:
        await running_now.wait()
        asked = time.monotonic()
        assert await work.cancel(db, id) == State.RUNNING
        await until(lambda: ended(db))
    # A heartbeat is half a second; the body's own end would come after sixty, its lease's never.
    assert stopped[0] - asked < 10
    assert made.tally.cancelled == 1
    assert await states(db) == [State.CANCELLED]


async def test_a_worker_whose_job_went_to_another_stops_it(
    db: Database, frozen_clock: FrozenClock
) -> None:
    ran: list[int] = []

    async def run(db: Database, running: Running[int]) -> None:
        ran.append(running.attempt)
        await asyncio.sleep(60)

    do = job(run)
    await enqueue(db, do, 1)
    # The other's lease does not run out, however busy the machine is.
    frozen_clock.freeze()
    async with at_work(worker(db, do, lease=timedelta(seconds=0.6))) as made:
        await until(lambda: _is(len(ran) == 1))
        taken = "UPDATE bedplate.jobs SET holder = 'another', epoch = epoch + 1"
        await db.run(text(f"{taken} WHERE kind = 'crew.do'"))
        await until(lambda: _is(made.tally.lost == 1))
    assert (await states(db)) == [State.RUNNING]


async def _is(true: bool) -> bool:
    return true


async def test_a_stopping_worker_lets_jobs_end_and_gives_the_rest_back(db: Database) -> None:
    started: list[int] = []

    async def run(db: Database, running: Running[int]) -> None:
        started.append(running.payload)
        await asyncio.sleep(0.3 if running.payload == 1 else 60)

    do = job(run)
    await enqueue_many(db, do, [1, 2, 3])
    async with at_work(worker(db, do, concurrency=2)) as made:
        await until(lambda: _is(len(started) == 2))
    assert sorted(started) == [1, 2]
    assert (made.tally.succeeded, made.tally.released) == (1, 1)
    rows = await db.all(
        text("SELECT state, attempts FROM bedplate.jobs WHERE kind = 'crew.do' ORDER BY id")
    )
    # What was given back is due at once and was not tried.
    assert rows == [("SUCCEEDED", 1), ("PENDING", 0), ("PENDING", 0)]


async def test_a_body_that_ended_its_job_itself_costs_no_statement_more(db: Database) -> None:
    async def run(db: Database, running: Running[int]) -> None:
        async with db.transaction() as tx:
            await running.finish(tx)
        if running.payload == 2:
            raise ValueError("too late to matter")

    do = job(run)
    await enqueue_many(db, do, [1, 2])
    assert (await worker(db, do).drain()).failed == 0
    assert await states(db) == [State.SUCCEEDED] * 2


async def test_what_a_hosts_session_committed_is_not_taken_for_lost(db: Database) -> None:
    async def run(db: Database, running: Running[int]) -> None:
        async with db.transaction() as tx:
            await running.finish(tx)
        # As after Transaction.over(session): nobody told us that it was committed.
        running.finished = False

    do = job(run)
    await enqueue(db, do, 1)
    tally = await worker(db, do).drain()
    assert (tally.lost, tally.succeeded) == (0, 2)


async def test_a_woken_worker_picks_up_at_once_and_one_that_cannot_hear_soon(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    picked: set[int] = set()

    async def run(db: Database, running: Running[int]) -> None:
        picked.add(running.payload)

    do = job(run)

    async def picks_up(numbers: range, pause: float) -> None:
        """Within ten seconds, where what it must not wait for takes ten minutes."""
        for number in numbers:
            await enqueue(db, do, number)
            await asyncio.sleep(pause)
        await until(lambda: _is(picked >= set(numbers)))

    assert worker_file.POLL_FIRST_S < worker_file.POLL_DEAF_S < 0.3
    monkeypatch.setattr(worker_file, "POLL_HEARING_S", 600.0)
    with monkeypatch.context() as without:
        without.setattr(worker_file, "POLL_FIRST_S", 600.0)
        async with at_work(worker(db, do)) as made:
            await until(lambda: _is(made._listener.listening))
            for number in range(10):
                await picks_up(range(number, number + 1), 0.1)
    async with at_work(worker(db, do)) as made:
        await until(lambda: _is(made._listener.listening))
        # Jobs whose NOTIFY was left out, for one was sent a moment ago.
        await picks_up(range(10, 30), 0.005)
    deaf = worker(db, do)
    deaf._listener.possible = False
    async with at_work(deaf):
        await picks_up(range(30, 35), 0.3)
        assert not deaf._listener.listening


async def test_a_lost_notify_costs_a_poll(db: Database, bedplate_clone: Clone) -> None:
    async def run(db: Database, running: Running[int]) -> None: ...

    do = job(run)
    async with at_work(worker(db, do)) as made:
        await until(lambda: _is(made._listener.listening))
        await db.run(
            text(
                "INSERT INTO bedplate.jobs (id, kind, payload) "
                "VALUES ('01980000-0000-7000-8000-000000000001', 'crew.do', '1')"
            )
        )
        # Nothing else would ever bring it; a poll is a second away at most.
        assert worker_file.POLL_HEARING_S <= 1.0
        await until(lambda: ended(db))


async def test_a_worker_outlives_its_connections(db: Database, bedplate_clone: Clone) -> None:
    started: list[int] = []
    notes: list[str] = []

    async def run(db: Database, running: Running[int]) -> None:
        started.append(running.payload)
        await asyncio.sleep(0.3)

    do = job(run)
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND usename = current_user"  # no autovacuum worker: only a superuser may
    )
    await enqueue(db, do, 1)
    async with at_work(worker(db, do, notes=notes)) as made:
        await until(lambda: _is(started == [1] and made._listener.listening))
        with psycopg.connect(bedplate_clone.url, autocommit=True) as other:
            other.execute(kill)
            other.execute(
                "INSERT INTO bedplate.jobs (id, kind, payload) "
                "VALUES ('01980000-0000-7000-8000-000000000002', 'crew.do', '2')"
            )
        await until(lambda: _is(made.tally.succeeded >= 3))
    assert await states(db) == [State.SUCCEEDED] * 2


def test_a_jobs_name_is_its_modules_and_its_own() -> None:
    async def run(db: Database, running: Running[Any]) -> None: ...

    with pytest.raises(RegistryError, match=r"crew\.send"):
        work.Book.of(registry(Job(name="shop.send", payload=int, run=run)))
    with pytest.raises(RegistryError, match="Two jobs"):
        work.Book.of(registry(job(run), Periodic(name="crew.do", every=timedelta(1), run=run)))
