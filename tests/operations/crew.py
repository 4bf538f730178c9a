"""Workers as processes of their own, and the table in which their jobs leave a trace."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from sqlalchemy import BigInteger, Text, Uuid, bindparam, text

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import Job, Running
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.pool import AsyncLeaf
from bedplate.kernel.query import Query
from bedplate.kernel.registry import Registry
from bedplate.kernel.settings import load
from bedplate.operations.work import Worker, WorkOptions
from bedplate.project import MakeLeaf, database
from bedplate.testing import Clone
from tests.aside import Crew

# What must never happen is written down by the database itself: a lease given while another on the
# same row was alive.
TRACES = """
CREATE SCHEMA crew;
GRANT USAGE ON SCHEMA crew TO PUBLIC;
CREATE TABLE crew.traces (
    job uuid, epoch bigint, number bigint, serial text,
    at timestamptz DEFAULT clock_timestamp()
);
CREATE TABLE crew.broken (job uuid, epoch bigint);
GRANT SELECT, INSERT, DELETE ON crew.traces, crew.broken TO PUBLIC;
CREATE FUNCTION crew.watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.epoch <> OLD.epoch AND OLD.state = 'RUNNING' AND OLD.expires_at > clock_timestamp() THEN
        INSERT INTO crew.broken VALUES (OLD.id, OLD.epoch);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE UPDATE ON bedplate.jobs FOR EACH ROW EXECUTE FUNCTION crew.watch();
"""
_LEAVE: Query[Any] = Query(
    text(
        "INSERT INTO crew.traces (job, epoch, number, serial) "
        "VALUES (:job, :epoch, :number, :serial)"
    ).bindparams(
        bindparam("job", type_=Uuid),
        bindparam("epoch", type_=BigInteger),
        bindparam("number", type_=BigInteger),
        bindparam("serial", type_=Text),
    )
)


class Parcel(msgspec.Struct, frozen=True):
    """A job's number, its serial key, and how long its body takes."""

    number: int
    serial: str | None = None
    seconds: float = 0.0


async def leave_trace(db: Database, running: Running[Parcel]) -> None:
    """Take a while; then leave a trace and end the job, in one transaction."""
    parcel = running.payload
    if parcel.seconds:
        await asyncio.sleep(parcel.seconds * random.uniform(0.5, 1.5))
    async with db.transaction() as tx:
        await tx.run(
            _LEAVE,
            job=running.id,
            epoch=running.lease.epoch,
            number=parcel.number,
            serial=parcel.serial,
        )
        await running.finish(tx)


TRACE = Job(name="crew.trace", payload=Parcel, run=leave_trace, attempts_max=50)


def registry(*jobs: Any) -> Registry:
    """A registry of one module that has these jobs and nothing else."""
    return Registry([ModuleManifest(name="crew", package="tests.shop", models=(), jobs=jobs)])


def open_database(url: str, size: int = 8, leaf: MakeLeaf = AsyncLeaf) -> Database:
    """A database, not open yet; behind no pooler."""
    settings = replace(load(), database_url=url, transaction_pooler=False, pool_size_max=size)
    return database(settings, registry(), url, leaf)


async def work(url: str, lease_ms: int, concurrency: int) -> None:
    """Work until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    db = open_database(url, concurrency + 2)
    await db.open()
    try:
        options = WorkOptions(
            concurrency=concurrency,
            lease=timedelta(milliseconds=lease_ms),
            grace=timedelta(seconds=5),
        )
        worker = Worker(db, registry(TRACE), options, note=lambda text: print(text, flush=True))
        await worker.run(stopping)
    finally:
        await db.close()


def main(url: str, lease_ms: str, concurrency: str) -> None:
    asyncio.run(work(url, int(lease_ms), int(concurrency)))


@contextmanager
def crew_of(clone: Clone, folder: Path, *, lease_ms: int, concurrency: int = 4) -> Iterator[Crew]:
    """A crew on a database that keeps traces; whoever is left is killed."""
    with psycopg.connect(clone.owner_url, autocommit=True) as owner:
        owner.execute(TRACES)
    arguments = (clone.url, str(lease_ms), str(concurrency))
    with closing(Crew(clone, folder, main, arguments)) as crew:
        yield crew
