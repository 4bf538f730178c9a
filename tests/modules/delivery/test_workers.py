"""Many workers at one queue, some of them killed: each mail goes, and goes once (NO1)."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bedplate.kernel import registry
from bedplate.kernel.database import Database
from bedplate.modules.delivery import Delivered, deliver_due, mail_of, send
from bedplate.operations.work import Worker, WorkOptions
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.delivery.crew import CONCURRENCY, crew_of, kill_and_forget
from tests.modules.delivery.postmen import PostOffice, a_mail, opened, statuses
from tests.world import CLIENTS

MAILS = 60
SWEEP_NOW = "UPDATE bedplate.periods SET next_at = bedplate.now() WHERE name = 'delivery.sweep'"


@asynccontextmanager
async def databases(clone: Clone, url: str, many: int) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        made = [opened(clone, url) for _ in range(many)]
        for each in made:
            await each.open()
            stack.push_async_callback(each.close)
        yield made


async def until_empty(db: Database) -> Delivered:
    total = Delivered()
    while (done := await deliver_due(db)).total:
        total.sent += done.sent
        total.failed += done.failed
        total.lost += done.lost
    return total


async def test_many_workers_deliver_each_mail_once(
    db: Database, bedplate_clone: Clone, post: PostOffice
) -> None:
    async with db.transaction() as tx:
        asked = [await send(tx, a_mail()) for _ in range(MAILS)]
    async with databases(bedplate_clone, post.url, CLIENTS) as made:
        done = await asyncio.gather(*(until_empty(each) for each in made))
    assert sum(each.sent for each in done) == MAILS
    assert sum(each.lost + each.failed for each in done) == 0
    assert len([each for each in done if each.sent]) > 1
    assert post.ids() == {f"<{mail_id}@shop.example>": 1 for mail_id in asked}


async def test_where_one_in_ten_fails_all_arrive_in_the_end(
    db: Database, bedplate_clone: Clone, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    answers = ("450 busy", "421 going down", "drop")

    def one_in_ten(address: str) -> str | None:
        # The first of all fails in any case: now and then, chance would spare all of them.
        fails = chance.random() < 0.1 or post.asked.total() == 1
        return chance.choice(answers) if fails else None

    post.at_rcpt = one_in_ten
    bedplate_clock.freeze()
    async with db.transaction() as tx:
        for _ in range(MAILS):
            await send(tx, a_mail())
    async with databases(bedplate_clone, post.url, 2) as made:
        # As often as a mail is tried at most: that one fails each time is beyond all chance.
        for _ in range(10):
            await asyncio.gather(*(until_empty(each) for each in made))
            bedplate_clock.advance(hours=7)
    assert statuses(bedplate_clone) == {"SENT": MAILS}
    assert set(post.ids().values()) == {1}
    assert post.asked.total() > MAILS
    tried = "SELECT sum(jsonb_array_length(errors)), max(retry_count) FROM delivery.outgoing_mails"
    total, most = ask(bedplate_clone, tried)[0]
    assert total == post.asked.total() - MAILS
    assert most < 10


def until(true: Callable[[], object], why: Callable[[], str], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


async def test_whoever_is_killed_each_mail_goes(
    db: Database, bedplate_clone: Clone, post: PostOffice, tmp_path: Path
) -> None:
    """Processes with a worker each, SIGKILLed in the middle of what they do.

    Twice goes only what was in a killed worker's hands, and under the same Message-ID. Half of
    the mail waits at the server until one was killed, so that all of it cannot go before.
    """
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    post.delay_s = 0.02
    one_is_killed = threading.Event()

    def held_back(address: str) -> None:
        assert len(post.letters) < MAILS // 2 or one_is_killed.wait(40)

    post.at_data = held_back
    async with db.transaction() as tx:
        asked = [await send(tx, a_mail()) for _ in range(MAILS)]
    killed = in_hand = 0

    def sent() -> int:
        return statuses(bedplate_clone)["SENT"]

    with crew_of(bedplate_clone, tmp_path, post.url) as crew:
        for _ in range(2):
            crew.start()
        until(lambda: sent() > 5, crew.logs)
        while sent() < MAILS - 20 and killed < 2:
            await asyncio.sleep(chance.uniform(0.02, 0.1))
            kill_and_forget(crew, crew.pids[0])
            in_hand += CONCURRENCY
            one_is_killed.set()
            crew.start()
            killed += 1

        def all_went() -> bool:
            # What was in the hands of the killed is found by a sweep; it need not be waited for.
            ask(bedplate_clone, SWEEP_NOW)
            return sent() == MAILS

        until(all_went, crew.logs)
    assert killed >= 1
    accepted = post.ids()
    assert set(accepted) == {f"<{mail_id}@shop.example>" for mail_id in asked}
    again = sum(count - 1 for count in accepted.values())
    tried = ask(bedplate_clone, "SELECT sum(retry_count) FROM delivery.outgoing_mails")[0][0]
    print(f"{killed} killed, {tried} mails tried again, {again} of them had been accepted")
    assert again <= tried <= in_hand


async def test_a_worker_takes_up_what_falls_due_by_itself(
    bedplate_clone: Clone, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    """Sent by the job that is enqueued with the mail, and tried again by the sweep."""
    bedplate_clock.freeze()
    async with databases(bedplate_clone, post.url, 1) as (db,):
        modules = registry.load(bedplate_clone.settings.modules)

        async def drain() -> None:
            worker = Worker(db, modules, WorkOptions(), note=print)
            tally = await worker.drain()
            assert (tally.failed, tally.retried) == (0, 0)

        mail_id = await send(db, a_mail())
        post.at_data = lambda address: "451 later"
        await drain()
        assert (await mail_of(db, mail_id)).status == "FAILED"
        post.at_data = lambda address: None
        await drain()
        assert not post.letters
        bedplate_clock.advance(minutes=2)
        await drain()
        assert (await mail_of(db, mail_id)).status == "SENT"


async def test_more_than_one_job_can_carry_is_carried_by_several(
    bedplate_clone: Clone, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    """After an outage nobody enqueues anything: the sweep starts as many jobs as there is work."""
    now = bedplate_clock.freeze()
    async with databases(bedplate_clone, post.url, 1) as (db,):
        async with db.transaction() as tx:
            for _ in range(MAILS):
                await send(tx, a_mail(not_before=now))
        ask(bedplate_clone, "DELETE FROM bedplate.jobs")
        modules = registry.load(bedplate_clone.settings.modules)
        worker = Worker(db, modules, WorkOptions(), note=print)
        await worker.drain()
        kinds = "SELECT count(*) FROM bedplate.jobs WHERE kind = 'delivery.deliver'"
        assert ask(bedplate_clone, kinds)[0][0] >= 2
    assert statuses(bedplate_clone) == {"SENT": MAILS}


async def test_a_worker_that_is_stopped_gives_back_what_it_has_in_hand(
    db: Database, post: PostOffice
) -> None:
    post.delay_s = 60.0
    mail_id = await send(db, a_mail())
    working = asyncio.create_task(deliver_due(db))
    assert await asyncio.to_thread(post.was_asked.wait, 30)
    working.cancel()
    # At once, though the server was just answering; not when its patience of 20 s ends.
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await working
    mail = await mail_of(db, mail_id)
    assert (mail.status, mail.state) == ("FAILED", "PENDING")
    assert [each["code"] for each in mail.errors] == ["interrupted"]
    post.delay_s = 0
    assert (await deliver_due(db)).sent == 1


async def test_a_mail_that_kills_its_workers_is_given_up(
    bedplate_clone: Clone, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    """A crash is an attempt; after the last one the mail is FAILED, by whoever looks next."""
    bedplate_clock.freeze()
    db = opened(bedplate_clone, post.url, attempts_max=3)
    await db.open()
    mail_id = await send(db, a_mail())
    crash = (
        "UPDATE delivery.outgoing_mails SET state = 'RUNNING', holder = 'dead',"
        " epoch = epoch + 1, attempts = attempts + 1, expires_at = bedplate.now()"
    )
    for _ in range(3):
        ask(bedplate_clone, crash)
    assert (await deliver_due(db)).total == 0
    mail = await mail_of(db, mail_id)
    assert (mail.state, mail.status, mail.retry_count) == ("FAILED", "FAILED", 2)
    assert mail.failure_reason == "The lease of dead ran out."
    assert not post.asked
    await db.close()
