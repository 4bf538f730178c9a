"""What a server says, and what becomes of the mail: NO2 of the acceptance list, by numbers."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate.kernel import ids
from bedplate.kernel.database import Database
from bedplate.kernel.events import Subscription, Subscriptions
from bedplate.kernel.transaction import Transaction
from bedplate.modules.delivery import (
    MailBounced,
    MailChanged,
    MailDelivered,
    MailFailed,
    MailOver,
    MailRetried,
    OutgoingMail,
    UnknownMail,
    cancel,
    deliver_due,
    mail_of,
    record_bounce,
    retry,
    send,
    set_preference,
)
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.delivery.postmen import DROP, DROP_AFTERWARDS, NEWS, PostOffice, a_mail, opened

LATER = {"hours": 7}
"""Longer than any wait between two attempts."""


async def became(db: Database, mail_id: UUID) -> tuple[Any, ...]:
    mail = await mail_of(db, mail_id)
    return mail.state, mail.status, mail.retry_count


@pytest.mark.parametrize(
    ("at", "answer", "reason"),
    [
        ("rcpt", "450 4.2.1 mailbox busy", "450: 4.2.1 mailbox busy"),
        ("data", "451 4.3.0 try later", "451: 4.3.0 try later"),
        ("rcpt", DROP, "The server broke the connection."),
        ("data", DROP, "The server broke the connection."),
    ],
)
async def test_what_may_pass_is_tried_again(
    db: Database,
    post: PostOffice,
    bedplate_clock: FrozenClock,
    at: str,
    answer: str,
    reason: str,
) -> None:
    now = bedplate_clock.freeze()
    setattr(post, f"at_{at}", lambda address: answer)
    mail_id = await send(db, a_mail())
    assert (await deliver_due(db)).failed == 1
    mail = await mail_of(db, mail_id)
    assert (mail.status, mail.retry_count, mail.sent_at) == ("FAILED", 0, None)
    assert mail.failure_reason == reason
    assert mail.next_retry_at is not None
    # Half a minute to a minute: the first wait, less what chance takes off.
    assert timedelta(seconds=30) <= mail.next_retry_at - now <= timedelta(seconds=60)
    assert (await deliver_due(db)).total == 0
    post.at_rcpt = post.at_data = lambda address: None
    bedplate_clock.advance(minutes=1)
    assert (await deliver_due(db)).sent == 1
    mail = await mail_of(db, mail_id)
    assert (mail.status, mail.retry_count, mail.next_retry_at) == ("SENT", 1, None)
    assert mail.failure_reason is None


async def test_retries_wait_twice_as_long_each_time_and_end(
    bedplate_clone: Clone, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    post.at_data = lambda address: "451 later"
    db = opened(bedplate_clone, post.url, attempts_max=6, retry_longest_ms=400_000)
    await db.open()
    mail_id = await send(db, a_mail())
    waits: list[float] = []
    for attempt in range(6):
        now = bedplate_clock.freeze()
        assert (await deliver_due(db)).failed == 1
        mail = await mail_of(db, mail_id)
        assert mail.retry_count == attempt < mail.max_attempts
        if mail.next_retry_at is not None:
            waits.append((mail.next_retry_at - now).total_seconds())
        bedplate_clock.advance(**LATER)
    assert len(waits) == 5
    for wait, due in zip(waits, (60, 120, 240, 400, 400), strict=True):
        assert due / 2 <= wait <= due
    assert len(set(waits)) == 5
    assert await became(db, mail_id) == ("FAILED", "FAILED", 5)
    assert (await deliver_due(db)).total == 0
    assert len(mail.errors) == 6
    # By hand it may be tried anew, with all its attempts.
    post.at_data = lambda address: None
    await retry(db, mail_id)
    assert (await deliver_due(db)).sent == 1
    assert await became(db, mail_id) == ("SUCCEEDED", "SENT", 0)
    await db.close()


@pytest.mark.parametrize(
    ("at", "answer"),
    [("rcpt", "550 5.1.1 no such user"), ("data", "554 5.7.1 refused"), ("rcpt", "553 no")],
)
async def test_what_is_refused_for_good_bounces_at_once(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock, at: str, answer: str
) -> None:
    setattr(post, f"at_{at}", lambda address: answer)
    mail_id = await send(db, a_mail())
    assert (await deliver_due(db)).bounced == 1
    mail = await mail_of(db, mail_id)
    assert (mail.state, mail.status, mail.sent_at) == ("SUCCEEDED", "BOUNCED", None)
    assert (mail.failure_reason or "")[:3] == answer[:3]
    bedplate_clock.advance(**LATER)
    assert (await deliver_due(db)).total == 0
    assert post.asked.total() == 1
    with pytest.raises(MailOver):
        await retry(db, mail_id)


async def test_a_mail_taken_before_the_connection_broke_goes_again_under_its_id(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    """The one window that no sender can close: so whoever reads it can tell the two are one."""
    bedplate_clock.freeze()
    post.at_data = lambda address: DROP_AFTERWARDS
    mail_id = await send(db, a_mail())
    assert (await deliver_due(db)).failed == 1
    post.at_data = lambda address: None
    bedplate_clock.advance(**LATER)
    assert (await deliver_due(db)).sent == 1
    assert post.ids() == {f"<{mail_id}@shop.example>": 2}


async def test_a_server_that_does_not_answer_is_given_up_in_time(
    bedplate_clone: Clone, post: PostOffice
) -> None:
    # Neither the server nor the pause it takes is what ends it.
    post.delay_s = 600.0
    db = opened(bedplate_clone, post.url, timeout_ms=200)
    await db.open()
    mail_id = await send(db, a_mail())
    async with asyncio.timeout(60):
        assert (await deliver_due(db)).failed == 1
    assert (await mail_of(db, mail_id)).failure_reason == "The server did not answer in time."
    await db.close()


async def test_a_server_that_is_not_there_costs_an_attempt_and_no_more(
    bedplate_clone: Clone, post: PostOffice
) -> None:
    db = opened(bedplate_clone, "smtp://127.0.0.1:9?tls=off")
    await db.open()
    mail_id = await send(db, a_mail())
    assert (await deliver_due(db)).failed == 1
    assert await became(db, mail_id) == ("PENDING", "FAILED", 0)
    await db.close()


async def test_one_bad_address_does_not_hold_up_the_rest(db: Database, post: PostOffice) -> None:
    post.at_rcpt = lambda address: "550 no" if address.startswith("bad") else None
    for number in range(3):
        await send(db, a_mail(to=f"good-{number}@example.com"))
        await send(db, a_mail(to=f"bad-{number}@example.com"))
    done = await deliver_due(db)
    assert (done.sent, done.bounced) == (3, 3)
    assert len(post.letters) == 3


async def test_mails_share_a_connection_and_survive_its_end(db: Database, post: PostOffice) -> None:
    for _ in range(5):
        await send(db, a_mail())
    before = post.connections
    assert (await deliver_due(db)).sent == 5
    assert post.connections == before + 1


async def test_a_mail_that_waits_can_be_taken_back(
    db: Database, post: PostOffice, bedplate_clone: Clone
) -> None:
    mail_id = await send(db, a_mail())
    assert await cancel(db, mail_id)
    assert (await deliver_due(db)).total == 0
    mail = await mail_of(db, mail_id)
    assert (mail.state, mail.status) == ("CANCELLED", "FAILED")
    assert mail.failure_reason == "It was cancelled."
    with pytest.raises(MailOver):
        await cancel(db, mail_id)
    with pytest.raises(MailOver):
        await retry(db, mail_id)
    with pytest.raises(UnknownMail):
        await cancel(db, ids.new())
    actions = ask(bedplate_clone, "SELECT action::text FROM delivery.audit_logs")
    assert actions == [("MAIL_CANCELLED",)]


@pytest.mark.parametrize("answer", ["451 later", "421 closing"])
async def test_a_mail_in_hand_is_stopped_where_it_fails(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock, answer: str
) -> None:
    mail_id = await send(db, a_mail())
    is_cancelled = threading.Event()

    def later(address: str) -> str:
        assert is_cancelled.wait(10)
        return answer

    post.at_data = later
    working = asyncio.create_task(deliver_due(db))
    assert await asyncio.to_thread(post.was_asked.wait, 30)
    assert not await cancel(db, mail_id)
    is_cancelled.set()
    await working
    assert (await became(db, mail_id))[:2] == ("CANCELLED", "FAILED")


async def test_bounced_and_unsubscribed_are_the_end_of_it(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    bounced = await send(db, a_mail(to="gone@example.com"))
    post.at_rcpt = lambda address: "550 5.1.1 no such user"
    assert (await deliver_due(db)).bounced == 1
    post.at_rcpt = lambda address: None
    await set_preference(db, NEWS, False, address="no@example.com")
    declined = await send(db, a_mail(to="no@example.com", category=NEWS))
    assert (await deliver_due(db)).unsubscribed == 1
    # It is wanted again, or the mailbox is there: what is over stays so.
    await set_preference(db, NEWS, True, address="no@example.com")
    for mail_id, status in ((bounced, "BOUNCED"), (declined, "UNSUBSCRIBED")):
        with pytest.raises(MailOver):
            await retry(db, mail_id)
        bedplate_clock.advance(**LATER)
        assert (await deliver_due(db)).total == 0
        mail = await mail_of(db, mail_id)
        assert (mail.status, mail.retry_count, mail.next_retry_at) == (status, 0, None)
    assert sum(post.asked.values()) == 1
    assert post.letters == []


async def test_a_bounce_that_comes_back_later(db: Database, post: PostOffice) -> None:
    mail_id = await send(db, a_mail())
    with pytest.raises(MailOver):
        await record_bounce(db, mail_id, "too early")
    await deliver_due(db)
    for _ in range(2):
        await record_bounce(db, mail_id, "mailbox\r\nfull")
    mail = await mail_of(db, mail_id)
    assert (mail.status, mail.failure_reason) == ("BOUNCED", "mailbox full")
    assert mail.sent_at is not None
    with pytest.raises(UnknownMail):
        await record_bounce(db, ids.new(), "")


class Heard:
    """What was told, and by whom a failure is told in turn."""

    def __init__(self, db: Database) -> None:
        self.events: list[MailChanged] = []
        self.fails = False
        db.subscriptions = Subscriptions([Subscription(MailChanged, self.hear)])

    async def hear(self, tx: Transaction, event: MailChanged) -> None:
        self.events.append(event)
        if self.fails:
            await tx.run(OutgoingMail.__table__.delete())  # which the app may not


async def test_who_listens_hears_of_every_change_in_its_transaction(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    heard = Heard(db)
    bedplate_clock.freeze()
    post.at_data = lambda address: "451 later"
    mail_id = await send(db, a_mail())
    await deliver_due(db)
    post.at_data = lambda address: None
    bedplate_clock.advance(**LATER)
    await deliver_due(db)
    await record_bounce(db, mail_id, "gone")
    assert [type(each) for each in heard.events] == [
        *(MailFailed, MailRetried, MailDelivered, MailBounced)
    ]
    failed, retried, delivered, bounced = heard.events
    assert {each.mail_id for each in heard.events} == {mail_id}
    assert (failed.retry_count, failed.failure_reason) == (0, "451: later")
    assert failed.next_retry_at is not None
    assert (retried.status, retried.retry_count) == ("PENDING", 1)
    assert delivered.sent_at == bedplate_clock.now
    assert (bounced.status, bounced.failure_reason) == ("BOUNCED", "gone")


async def test_a_listener_that_fails_makes_no_mail_go_twice(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard(db)
    heard.fails = True
    mail_id = await send(db, a_mail())
    assert (await deliver_due(db)).sent == 1
    bedplate_clock.advance(**LATER)
    assert (await deliver_due(db)).total == 0
    assert len(post.letters) == 1
    assert (await mail_of(db, mail_id)).status == "SENT"
    assert "a subscriber of MailDelivered failed" in caplog.text
