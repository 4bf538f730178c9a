"""Workers that are killed at random: every job ends once, and no two hold it at a time."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.kernel.jobs import JobOptions, enqueue, enqueue_many
from bedplate.testing import Clone, FrozenClock
from tests.aside import Crew
from tests.operations.crew import TRACE, Parcel, crew_of, open_database
from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "spares"]

JOBS = 400
KEYS = 10
WORKERS = 4
CONCURRENCY = 4
"""Of each, unless told otherwise."""
LEASE_MS = 1_000
# Every second job belongs to one of ten keys; bodies take some milliseconds.
SECONDS = 0.03


@pytest.fixture
def crew(bedplate_clone: Clone, tmp_path: Path) -> Iterator[Crew]:
    with crew_of(bedplate_clone, tmp_path, lease_ms=LEASE_MS) as made:
        yield made


@pytest.fixture
def patient_crew(bedplate_clone: Clone, tmp_path: Path) -> Iterator[Crew]:
    """No lease of theirs runs out because the machine is busy."""
    with crew_of(bedplate_clone, tmp_path, lease_ms=60_000) as made:
        yield made


def ask(crew: Crew, jobs: int = JOBS, seconds: float = SECONDS, first: int = 0) -> None:
    """Enqueue the jobs; those of a key in the order of their numbers."""

    async def body() -> None:
        db = open_database(crew.clone.url)
        await db.open()
        try:
            free = [Parcel(n, None, seconds) for n in range(first + 1, first + jobs, 2)]
            await enqueue_many(db, TRACE, free)
            for n in range(first, first + jobs, 2):
                key = f"key {n // 2 % KEYS}"
                options = JobOptions(serial_key=key)
                await enqueue(db, TRACE, Parcel(n, key, seconds), options=options)
        finally:
            await db.close()

    asyncio.run(body())


def query(crew: Crew, sql: str) -> list[Any]:
    with psycopg.connect(crew.clone.owner_url, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def left(crew: Crew) -> int:
    count: int = query(
        crew,
        "SELECT count(*) FROM bedplate.jobs WHERE kind = 'crew.trace' AND state <> 'SUCCEEDED'",
    )[0][0]
    return count


def until(true: Callable[[], Any], crew: Crew, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, crew.logs()
        time.sleep(0.05)


def recount(crew: Crew) -> dict[str, int]:
    """What must be none: the laws, each as a count of what breaks it."""
    laws = {
        "not ended once": "SELECT count(*) FROM bedplate.jobs LEFT JOIN (SELECT job, count(*) AS n "
        "FROM crew.traces GROUP BY job) AS t ON t.job = id "
        "WHERE kind = 'crew.trace' AND (state <> 'SUCCEEDED' OR n IS DISTINCT FROM 1)",
        "written by another than the last holder": "SELECT count(*) FROM crew.traces "
        "JOIN bedplate.jobs ON id = job WHERE traces.epoch <> jobs.epoch",
        "two live leases": "SELECT count(*) FROM crew.broken",
        "out of order": "SELECT count(*) FROM (SELECT number, lag(number) OVER "
        "(PARTITION BY serial ORDER BY at) AS before FROM crew.traces "
        "WHERE serial IS NOT NULL) AS t WHERE before > number",
    }
    return {law: query(crew, sql)[0][0] for law, sql in laws.items()}


def test_whoever_is_killed_each_job_ends_once(crew: Crew) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    ask(crew)
    for _ in range(WORKERS):
        crew.start()
    until(lambda: query(crew, "SELECT count(*) FROM crew.traces")[0][0] > 20, crew)
    killed = 0
    while (many := left(crew) > 40 and killed < 5) or killed < 2:
        if not many:  # we were held up, and they were not
            ask(crew, first=(killed + 1) * JOBS)
        time.sleep(chance.uniform(0.05, 0.4))
        crew.kill(chance.choice(crew.pids))
        crew.start()
        killed += 1
    until(lambda: not left(crew), crew)
    assert set(recount(crew).values()) == {0}, (recount(crew), crew.logs())
    rescued = query(crew, "SELECT count(*) FROM bedplate.jobs WHERE attempts > 1")[0][0]
    print(f"{killed} killed, {rescued} jobs rescued")


def test_a_killed_workers_job_runs_again_within_a_lease_and_a_tick(
    crew: Crew, frozen_clock: FrozenClock
) -> None:
    # The leases' time passes where we let it, however busy the machine is.
    frozen_clock.freeze()
    ask(crew, jobs=CONCURRENCY + 1, seconds=120.0)
    held = "SELECT id FROM bedplate.jobs WHERE kind = 'crew.trace' AND state = 'RUNNING'"
    pid = crew.start()
    until(lambda: len(query(crew, held)) == CONCURRENCY, crew)
    first = {row[0] for row in query(crew, held)}
    crew.start()
    # The one that the first has no hands for: the other is at work.
    until(lambda: len(query(crew, held)) == CONCURRENCY + 1, crew)
    again = "SELECT id FROM bedplate.jobs WHERE kind = 'crew.trace' AND attempts = 2"
    fresh = f"{held} AND expires_at > bedplate.now() + interval '{LEASE_MS / 2} ms'"
    for _ in range(3):
        frozen_clock.advance(seconds=0.6 * LEASE_MS / 1000)
        until(lambda: len(query(crew, fresh)) == CONCURRENCY + 1, crew)
    # Heartbeats keep them from the other worker for longer than a lease.
    assert query(crew, again) == []
    crew.kill(pid)
    frozen_clock.advance(seconds=0.6 * LEASE_MS / 1000)
    until(lambda: len(query(crew, fresh)) == 1, crew)
    assert query(crew, again) == []
    frozen_clock.advance(seconds=0.6 * LEASE_MS / 1000)
    # A lease has passed by the clock; the longest poll is a second.
    until(lambda: len(query(crew, again)) == CONCURRENCY - 1, crew, 15.0)
    assert {row[0] for row in query(crew, again)} < first
    errors = query(crew, "SELECT errors FROM bedplate.jobs WHERE attempts = 2")
    assert [each["code"] for each in errors[0][0]] == ["lease_expired"]


def test_a_worker_that_slept_through_its_lease_writes_nothing(crew: Crew) -> None:
    """A process that is stopped, not killed: it comes back believing that it holds the job."""
    ask(crew, jobs=2, seconds=1.0)
    pid = crew.start()
    until(
        lambda: len(query(crew, "SELECT 1 FROM bedplate.jobs WHERE state = 'RUNNING'")) >= 2, crew
    )
    os.kill(pid, signal.SIGSTOP)
    crew.start()
    until(lambda: not left(crew), crew)
    os.kill(pid, signal.SIGCONT)
    time.sleep(2.5)
    crew.kill(pid, signal.SIGTERM)
    assert set(recount(crew).values()) == {0}, (recount(crew), crew.logs())


def test_a_worker_told_to_stop_leaves_nothing_running(patient_crew: Crew) -> None:
    crew = patient_crew
    # More than it could do before a busy machine lets us tell it.
    ask(crew, seconds=0.2)
    pid = crew.start()
    until(lambda: query(crew, "SELECT count(*) FROM crew.traces")[0][0] > 20, crew)
    crew.kill(pid, signal.SIGTERM)
    assert query(crew, "SELECT 1 FROM bedplate.jobs WHERE state = 'RUNNING'") == []
    assert left(crew) > 0
    assert query(crew, "SELECT 1 FROM bedplate.jobs WHERE attempts > 1") == []
