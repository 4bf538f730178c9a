"""Asking for mail: once per key, in the caller's transaction, and whole on the wire."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel import ids
from bedplate.kernel.database import Database
from bedplate.kernel.errors import BedplateError
from bedplate.modules.auth import User, create_user
from bedplate.modules.delivery import (
    AddressInvalid,
    Attachment,
    Category,
    HeaderInvalid,
    MailConflict,
    MailInvalid,
    MailTooLarge,
    UnknownAddressee,
    cancel,
    deliver_due,
    mail_of,
    samples,
    send,
    set_preference,
)
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.delivery.postmen import LEGAL, NEWS, PostOffice, a_mail, opened
from tests.world import CLIENTS


async def test_a_mail_arrives_as_it_was_written(db: Database, post: PostOffice) -> None:
    pdf = b"%PDF-1.7\n\x00\xff binary"
    asked = a_mail(
        to="ada@example.com",
        subject="Rechnung für März – 12 €",
        text="Grüße\n.\n.. a line of dots\nFrom here\n" + "x" * 2_000 + "\n",
        html="<p>Grüße</p>",
        reply_to="help@shop.example",
        attachments=[Attachment("Rechnung März.pdf", pdf, "application/pdf")],
        category=LEGAL,
    )
    async with db.transaction() as tx:
        mail_id = await send(tx, asked)
    assert (await deliver_due(db)).sent == 1
    (letter,) = post.letters
    assert letter["Subject"] == asked.subject
    assert letter["From"] == "Shop <billing@shop.example>"
    assert (letter["To"], letter["Reply-To"]) == ("ada@example.com", "help@shop.example")
    assert letter["Message-ID"] == f"<{mail_id}@shop.example>"
    assert letter["List-Unsubscribe"] is None
    text, html = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == asked.text
    assert html.get_content().strip() == asked.html
    (attached,) = letter.iter_attachments()
    assert attached.get_filename() == "Rechnung März.pdf"
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_content() == pdf
    stored = await mail_of(db, mail_id)
    assert (stored.status, stored.retry_count, stored.failure_reason) == ("SENT", 0, None)
    assert stored.sent_at is not None


async def test_the_same_mail_again_is_the_same_mail(db: Database, post: PostOffice) -> None:
    asked = a_mail()
    first = await send(db, asked)
    async with db.transaction() as tx:
        assert await send(tx, asked) == first
    await deliver_due(db)
    assert await send(db, asked) == first
    await deliver_due(db)
    assert len(post.letters) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "Another"},
        {"text": "Another"},
        {"html": "<p>too</p>"},
        {"to": "someone@example.com"},
        {"category": LEGAL},
        {"attachments": [Attachment("a.txt", b"a")]},
        {"reply_to": "a@example.com"},
        {"id": ids.new()},
    ],
)
async def test_another_mail_under_the_key_is_a_conflict(
    db: Database, other: dict[str, Any]
) -> None:
    await send(db, a_mail(to="a@b.example", dedupe_key="key", subject="s", text="t"))
    given = {"to": "a@b.example", "dedupe_key": "key", "subject": "s", "text": "t"}
    with pytest.raises(MailConflict):
        await send(db, a_mail(**given | other))


async def test_two_at_once_under_one_key_are_one(
    bedplate_clone: Clone, db: Database, post: PostOffice
) -> None:
    for number in range(5):
        asked = a_mail(dedupe_key=f"race-{number}")
        answers = await asyncio.gather(*(send(db, asked) for _ in range(CLIENTS)))
        assert len(set(answers)) == 1
    assert ask(bedplate_clone, "SELECT count(*) FROM delivery.outgoing_mails") == [(5,)]


async def test_a_mail_commits_with_its_cause_or_not_at_all(
    bedplate_clone: Clone, db: Database, post: PostOffice
) -> None:
    async def failing() -> None:
        async with db.transaction() as tx:
            await send(tx, a_mail())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert ask(bedplate_clone, "SELECT FROM delivery.outgoing_mails") == []
    assert ask(bedplate_clone, "SELECT FROM bedplate.jobs") == []
    async with db.transaction() as tx:
        user = await create_user(tx, User(email="ada@example.com"))
        await send(tx, a_mail(user_id=user.id))
        assert (await deliver_due(db)).total == 0
    assert (await deliver_due(db)).sent == 1


async def test_a_user_that_is_none_is_refused(db: Database) -> None:
    with pytest.raises(UnknownAddressee):
        await send(db, a_mail(user_id=ids.new()))


async def test_an_id_of_the_callers_is_kept_and_belongs_to_one_mail(db: Database) -> None:
    mine = ids.new()
    assert await send(db, a_mail(id=mine)) == mine
    with pytest.raises(MailConflict):
        await send(db, a_mail(id=mine))


async def test_a_mail_waits_for_its_time(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    now = bedplate_clock.freeze()
    await send(db, a_mail(not_before=now + timedelta(hours=3)))
    assert (await deliver_due(db)).total == 0
    bedplate_clock.advance(hours=3)
    assert (await deliver_due(db)).sent == 1


INJECTIONS = ("a\nBcc: x@y.example", "a\r\n.\r\nMAIL FROM:<x>", "a\rb", "a\x00b", "a\u2028b")


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_header_cannot_be_broken_out_of(text: str) -> None:
    for field in ("to", "reply_to", "subject", "dedupe_key"):
        with pytest.raises(HeaderInvalid) as refused:
            a_mail(**{field: f"{text}@example.com"})
        assert field in refused.value.message
        assert text not in str(refused.value)
    with pytest.raises(HeaderInvalid):
        Attachment(text, b"")


@pytest.mark.parametrize("text", INJECTIONS[:4])
def test_nor_by_raw_sql(bedplate_clone: Clone, text: str) -> None:
    if "\0" in text:
        return
    with pytest.raises(Exception, match="ck_outgoing_mails_header"):
        ask(
            bedplate_clone,
            "INSERT INTO delivery.outgoing_mails (id, dedupe_key, category, is_mandatory,"
            " is_on_by_default, is_urgent, recipient, subject, body_text, content_hash)"
            " VALUES (bedplate.uuid7(), 'k', 'a.b', true, true, true, 'a@b.c', %s, 't',"
            " sha256('x'))",
            text,
        )


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "@example.com", "ada@", "ada@@example.com", "a b@example.com"),
        *("ada@exa mple.com", "ada@-example.com", "ada@example..com", ".ada@example.com"),
        *("Ada <ada@example.com>", "ada@example.com, bob@example.com", "ä@example.com"),
        *("a" * 65 + "@example.com", "a@" + "b" * 64 + ".com", "a@" + ("b" * 60 + ".") * 5),
        *('"a b"@example.com', "ada@example.com>", "ada@exam\u3000ple.com"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(AddressInvalid) as refused:
        a_mail(to=address)
    assert not address or address not in refused.value.message


def test_addresses_that_are_some() -> None:
    assert a_mail(to=" ada+x@Example.com ").to == "ada+x@Example.com"
    assert a_mail(to="ada@bücher.example").to == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"text": "\0"}, MailInvalid),
        ({"text": "\ud800"}, MailInvalid),
        ({"text": None}, MailInvalid),
        ({"html": b"x"}, MailInvalid),
        ({"subject": None}, HeaderInvalid),
        ({"subject": "x" * 501}, HeaderInvalid),
        ({"dedupe_key": ""}, MailInvalid),
        ({"dedupe_key": "x" * 256}, MailInvalid),
        ({"text": "x" * (20 * 1024 * 1024 + 1)}, MailTooLarge),
        ({"attachments": [Attachment("a", b"")] * 21}, MailTooLarge),
        ({"text": "{{unsubscribe_url}}", "category": LEGAL}, MailInvalid),
    ],
)
def test_a_mail_that_cannot_be_sent_is_refused_at_once(
    fields: dict[str, Any], error: type[BedplateError]
) -> None:
    with pytest.raises(error) as refused:
        a_mail(**fields)
    assert refused.value.next_step


@pytest.mark.parametrize("name", ["", "news", "News.daily", "a.b\n", "a." + "b" * 300])
def test_a_category_has_a_modules_name(name: str) -> None:
    with pytest.raises(MailInvalid):
        Category(name)


@pytest.mark.parametrize("kind", ["", "text", "multipart/mixed", "text/plain; x=y", "a/b\n"])
def test_an_attachment_has_a_type(kind: str) -> None:
    with pytest.raises(MailInvalid):
        Attachment("a.txt", b"", kind)


async def test_without_a_server_mail_waits(bedplate_clone: Clone) -> None:
    db = opened(bedplate_clone, None)
    await db.open()
    try:
        mail_id = await send(db, a_mail())
        with pytest.raises(BedplateError) as refused:
            await deliver_due(db)
        assert refused.value.code == "delivery.not_configured"
        assert (await mail_of(db, mail_id)).attempts == 0
        assert isinstance(mail_id, UUID)
    finally:
        await db.close()


def test_a_program_without_an_event_loop_asks_for_mail_all_the_same(bedplate_clone: Clone) -> None:
    project = open_project(settings=bedplate_clone.settings)
    try:
        mail_id = wait(send(project.db, a_mail()))
        wait(set_preference(project.db, NEWS, False, address="ada@example.com"))
        assert wait(mail_of(project.db, mail_id)).status == "PENDING"
        assert wait(cancel(project.db, mail_id))
    finally:
        wait(project.close())


async def test_the_samples_are_asked_for_once(db: Database, bedplate_clone: Clone) -> None:
    for added in (3, 0):
        async with db.transaction() as tx:
            assert await samples.load(tx) == added
    assert ask(bedplate_clone, "SELECT count(*) FROM delivery.outgoing_mails") == [(3,)]
