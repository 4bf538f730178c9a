"""A server that is away, or refuses us: mail waits for days, and what is given up is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from bedplate.kernel import registry
from bedplate.kernel.database import Database
from bedplate.modules.delivery import (
    MailChanged,
    MailFailed,
    MailRetried,
    cancel,
    deliver_due,
    mail_of,
    retry,
    retry_failed,
    send,
)
from bedplate.operations import checks
from bedplate.testing import Clone, FrozenClock
from tests.asking import as_owner, ask
from tests.modules.delivery.postmen import LEGAL, NEWS, PostOffice, a_mail, opened
from tests.modules.delivery.test_outcomes import Heard
from tests.sabotage import without

AWAY = "smtp://127.0.0.1:9?tls=off"
LONGEST_H = 6
"""The longest wait between two attempts, in hours."""


@asynccontextmanager
async def through(clone: Clone, url: str, **settings: Any) -> AsyncIterator[Database]:
    """The database of a worker whose mail goes to a server."""
    db = opened(clone, url, attempts_max=3, **settings)
    await db.open()
    yield db
    await db.close()


async def wait_out(db: Database, clock: FrozenClock, *, days: int) -> int:
    """Let days pass in which a worker tries what is due; return how many attempts failed."""
    failed = 0
    for _ in range(days * 24 // LONGEST_H):
        clock.advance(hours=LONGEST_H)
        failed += (await deliver_due(db)).failed
    return failed


def given_up(clone: Clone) -> list[str]:
    """Keys of the mails that `bedplate check` warns of."""
    modules = registry.load(clone.settings.modules, clone.settings.folder)
    (found,) = (each for each in checks.run(modules, clone.url) if each.id == "delivery.W002")
    return [str(row["dedupe_key"]) for row in found.rows]


def wrong_password(post: PostOffice) -> str:
    post.password = "right"
    return f"smtp://shop:wrong@127.0.0.1:{post.port}?tls=off"


@pytest.mark.parametrize("fault", ["away", "password", "closing"])
async def test_mail_outlives_an_outage_of_days(
    bedplate_clone: Clone, bedplate_clock: FrozenClock, fault: str
) -> None:
    bedplate_clock.freeze()
    with PostOffice(password="right" if fault == "password" else None) as post:
        right = f"smtp://shop:right@127.0.0.1:{post.port}?tls=off"
        url = {
            "away": AWAY,
            "password": right.replace("right", "wrong"),
            "closing": post.url,
        }[fault]
        post.at_rcpt = lambda address: "421 4.3.2 closing down" if fault == "closing" else None
        async with through(bedplate_clone, url) as db:
            mail_id = await send(db, a_mail(category=LEGAL))
            assert (await deliver_due(db)).failed == 1
            assert await wait_out(db, bedplate_clock, days=4) >= 10
            mail = await mail_of(db, mail_id)
            assert (mail.state, mail.status, mail.retry_count) == ("PENDING", "FAILED", 0)
            assert mail.failure_reason
            assert mail.next_retry_at is not None
        post.at_rcpt = lambda address: None
        async with through(bedplate_clone, right if fault == "password" else post.url) as db:
            assert await wait_out(db, bedplate_clock, days=1) == 0
            assert (await mail_of(db, mail_id)).status == "SENT"
            assert given_up(bedplate_clone) == []


async def test_after_its_days_it_is_given_up_named_and_tried_anew_by_hand(
    bedplate_clone: Clone, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    bedplate_clock.freeze()
    async with through(bedplate_clone, AWAY, outage_longest_ms=2 * 86_400_000) as db:
        mails = [a_mail(category=category) for category in (LEGAL, NEWS, LEGAL)]
        ids = [await send(db, mail) for mail in mails]
        taken_back = await send(db, a_mail())
        assert await cancel(db, taken_back)
        await wait_out(db, bedplate_clock, days=3)
        for each in ids:
            mail = await mail_of(db, each)
            assert (mail.state, mail.status, mail.next_retry_at) == ("FAILED", "FAILED", None)
        assert sorted(given_up(bedplate_clone)) == sorted(mail.dedupe_key for mail in mails)
        # Tried anew while the server is still away, they wait as long again.
        assert await retry_failed(db, category=LEGAL.name, most=1) == (ids[0],)
        assert await retry_failed(db, category=LEGAL.name) == (ids[2],)
        assert await retry_failed(db) == (ids[1],)
        assert await retry_failed(db) == ()
        await wait_out(db, bedplate_clock, days=1)
        assert (await mail_of(db, ids[0])).state == "PENDING"
    assert given_up(bedplate_clone) == []
    async with through(bedplate_clone, post.url) as db:
        await wait_out(db, bedplate_clock, days=1)
        assert {(await mail_of(db, each)).status for each in ids} == {"SENT"}
    actions = "SELECT action::text, count(*) FROM delivery.audit_logs GROUP BY 1 ORDER BY 2"
    assert ask(bedplate_clone, actions) == [("MAIL_CANCELLED", 1), ("MAIL_RETRIED", 3)]


async def test_waits_grow_with_the_outage(
    bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> None:
    began = bedplate_clock.freeze()
    async with through(bedplate_clone, AWAY) as db:
        mail_id = await send(db, a_mail())
        while True:
            assert (await deliver_due(db)).failed == 1
            at = bedplate_clock.now
            due = min(max(60.0, (at - began).total_seconds()), LONGEST_H * 3600.0)
            mail = await mail_of(db, mail_id)
            assert mail.next_retry_at is not None
            assert due / 2 <= (mail.next_retry_at - at).total_seconds() <= due
            if due == LONGEST_H * 3600:
                break
            bedplate_clock.set(mail.next_retry_at)


async def test_what_is_said_of_a_mail_counts_beside_an_outage(
    bedplate_clone: Clone, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    """An outage uses up no attempt, and gives none."""
    bedplate_clock.freeze()
    answers = iter(["421 closing", "451 later", None, "451 later", "451 later"])
    post.at_rcpt = lambda address: next(answers)
    post.at_data = lambda address: "421 closing"
    async with through(bedplate_clone, post.url) as db:
        heard = Heard(db)
        mail_id = await send(db, a_mail())
        counts: list[tuple[str, int]] = []
        for _ in range(5):
            assert (await deliver_due(db)).failed == 1
            mail = await mail_of(db, mail_id)
            counts.append((mail.state, mail.attempts))
            bedplate_clock.advance(hours=LONGEST_H)
        assert counts == [
            ("PENDING", 0),
            ("PENDING", 1),
            ("PENDING", 1),
            ("PENDING", 2),
            ("FAILED", 3),
        ]
        kinds: list[type[MailChanged]] = [MailFailed, *[MailRetried, MailFailed] * 4]
        assert [type(each) for each in heard.events] == kinds
        await retry(db, mail_id)
        post.at_rcpt = post.at_data = lambda address: None
        assert (await deliver_due(db)).sent == 1
        assert [type(each) for each in heard.events[9:-1]] == [MailRetried]


SINCE = "UPDATE delivery.outgoing_mails SET tried_from = bedplate.now() + interval '1 year'"
GRANT = "GRANT UPDATE ON delivery.outgoing_mails TO PUBLIC"
KEEPS = "ELSE OLD.tried_from END"


@pytest.mark.parametrize("is_there", [True, False])
async def test_nobody_makes_a_mail_wait_longer(
    bedplate_clone: Clone, bedplate_clock: FrozenClock, is_there: bool
) -> None:
    bedplate_clock.freeze()
    async with through(bedplate_clone, AWAY) as db:
        mail_id = await send(db, a_mail())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(bedplate_clone, SINCE)
        if not is_there:
            changed = without(
                bedplate_clone, "delivery.keep_mail", KEEPS, "ELSE NEW.tried_from END"
            )
            as_owner(bedplate_clone, f"{GRANT};{changed}")
            ask(bedplate_clone, SINCE)
        as_owner(bedplate_clone, SINCE)
        await wait_out(db, bedplate_clock, days=6)
        assert (await mail_of(db, mail_id)).state == ("FAILED" if is_there else "PENDING")
