"""Jobs: asked for in the caller's transaction, in order, once per key, and nobody starves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import connect
from sqlalchemy import text

from bedplate.kernel import clock, ids
from bedplate.kernel import jobs as jobs_of
from bedplate.kernel.database import Database
from bedplate.kernel.errors import (
    FieldInvalid,
    LeaseLost,
    LimitExceeded,
    RegistryError,
    UniqueViolation,
)
from bedplate.kernel.jobs import (
    JOB_LEASES,
    Job,
    JobOptions,
    Periodic,
    Running,
    enqueue,
    enqueue_many,
)
from bedplate.kernel.leased import State
from bedplate.kernel.leases import Claimed, Fault, Lease
from tests.kernel.builders import a_product, products
from tests.kernel.together import together
from tests.kernel.working import LEASE, SEND, Parcel, claim, job, nothing
from tests.world import World

COUNT = text("SELECT count(*) FROM bedplate.jobs")


def running_of(lease: Lease, number: int = 1) -> Running[Parcel]:
    return Running(lease.id, Parcel(number), 1, lease, LEASE)


async def numbers(db: Database, limit: int = 1) -> list[int]:
    return [row.payload["number"] for row in (await claim(db, limit=limit)).held]


async def done(db: Database) -> list[int]:
    """Claim the next job and finish it; its number."""
    held = (await claim(db)).held
    for row in held:
        await JOB_LEASES.finish(db, Lease.of(row))
    return [row.payload["number"] for row in held]


def test_a_job_commits_with_the_row_that_made_it_necessary(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            await products.create(tx, a_product("A-1"))
            id = await enqueue(tx, SEND, Parcel(1))
            assert (await claim(db)).held == []
        assert [row.id for row in (await claim(db)).held] == [id]

    world.run(body(world.db))


def test_a_rollback_leaves_nothing(world: World) -> None:
    async def body(db: Database) -> None:
        async def broken() -> None:
            async with db.transaction() as tx:
                await products.create(tx, a_product("A-1"))
                await enqueue(tx, SEND, Parcel(1))
                await enqueue_many(tx, SEND, [Parcel(2), Parcel(3)])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await broken()
        assert await db.one(COUNT) == (0,)
        assert await products.count(db) == 0

    world.run(body(world.db))


def test_a_job_is_not_started_before_its_time(world: World) -> None:
    async def body(db: Database) -> None:
        later = world.clock.now + timedelta(hours=1)
        await enqueue(db, SEND, Parcel(1), options=JobOptions(run_at=later))
        assert await numbers(db) == []
        world.clock.advance(minutes=61)
        assert await numbers(db) == [1]

    world.clock.freeze()
    world.run(body(world.db))


def test_a_unique_key_gives_the_job_that_waits_or_runs(world: World) -> None:
    options = JobOptions(unique_key="account 1")

    async def body(db: Database) -> None:
        first = await enqueue(db, SEND, Parcel(1), options=options)
        assert await enqueue(db, SEND, Parcel(2), options=options) == first
        assert await enqueue_many(db, SEND, [Parcel(3), Parcel(4)], options=options) == [first] * 2
        lease = Lease.of((await claim(db)).held[0])
        assert await enqueue(db, SEND, Parcel(5), options=options) == first
        await JOB_LEASES.finish(db, lease)
        assert await enqueue(db, SEND, Parcel(6), options=options) != first
        assert (await numbers(db), await numbers(db)) == ([6], [])
        # Another kind's key is another key.
        other = Job(name="shop.post", payload=Parcel, run=nothing)
        assert await enqueue(db, other, Parcel(7), options=options) != first
        assert await db.one(COUNT) == (3,)

    world.run(body(world.db))


COPIED = (
    "INSERT INTO bedplate.jobs (id, kind, payload, unique_key)"
    " SELECT gen_random_uuid(), kind, payload, unique_key FROM bedplate.jobs LIMIT 1"
)


@pytest.mark.parametrize("kept", [True, False])
def test_a_key_that_is_kept_is_unique_once_its_job_succeeded_too(world: World, kept: bool) -> None:
    options = JobOptions(unique_key="account 1", unique_kept=kept)

    async def body(db: Database) -> None:
        first = await enqueue(db, SEND, Parcel(1), options=options)
        await JOB_LEASES.finish(db, Lease.of((await claim(db)).held[0]))
        again = await enqueue(db, SEND, Parcel(2), options=JobOptions(unique_key="account 1"))
        assert (again == first) == kept
        # Raw SQL meets the same index; a dead letter or what was cancelled keeps nobody away.
        with pytest.raises(UniqueViolation):
            await db.run(text(COPIED))
        await db.run(text("UPDATE bedplate.jobs SET state = 'FAILED', finished_at = now()"))
        assert await enqueue(db, SEND, Parcel(3), options=options) != first
        if kept:
            with pytest.raises(UniqueViolation):
                await JOB_LEASES.retry(db, first)

    world.run(body(world.db))


def test_a_dead_letter_is_not_retried_beside_a_new_job_of_its_key(world: World) -> None:
    options = JobOptions(unique_key="account 1")

    async def body(db: Database) -> None:
        dead = await enqueue(db, SEND, Parcel(1), options=options)
        for _ in range(3):
            lease = Lease.of((await claim(db)).held[0])
            await JOB_LEASES.fail(db, lease, Fault("test", ""), retry_in=timedelta(0))
        await enqueue(db, SEND, Parcel(2), options=options)
        with pytest.raises(UniqueViolation):
            await JOB_LEASES.retry(db, dead)

    world.run(body(world.db))


def test_many_at_once_under_one_key_make_one_job(world: World) -> None:
    options = JobOptions(unique_key="account 1")
    found = together(
        world, [enqueue(world.db, SEND, Parcel(n), options=options) for n in range(16)]
    )
    assert len(set(found)) == 1, found
    assert world.run(world.db.one(COUNT)) == (1,)


def test_jobs_of_one_key_run_one_after_the_other_in_their_order(world: World) -> None:
    async def body(db: Database) -> None:
        key = JobOptions(serial_key="account 1")
        await enqueue_many(db, SEND, [Parcel(1), Parcel(2)], options=key)
        # Neither priority nor another kind gets around the order.
        urgent = JobOptions(serial_key="account 1", priority=20)
        await enqueue(db, SEND, Parcel(3), options=urgent)
        await enqueue(db, SEND, Parcel(9))
        first = (await claim(db, limit=10)).held
        assert sorted(row.payload["number"] for row in first) == [1, 9]
        lease = next(Lease.of(row) for row in first if row.payload["number"] == 1)
        assert await numbers(db, 10) == []
        # One that waits for another attempt keeps its turn.
        await JOB_LEASES.fail(db, lease, Fault("test", ""), retry_in=timedelta(minutes=1))
        assert await numbers(db, 10) == []
        world.clock.advance(seconds=61)
        for expected in (1, 2, 3):
            held = (await claim(db, limit=10)).held
            assert [row.payload["number"] for row in held if row.serial_key] == [expected]
            mine = next(row for row in held if row.serial_key)
            await JOB_LEASES.finish(db, Lease.of(mine))

    world.clock.freeze()
    world.run(body(world.db))


async def out_of_order(db: Database) -> None:
    """One of a key runs, and one with a lower id is committed after it was claimed."""
    early, late = ids.many(2)
    for id in (late, early):
        insert = "INSERT INTO bedplate.jobs (id, kind, payload, serial_key) VALUES "
        await db.run(text(f"{insert} ('{id}', 'shop.send', '{{\"number\": 1}}', 'k')"))
        await claim(db)


def test_a_row_that_comes_late_waits_for_the_one_that_runs(world: World) -> None:
    async def body(db: Database) -> None:
        await out_of_order(db)
        states = [row[0] for row in await db.all(text("SELECT state FROM bedplate.jobs"))]
        assert sorted(states) == [State.PENDING, State.RUNNING]
        # Whoever runs holds the key, even while it is rescued.
        world.clock.advance(seconds=31)
        assert [row.attempts for row in (await claim(db, "two", limit=5)).held] == [2]

    world.run(body(world.db))


RACE = "UPDATE bedplate.jobs SET state = 'RUNNING', holder = 'x', expires_at = 'infinity'"


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without the index"])
def test_the_index_alone_keeps_a_key_serial(world: World, guarded: bool) -> None:
    """The condition of the claim reads a snapshot; the unique index does not."""

    async def body(db: Database) -> None:
        options = JobOptions(serial_key="account 1")
        await enqueue_many(db, SEND, [Parcel(1), Parcel(2)], options=options)
        if guarded:
            with pytest.raises(UniqueViolation):
                await db.run(text(RACE))
        else:
            assert await db.run(text(RACE)) == 2

    if not guarded:
        with connect(world.clone.owner_url, autocommit=True) as owner:
            owner.execute("DROP INDEX bedplate.uq_jobs_serial_key")
    world.run(body(world.db))


def test_a_claim_that_loses_that_race_comes_back_empty_and_says_so(world: World) -> None:
    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1), options=JobOptions(serial_key="k"))
        # As if the one that runs had been committed after the claim looked.
        await db.run(text("UPDATE bedplate.jobs SET serial_key = 'other'"))
        await db.run(text(RACE))
        await enqueue(db, SEND, Parcel(2), options=JobOptions(serial_key="k"))
        with connect(world.clone.owner_url, autocommit=True) as owner:
            owner.execute(
                "CREATE FUNCTION bedplate.race() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN NEW.serial_key := 'other'; RETURN NEW; END $$; "
                "CREATE TRIGGER race BEFORE UPDATE ON bedplate.jobs "
                "FOR EACH ROW EXECUTE FUNCTION bedplate.race()"
            )
        assert await claim(db, "w") == Claimed([], [], again=True)

    world.run(body(world.db))


def test_urgent_goes_first_and_what_waits_long_enough_overtakes_it(world: World) -> None:
    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1), options=JobOptions(priority=-5))
        await enqueue(db, SEND, Parcel(2))
        await enqueue(db, SEND, Parcel(3), options=JobOptions(priority=5))
        assert [await done(db) for _ in range(3)] == [[3], [2], [1]]
        await enqueue(db, SEND, Parcel(4), options=JobOptions(priority=-5))
        for waited in range(20):
            await enqueue(db, SEND, Parcel(5), options=JobOptions(priority=5))
            if await done(db) == [4]:
                assert 10 <= waited <= 11
                break
            world.clock.advance(minutes=1)
        else:
            raise AssertionError("the least urgent job starved")

    world.clock.freeze()
    world.run(body(world.db))


async def worked(db: Database, write: Any, error: Exception | None = None) -> None:
    """What a body does: its work and a write under the lease in one transaction."""
    async with db.transaction() as tx:
        await products.create(tx, a_product("A-1"))
        await write(tx)
        if error is not None:
            raise error


def test_a_body_ends_its_job_in_the_transaction_of_its_work(world: World) -> None:
    async def body(db: Database) -> None:
        id = await enqueue(db, SEND, Parcel(1))
        running = running_of(Lease.of((await claim(db)).held[0]))
        with pytest.raises(ZeroDivisionError):
            await worked(db, running.finish, ZeroDivisionError())
        assert not running.finished
        assert (await job(db, id)).state == State.RUNNING
        await worked(db, running.finish)
        assert running.finished
        assert (await job(db, id)).state == State.SUCCEEDED

    world.run(body(world.db))


def test_the_work_of_a_stale_holder_is_rolled_back(world: World) -> None:
    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1))
        stale = running_of(Lease.of((await claim(db)).held[0]))
        world.clock.advance(seconds=31)
        live = running_of(Lease.of((await claim(db, "two")).held[0]))
        for write in (stale.finish, stale.hold):
            with pytest.raises(LeaseLost):
                await worked(db, write)
        with pytest.raises(LeaseLost):
            await stale.progress(db, 50)
        assert await products.count(db) == 0
        await live.progress(db, 50)
        assert (await job(db)).progress == 50
        with pytest.raises(FieldInvalid):
            await live.progress(db, 101)

    world.run(body(world.db))


def test_what_is_no_payload_or_key_is_refused_and_nothing_written(world: World) -> None:
    wrong: Any = {"number": 1}
    anything: Job[Any] = Job(name="shop.any", payload=dict, run=nothing)
    too_many = [Parcel(1)] * 10_001

    async def body(db: Database) -> None:
        for error, asked in (
            (FieldInvalid, enqueue(db, SEND, wrong)),
            (FieldInvalid, enqueue(db, anything, {"at": object()})),
            (LimitExceeded, enqueue(db, anything, {"text": "x" * 70_000})),
            (LimitExceeded, enqueue_many(db, SEND, too_many)),
            (FieldInvalid, enqueue(db, SEND, Parcel(1), options=JobOptions(serial_key=""))),
            (FieldInvalid, enqueue(db, SEND, Parcel(1), options=JobOptions(unique_key="x" * 250))),
        ):
            with pytest.raises(error):
                await asked
        assert await enqueue_many(db, SEND, []) == []
        assert await db.one(COUNT) == (0,)

    world.run(body(world.db))
    with pytest.raises(FieldInvalid):
        JobOptions(priority=21)


@pytest.mark.parametrize("name", ["send", "Shop.send", "shop.", "shop.send it"])
def test_a_job_is_named_after_its_module(name: str) -> None:
    with pytest.raises(RegistryError):
        Job(name=name, payload=Parcel, run=nothing)


def test_a_period_is_at_least_a_second() -> None:
    sweep: Any = nothing
    with pytest.raises(RegistryError):
        Periodic(name="shop.sweep", every=timedelta(milliseconds=10), run=sweep)


def test_many_jobs_notify_once_and_never_inside_their_own_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[Any, UUID | None]] = []
    run = Database.run

    async def watched(db: Database, query: Any, /, **params: Any) -> int:
        if query is jobs_of._NOTIFY:
            heard.append((db, None))
        return await run(db, query, **params)

    monkeypatch.setattr(Database, "run", watched)
    stopped_ns = clock.nanoseconds()
    monkeypatch.setattr(clock, "nanoseconds", lambda: stopped_ns)

    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            for number in range(20):
                await enqueue(tx, SEND, Parcel(number))
            assert heard == []
        assert len(heard) == 1
        for _ in range(20):
            await enqueue(db, SEND, Parcel(0))
        # Not one of them, for as long as the first is a moment ago.
        assert len(heard) == 1
        later_ns = stopped_ns + jobs_of.WAKE_EVERY_MS * 1_000_000
        monkeypatch.setattr(clock, "nanoseconds", lambda: later_ns)
        for _ in range(20):
            await enqueue(db, SEND, Parcel(0))
        assert len(heard) == 2

    world.run(body(world.db))
    monkeypatch.undo()
