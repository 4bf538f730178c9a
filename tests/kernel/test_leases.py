"""Leases: one holder at a time, and every write of a stale one refused by the row itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bedplate.kernel import lease_statements
from bedplate.kernel.database import Database
from bedplate.kernel.errors import (
    BedplateError,
    CheckViolation,
    LeaseLost,
    LimitExceeded,
    LockTimeout,
)
from bedplate.kernel.jobs import JOB_LEASES, JobOptions, StoredJob, enqueue, enqueue_many
from bedplate.kernel.leased import State
from bedplate.kernel.leases import Backoff, Fault, Lease, Leases
from tests.kernel.working import LEASE, SEND, Parcel, claim, job
from tests.world import World

FAULT = Fault("test", "It broke.")
NOW = timedelta(0)

WRITES: dict[str, Callable[[Leases[Any], Database, Lease], Awaitable[Any]]] = {
    "finish": lambda leases, db, lease: leases.finish(db, lease),
    "fail": lambda leases, db, lease: leases.fail(db, lease, FAULT, retry_in=NOW),
    "cancelled": lambda leases, db, lease: leases.end_cancelled(db, lease),
    "release": lambda leases, db, lease: leases.release(db, lease),
    "heartbeat": lambda leases, db, lease: leases.heartbeat(db, lease, extend=LEASE),
}


async def taken_over(db: Database, clock: Any) -> tuple[Lease, Lease]:
    """The lease of a holder that was thought dead, and that of the one who took over."""
    await enqueue(db, SEND, Parcel(1))
    first = (await claim(db, "one")).held[0]
    clock.advance(seconds=31)
    second = (await claim(db, "two")).held[0]
    assert second.id == first.id
    return Lease.of(first), Lease.of(second)


@pytest.mark.parametrize("write", WRITES)
def test_a_stale_holder_is_refused(world: World, write: str) -> None:
    async def body(db: Database) -> None:
        stale, live = await taken_over(db, world.clock)
        with pytest.raises(LeaseLost):
            await WRITES[write](JOB_LEASES, db, stale)
        # The same holder under an earlier epoch is as stale as any other.
        with pytest.raises(LeaseLost):
            await WRITES[write](JOB_LEASES, db, Lease(live.id, stale.epoch, live.holder))
        assert await JOB_LEASES.heartbeats(db, [stale], extend=LEASE) == {}
        assert (await job(db)).holder == "two"
        await WRITES[write](JOB_LEASES, db, live)

    world.run(body(world.db))


@pytest.mark.parametrize("write", WRITES)
def test_without_the_epoch_a_stale_write_of_the_same_holder_would_pass(
    world: World, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sabotage: the assertion above is worth something."""
    monkeypatch.setattr(
        lease_statements, "FENCE", lease_statements.FENCE.replace("epoch = :epoch", ":epoch >= 0")
    )
    unfenced = Leases(StoredJob, wanted="kind = 'shop.send'")

    async def body(db: Database) -> None:
        stale, live = await taken_over(db, world.clock)
        await WRITES[write](unfenced, db, Lease(live.id, stale.epoch, live.holder))

    world.run(body(world.db))


def test_what_is_locked_by_one_claim_is_left_alone_by_the_next(world: World) -> None:
    other = world.other_db()

    async def body(db: Database) -> None:
        await enqueue_many(db, SEND, [Parcel(n) for n in range(3)])
        async with db.transaction() as tx:
            first = await JOB_LEASES.claim(tx, "one", limit=2, lease=LEASE, kinds=[SEND.name])
            assert len(first.held) == 2
            second = await claim(other, "two", limit=3)
        assert {row.id for row in first.held}.isdisjoint(row.id for row in second.held)
        assert len(second.held) == 1
        assert [row.payload["number"] for row in first.held + second.held] == [0, 1, 2]

    world.run(body(world.db))


def test_without_skip_locked_a_claim_waits_for_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_statements, "LOCK", "FOR NO KEY UPDATE")
    waiting = Leases(StoredJob, wanted="kind = 'shop.send'")
    other = world.other_db()

    async def second() -> None:
        async with other.transaction() as tx:
            await tx.run(text("SET LOCAL lock_timeout = '200ms'"))
            await waiting.claim(tx, "two", limit=3, lease=LEASE)

    async def body(db: Database) -> None:
        await enqueue_many(db, SEND, [Parcel(n) for n in range(3)])
        async with db.transaction() as tx:
            await JOB_LEASES.claim(tx, "one", limit=2, lease=LEASE, kinds=[SEND.name])
            with pytest.raises(LockTimeout):
                await second()

    world.run(body(world.db))


def test_an_expired_lease_is_claimed_and_says_so(world: World) -> None:
    async def body(db: Database) -> None:
        stale, live = await taken_over(db, world.clock)
        found = await job(db)
        assert (found.attempts, live.epoch) == (2, stale.epoch + 1)
        assert [(each["code"], each["attempt"]) for each in found.errors] == [("lease_expired", 1)]
        assert "one" in found.errors[0]["message"]

    world.run(body(world.db))


def test_a_lease_that_is_extended_is_never_claimed(world: World) -> None:
    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1))
        lease = Lease.of((await claim(db)).held[0])
        for _ in range(10):
            world.clock.advance(seconds=20)
            assert await JOB_LEASES.heartbeats(db, [lease], extend=LEASE) == {lease.id: False}
            assert (await claim(db, "two")).held == []
        # One that ran out, and that nobody took, is still the only one.
        world.clock.advance(seconds=60)
        assert await JOB_LEASES.heartbeat(db, lease, extend=LEASE) is False
        await JOB_LEASES.finish(db, lease)
        assert (await job(db)).state == State.SUCCEEDED

    world.run(body(world.db))


def test_a_job_that_kills_its_workers_stops(world: World) -> None:
    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1))
        for attempt in range(1, 4):
            claimed = await claim(db, f"worker {attempt}")
            assert [row.attempts for row in claimed.held] == [attempt]
            world.clock.advance(seconds=31)
        claimed = await claim(db, "the fourth")
        assert claimed.held == []
        assert [row.state for row in claimed.ended] == [State.FAILED]
        found = await job(db)
        assert [each["attempt"] for each in found.errors] == [1, 2, 3]
        assert (found.holder, found.expires_at) == (None, None)
        assert (await claim(db, "the fifth")).ended == []

    world.run(body(world.db))


def test_a_failure_waits_and_the_last_one_is_final_with_all_errors(world: World) -> None:
    async def body(db: Database) -> None:
        id = await enqueue(db, SEND, Parcel(1))
        for attempt in range(1, 4):
            lease = Lease.of((await claim(db)).held[0])
            state = await JOB_LEASES.fail(
                db, lease, Fault("test", f"No. {attempt}"), retry_in=timedelta(minutes=1)
            )
            assert state == (State.PENDING if attempt < 3 else State.FAILED)
            assert (await claim(db)).held == []
            world.clock.advance(seconds=61)
        assert (await claim(db)).held == []
        errors = (await job(db)).errors
        assert [each["message"] for each in errors] == ["No. 1", "No. 2", "No. 3"]
        assert await JOB_LEASES.retry(db, id)
        assert not await JOB_LEASES.retry(db, id)
        assert (await claim(db)).held[0].attempts == 1
        assert len((await job(db)).errors) == 3

    world.clock.freeze()
    world.run(body(world.db))


def test_a_row_keeps_its_last_50_errors(world: World) -> None:
    async def body(db: Database) -> None:
        id = await enqueue(db, SEND, Parcel(1))
        for number in range(60):
            lease = Lease.of((await claim(db)).held[0])
            await JOB_LEASES.fail(db, lease, Fault("test", f"{number}"), retry_in=NOW)
            await JOB_LEASES.retry(db, id)
        errors = (await job(db)).errors
        assert [each["message"] for each in errors] == [f"{n}" for n in range(10, 60)]

    world.run(body(world.db))


def test_released_work_is_due_at_once_and_was_not_tried(world: World) -> None:
    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1))
        lease = Lease.of((await claim(db)).held[0])
        assert await JOB_LEASES.release(db, lease) == State.PENDING
        again = (await claim(db, "two")).held[0]
        assert (again.attempts, again.epoch) == (1, 2)

    world.run(body(world.db))


def test_a_write_under_the_lease_keeps_others_away_until_it_commits(world: World) -> None:
    other = world.other_db()

    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1))
        lease = Lease.of((await claim(db)).held[0])
        world.clock.advance(seconds=31)
        async with db.transaction() as tx:
            await JOB_LEASES.heartbeat(tx, lease, extend=LEASE)
            assert (await claim(other, "two")).held == []
            # The worker's own heartbeats neither wait for it nor take it for lost.
            assert await JOB_LEASES.heartbeats(other, [lease], extend=LEASE) == {lease.id: False}
        assert (await claim(other, "two")).held == []
        world.clock.advance(seconds=31)
        await claim(other, "two")
        with pytest.raises(LeaseLost):
            async with db.transaction() as tx:
                await JOB_LEASES.heartbeat(tx, lease, extend=LEASE)

    world.run(body(world.db))


def test_cancellation_ends_what_waits_and_asks_what_runs(world: World) -> None:
    async def body(db: Database) -> None:
        waiting = await enqueue(db, SEND, Parcel(1), options=JobOptions(unique_key="a"))
        assert await JOB_LEASES.cancel(db, waiting) == State.CANCELLED
        assert await JOB_LEASES.cancel(db, waiting) is None
        running = await enqueue(db, SEND, Parcel(2))
        lease = Lease.of((await claim(db)).held[0])
        assert await JOB_LEASES.cancel(db, running) == State.RUNNING
        assert await JOB_LEASES.heartbeats(db, [lease], extend=LEASE) == {running: True}
        await JOB_LEASES.end_cancelled(db, lease)
        assert (await job(db, running)).state == State.CANCELLED
        for final in (waiting, running):
            assert await JOB_LEASES.cancel(db, final) is None
            assert not await JOB_LEASES.retry(db, final)
        with pytest.raises(LeaseLost):
            await JOB_LEASES.finish(db, lease)

    world.run(body(world.db))


@pytest.mark.parametrize("end", ["expiry", "failure", "release"])
def test_what_was_to_be_cancelled_is_not_tried_again(world: World, end: str) -> None:
    async def body(db: Database) -> None:
        id = await enqueue(db, SEND, Parcel(1))
        lease = Lease.of((await claim(db)).held[0])
        await JOB_LEASES.cancel(db, id)
        if end == "expiry":
            world.clock.advance(seconds=31)
            claimed = await claim(db, "two")
            assert (claimed.held, len(claimed.ended)) == ([], 1)
        elif end == "failure":
            assert await JOB_LEASES.fail(db, lease, FAULT, retry_in=NOW) == State.CANCELLED
        else:
            assert await JOB_LEASES.release(db, lease) == State.CANCELLED
        assert (await job(db)).state == State.CANCELLED

    world.run(body(world.db))


def test_a_claim_has_a_limit(world: World) -> None:
    with pytest.raises(LimitExceeded):
        world.run(claim(world.db, limit=1_001))


@pytest.mark.parametrize(
    "change",
    [
        "state = 'DONE'",
        "state = 'SUCCEEDED'",
        "finished_at = bedplate.now()",
        "state = 'RUNNING'",
        "holder = 'me'",
        "expires_at = bedplate.now()",
        "attempts = -1",
        "max_attempts = 51",
        "priority = 21",
        "unique_key = repeat('x', 256)",
        "errors = '{}'",
        "progress = 101",
    ],
)
def test_the_rules_hold_against_raw_sql(world: World, change: str) -> None:
    async def body(db: Database) -> None:
        await enqueue(db, SEND, Parcel(1))
        with pytest.raises(CheckViolation):
            await db.run(text(f"UPDATE bedplate.jobs SET {change}"))

    world.run(body(world.db))


def test_the_wait_doubles_is_capped_and_never_the_same() -> None:
    backoff = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=60))
    for attempts, due in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60)]:
        waits = {backoff.after(attempts).total_seconds() for _ in range(100)}
        assert due / 2 <= min(waits) <= max(waits) <= due
        assert len(waits) > 50


def test_a_fault_holds_no_value() -> None:
    def broken() -> None:
        int("hush hush")

    try:
        broken()
    except ValueError as error:
        fault = Fault.of(error)
    assert fault.code == "exception"
    assert fault.message.startswith("ValueError at test_leases.py:")
    assert "hush" not in fault.message
    ours = Fault.of(BedplateError("No way to postgresql://me:hush@host/db."))
    assert ours.code == "bedplate"
    assert "hush" not in ours.message
