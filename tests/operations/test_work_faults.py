"""A worker that another was faster than, and one that is broken itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import JobOptions, Running, enqueue, enqueue_many
from bedplate.kernel.leased import State
from bedplate.kernel.pool import AsyncLeaf, Statement
from bedplate.kernel.rows import Make
from bedplate.testing import Clone
from tests.asking import waiting
from tests.operations.crew import open_database
from tests.operations.workers import db, job, states, until, worker
from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "db", "spares"]


async def test_draining_looks_again_where_another_worker_was_faster(
    db: Database, bedplate_clone: Clone
) -> None:
    """A claim that meets the index on running keys brings nothing, though something is due."""

    async def run(db: Database, running: Running[int]) -> None: ...

    do = job(run)
    _, second = await enqueue_many(db, do, [1, 2], options=JobOptions(serial_key="k", priority=1))
    await enqueue(db, do, 3)
    draining = worker(db, do, concurrency=1)
    await worker(db).drain()  # the periods are begun, and done
    async with await psycopg.AsyncConnection.connect(bedplate_clone.url) as other:
        # It looked before the first of the key was committed.
        await other.execute(
            "UPDATE bedplate.jobs SET state = 'RUNNING', holder = 'other', expires_at = 'infinity'"
            " WHERE id = %s",
            [second],
        )

        async def another_waits() -> bool:
            return waiting(bedplate_clone) == 1

        task = asyncio.create_task(draining.drain())
        await until(another_waits)
        await other.commit()
        await task
    assert await states(db) == [State.PENDING, State.RUNNING, State.SUCCEEDED]


@pytest.mark.parametrize("way", ["run", "drain"])
async def test_a_worker_that_cannot_keep_its_leases_stops_and_says_so(
    db: Database, way: str
) -> None:
    began = asyncio.Event()
    stopped: list[int] = []

    class Faulty(AsyncLeaf):
        async def fetch(self, connection: Any, statement: Statement, make: Make) -> list[Any]:
            if b"extended AS" in statement[0]:
                raise RuntimeError("not an error of the database")
            return await super().fetch(connection, statement, make)

    async def run(db: Database, running: Running[int]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(running.attempt)

    do = job(run)
    await enqueue(db, do, 1)
    faulty = open_database(db.url, leaf=Faulty)
    await faulty.open()
    # Kept on, the job would run to no end: its grace is not waited for.
    made = worker(faulty, do, lease=timedelta(seconds=0.3), grace=timedelta(days=1))
    try:
        with pytest.raises(RuntimeError, match="not an error of the database"):
            await (made.run(asyncio.Event()) if way == "run" else made.drain())
    finally:
        await faulty.close()
    assert began.is_set()
    assert stopped == [1]
    assert made.tally.released + made.tally.lost == 1
    assert await states(db) == [State.PENDING]
