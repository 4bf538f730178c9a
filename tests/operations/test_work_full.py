"""The large numbers of the work queue: `pytest --full`, some minutes."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Text, bindparam, text

from bedplate.kernel import ids
from bedplate.kernel.database import Database
from bedplate.kernel.jobs import JobOptions, enqueue, enqueue_many
from bedplate.kernel.query import Query
from bedplate.testing import Clone
from tests import proofs
from tests.aside import Crew
from tests.operations.crew import TRACE, Parcel, crew_of, open_database
from tests.operations.test_work_crashes import left, query, recount
from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "spares"]

JOBS = 100_000
KEYED = 2_000
KEYS = 50
WORKERS = 16
LEASE_MS = 3_000
KILL_EVERY_S = (1.0, 4.0)
LONGEST_S = 1_500.0
CLIENTS = 32
INSERTS = 8_000
PICKUPS = 200

pytestmark = pytest.mark.full


@pytest.fixture
def crew(bedplate_clone: Clone, tmp_path: Path) -> Iterator[Crew]:
    with crew_of(bedplate_clone, tmp_path, lease_ms=LEASE_MS) as made:
        yield made


def on_database(crew: Crew, body: Callable[[Database], Awaitable[Any]], size: int = 8) -> Any:
    async def run() -> Any:
        db = open_database(crew.clone.url, size)
        await db.open()
        try:
            return await body(db)
        finally:
            await db.close()

    return asyncio.run(run())


async def fill(db: Database) -> None:
    """Most jobs go alone; some belong to keys, and keep their order."""
    for start in range(0, JOBS - KEYED, 10_000):
        end = min(start + 10_000, JOBS - KEYED)
        await enqueue_many(db, TRACE, [Parcel(n) for n in range(start, end)])
    for n in range(JOBS - KEYED, JOBS):
        key = f"key {n % KEYS}"
        await enqueue(db, TRACE, Parcel(n, key), options=JobOptions(serial_key=key))


def kill_until_done(crew: Crew, chance: random.Random) -> dict[str, Any]:
    started, killed = time.monotonic(), 0
    while left(crew):
        assert time.monotonic() - started < LONGEST_S, crew.logs()
        time.sleep(chance.uniform(*KILL_EVERY_S))
        crew.kill(chance.choice(crew.pids))
        crew.start()
        killed += 1
    seconds = time.monotonic() - started
    rescued = query(crew, "SELECT count(*) FROM bedplate.jobs WHERE attempts > 1")[0][0]
    return {
        "jobs": JOBS,
        "workers": WORKERS,
        "killed": killed,
        "jobs_rescued": rescued,
        "seconds": round(seconds, 1),
        "jobs_per_second": round(JOBS / seconds),
    }


def pickups(crew: Crew) -> dict[str, float]:
    """From the start of the transaction that enqueues to the end of the body's own statement."""
    query(crew, "DELETE FROM crew.traces RETURNING 1")

    async def ask(db: Database) -> None:
        for number in range(PICKUPS):
            await enqueue(db, TRACE, Parcel(number))
            await asyncio.sleep(random.uniform(0.05, 0.25))

    on_database(crew, ask)
    time.sleep(2)
    rows = query(
        crew,
        "SELECT 1000 * extract(epoch FROM at - created_at)::float FROM crew.traces "
        "JOIN bedplate.jobs ON id = job ORDER BY 1",
    )
    waits = [row[0] for row in rows]
    assert len(waits) == PICKUPS
    return {
        "p50_ms": round(statistics.median(waits), 1),
        "p95_ms": round(waits[int(len(waits) * 0.95)], 1),
        "max_ms": round(waits[-1], 1),
    }


PLAIN: Query[Any] = Query(
    text(
        "INSERT INTO bedplate.jobs (id, kind, payload) "
        "VALUES (CAST(:id AS uuid), :kind, CAST(:payload AS jsonb))"
    ).bindparams(bindparam("kind", type_=Text), bindparam("payload", type_=Text))
)


async def rates(db: Database) -> tuple[float, float]:
    """Rows a second by plain inserts of the same row, and by enqueue; taken in turns."""

    async def plain() -> None:
        await db.run(PLAIN, id=ids.new(), kind=TRACE.name, payload='{"number": 1}')

    async def asked() -> None:
        await enqueue(db, TRACE, Parcel(1))

    async def rate(one: Callable[[], Awaitable[None]]) -> float:
        async def client() -> None:
            for _ in range(INSERTS // CLIENTS):
                await one()

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return INSERTS / (time.perf_counter() - started)

    found: dict[Any, list[float]] = {plain: [], asked: []}
    for one in (plain, asked) * 4:
        found[one].append(await rate(one))
    return statistics.median(found[plain][1:]), statistics.median(found[asked][1:])


def test_a_hundred_thousand_jobs_and_what_is_promised_of_them(crew: Crew) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    on_database(crew, fill)
    for _ in range(WORKERS):
        crew.start()
    run = {"seed": seed, **kill_until_done(crew, chance)}
    broken = recount(crew)
    for pid in crew.pids[1:]:
        crew.kill(pid)
    idle = pickups(crew)
    crew.kill(crew.pids[0])
    plain, asked = on_database(crew, rates, CLIENTS)
    enqueued = {
        "clients": CLIENTS,
        "plain_per_second": round(plain),
        "enqueue_per_second": round(asked),
        "ratio": round(asked / plain, 3),
    }
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    figures = {
        "machine": machine,
        "run": run,
        "broken": broken,
        "pickup_idle": idle,
        "enqueue": enqueued,
    }
    lines = [
        "# The work queue under fire",
        "",
        f"Run by `pytest --full`; {machine}.",
        "",
        f"{JOBS:,} jobs ({KEYED:,} of them on {KEYS} serial keys), {WORKERS} worker processes, "
        f"{run['killed']} of them killed with SIGKILL at random (seed {seed}): all ended in "
        f"{run['seconds']:g} s, {run['jobs_rescued']} after a rescue.",
        "",
        "| law | rows that break it |",
        "|---|---|",
        *(f"| {law} | {count} |" for law, count in broken.items()),
        "",
        "| | |",
        "|---|---|",
        f"| pickup by an idle worker, p50 / p95 / max | {idle['p50_ms']} / {idle['p95_ms']} / "
        f"{idle['max_ms']} ms |",
        f"| plain INSERT of the same row, {CLIENTS} clients | {round(plain):,} /s |",
        f"| enqueue, {CLIENTS} clients | {round(asked):,} /s ({asked / plain:.2f} of it) |",
    ]
    proofs.write("work", "\n".join(lines), figures)
    assert set(broken.values()) == {0}, figures
    assert idle["p95_ms"] < 50, figures
    assert enqueued["ratio"] >= 0.9, figures
