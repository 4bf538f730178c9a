"""Periodic jobs: each period once, whoever comes first; and what the kernel itself clears away."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import text

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import JobOptions, Periodic, Running, enqueue
from bedplate.kernel.leased import State
from bedplate.kernel.leases import Backoff
from bedplate.testing import FrozenClock
from tests.operations.workers import db, job, states, worker
from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "db", "spares"]


async def test_each_period_is_run_once_by_whoever_comes_first(
    db: Database, frozen_clock: FrozenClock
) -> None:
    ran: list[str] = []

    async def run(db: Database, running: Running[None]) -> None:
        assert running.payload is None
        ran.append("x")

    sweep = Periodic(name="crew.sweep", every=timedelta(hours=1), run=run)
    frozen_clock.set(frozen_clock.now.replace(minute=30))

    async def all_drain() -> None:
        await asyncio.gather(*(worker(db, sweep).drain() for _ in range(3)))

    await all_drain()
    assert len(ran) == 1
    await all_drain()
    assert len(ran) == 1
    # The next period begins with the hour.
    frozen_clock.advance(minutes=31)
    await all_drain()
    assert len(ran) == 2
    # Of many that were missed one is caught up.
    frozen_clock.advance(days=3)
    await all_drain()
    assert len(ran) == 3
    frozen_clock.advance(hours=1)
    await all_drain()
    assert len(ran) == 4


async def test_a_period_is_not_begun_while_an_earlier_one_runs(
    db: Database, frozen_clock: FrozenClock
) -> None:
    async def run(db: Database, running: Running[None]) -> None:
        raise ValueError

    sweep = Periodic(
        name="crew.sweep",
        every=timedelta(hours=1),
        run=run,
        attempts_max=2,
        backoff=Backoff(first=timedelta(hours=3), longest=timedelta(hours=3)),
    )
    await worker(db, sweep).drain()
    frozen_clock.advance(hours=1)
    await worker(db, sweep).drain()
    assert await states(db) == [State.PENDING]
    frozen_clock.advance(hours=3)
    await worker(db, sweep).drain()
    # A dead letter of one period does not keep the next one out.
    assert await states(db) == [State.FAILED]
    frozen_clock.advance(hours=1)
    await worker(db, sweep).drain()
    assert await states(db) == [State.FAILED, State.PENDING]


async def test_a_period_that_comes_more_often_now_need_not_wait_for_the_old_time(
    db: Database, frozen_clock: FrozenClock
) -> None:
    ran: list[str] = []

    async def run(db: Database, running: Running[None]) -> None:
        ran.append("x")

    for every in (timedelta(days=30), timedelta(minutes=1)):
        await worker(db, Periodic(name="crew.sweep", every=every, run=run)).drain()
    frozen_clock.advance(minutes=2)
    await worker(db, Periodic(name="crew.sweep", every=timedelta(minutes=1), run=run)).drain()
    assert len(ran) == 2


async def test_old_jobs_and_expired_keys_go_and_dead_letters_stay(
    db: Database, frozen_clock: FrozenClock
) -> None:
    async def run(db: Database, running: Running[int]) -> None:
        if running.payload == 2:
            raise ValueError

    do = job(run, attempts_max=1)
    for number in (1, 2):
        await enqueue(db, do, number)
    later = frozen_clock.now + timedelta(days=300)
    await enqueue(db, do, 3, options=JobOptions(run_at=later))
    await db.run(
        text(
            "INSERT INTO bedplate.idempotency_keys "
            "(user_id, action, key, request_hash, expires_at) "
            "SELECT '', 'a', n::text, '', bedplate.now() + n * interval '1 day' "
            "FROM generate_series(1, 20) AS n"
        )
    )
    await worker(db, do).drain()
    frozen_clock.advance(days=6, hours=23)
    await worker(db, do).drain()
    assert len(await states(db)) == 3
    frozen_clock.advance(hours=2)
    await worker(db, do).drain()
    assert await states(db) == [State.FAILED, State.PENDING]
    [(count,)] = await db.all(text("SELECT count(*) FROM bedplate.idempotency_keys"))
    assert count == 13
