"""Workers in a test's own event loop, and what their tests ask of the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Job
from bedplate.kernel.leases import Backoff
from bedplate.operations.work import Worker, WorkOptions
from bedplate.testing import Clone
from tests.operations.crew import open_database, registry

AT_ONCE = Backoff(first=timedelta(0), longest=timedelta(0))


@pytest.fixture
async def db(bedplate_clone: Clone) -> AsyncIterator[Database]:
    made = open_database(bedplate_clone.url)
    await made.open()
    yield made
    await made.close()


def job(run: Any, payload: Any = int, **options: Any) -> Job[Any]:
    return Job(name="crew.do", payload=payload, run=run, **{"backoff": AT_ONCE, **options})


def worker(db: Database, *jobs: Any, notes: list[str] | None = None, **options: Any) -> Worker:
    note = (lambda _: None) if notes is None else notes.append
    given = WorkOptions(**{"grace": timedelta(seconds=1), **options})
    return Worker(db, registry(*jobs), given, note=note)


@asynccontextmanager
async def at_work(made: Worker) -> AsyncIterator[Worker]:
    stopping = asyncio.Event()
    task = asyncio.create_task(made.run(stopping))
    try:
        yield made
    finally:
        stopping.set()
        await task


async def until(true: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def states(db: Database) -> list[str]:
    rows = await db.all(
        text("SELECT state FROM bedplate.jobs WHERE kind LIKE 'crew.%' ORDER BY id")
    )
    return [row[0] for row in rows]
