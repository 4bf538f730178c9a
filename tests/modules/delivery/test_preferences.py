"""What addressees want (NO3): categories, defaults, mail that has to come, links that say no."""

from __future__ import annotations

import itertools
import re
from typing import Any
from uuid import UUID

import pytest

from bedplate.kernel import ids
from bedplate.kernel.context import acting
from bedplate.kernel.database import Database
from bedplate.modules.auth import User, users
from bedplate.modules.delivery import (
    AddressInvalid,
    CategoryMandatory,
    LinksNotConfigured,
    UnknownAddressee,
    UnknownToken,
    deliver_due,
    mail_of,
    preferences_of,
    record_open,
    send,
    set_preference,
    unsubscribe,
)
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.delivery.postmen import ASKED_FOR, CODES, LEGAL, NEWS, PostOffice, a_mail, opened

CATEGORIES = (NEWS, ASKED_FOR, LEGAL, CODES)
SAID = (None, True, False)


async def new_user(db: Database) -> UUID:
    return (await users.create(db, User(email=f"{ids.new()}@example.com"))).id


async def test_every_category_with_everything_that_can_be_said(
    db: Database, post: PostOffice
) -> None:
    """The whole matrix: category, what the user said, what the address said."""
    expected: dict[UUID, str] = {}
    for category, by_user, by_address in itertools.product(CATEGORIES, SAID, SAID):
        user_id, address = await new_user(db), f"{ids.new()}@example.com"
        for said, whose in ((by_user, {"user_id": user_id}), (by_address, {"address": address})):
            given: dict[str, Any] = dict(whose)
            if said is not None and not category.is_mandatory:
                await set_preference(db, category, said, **given)
        mail_id = await send(db, a_mail(to=address, user_id=user_id, category=category))
        if category.is_mandatory:
            wanted = True
        elif False in (by_user, by_address):
            wanted = False
        else:
            wanted = True in (by_user, by_address) or category.is_on_by_default
        expected[mail_id] = "SENT" if wanted else "UNSUBSCRIBED"
    while (await deliver_due(db)).total:
        pass
    assert len(expected) == 36
    assert {mail_id: (await mail_of(db, mail_id)).status for mail_id in expected} == expected
    assert len(post.letters) == list(expected.values()).count("SENT") == 25


async def test_mail_that_has_to_come_cannot_be_declined(db: Database) -> None:
    with pytest.raises(CategoryMandatory):
        await set_preference(db, LEGAL, False, address="ada@example.com")
    await set_preference(db, LEGAL, True, address="ada@example.com")


async def test_nor_is_it_held_back_by_a_row_that_says_so(
    db: Database, bedplate_clone: Clone, post: PostOffice
) -> None:
    ask(
        bedplate_clone,
        "INSERT INTO delivery.mail_preferences (id, address, category, is_wanted)"
        " VALUES (bedplate.uuid7(), 'ada@example.com', %s, false)",
        LEGAL.name,
    )
    await send(db, a_mail(to="ada@example.com", category=LEGAL))
    assert (await deliver_due(db)).sent == 1


async def test_what_is_said_after_the_mail_was_asked_for_counts(
    db: Database, post: PostOffice
) -> None:
    mail_id = await send(db, a_mail(to="Ada@example.com"))
    await set_preference(db, NEWS, False, address="ada@EXAMPLE.com")
    assert (await deliver_due(db)).unsubscribed == 1
    mail = await mail_of(db, mail_id)
    assert (mail.status, mail.sent_at) == ("UNSUBSCRIBED", None)
    assert not post.asked


async def test_a_choice_can_be_read_and_changed(db: Database) -> None:
    user_id = await new_user(db)
    for wanted in (False, False, True):
        await set_preference(db, NEWS, wanted, user_id=user_id)
        found = await preferences_of(db, user_id=user_id)
        assert found.wanted == {NEWS.name: wanted}
    assert (await preferences_of(db, address="ada@example.com")).wanted == {}


async def test_a_choice_is_somebodys(db: Database) -> None:
    for whose in ({}, {"user_id": ids.new(), "address": "ada@example.com"}, {"address": "ada"}):
        given: dict[str, Any] = dict(whose)
        with pytest.raises(AddressInvalid):
            await set_preference(db, NEWS, True, **given)
    with pytest.raises(UnknownAddressee):
        await set_preference(db, NEWS, True, user_id=ids.new())


async def test_who_changed_a_choice_is_known(db: Database, bedplate_clone: Clone) -> None:
    user_id = await new_user(db)
    with acting(user_id, request_id="r-1"):
        async with db.transaction() as tx:
            await set_preference(tx, NEWS, False, user_id=user_id)
    rows = ask(
        bedplate_clone,
        "SELECT action::text, entity_type, user_id, request_id,"
        " changes -> 'after' ->> 'is_wanted' FROM delivery.audit_logs",
    )
    assert rows == [("ROW_INSERTED", "mail_preferences", user_id, "r-1", "false")]


# Links


def tokens(post: PostOffice) -> dict[str, list[str]]:
    """The tokens in the letters that arrived, as a reader's program sees them."""
    found: dict[str, list[str]] = {"open": [], "unsubscribe": []}
    for letter in post.letters:
        html = letter.get_body(("html",))
        shown = "" if html is None else html.get_content()
        for kind, token in re.findall(r"/mail/(\w+)/([\w-]+)", shown):
            found[kind].append(token)
    return found


LINKED = {
    "text": "Read. {{unsubscribe_url}}\n",
    "html": '<p>Read.</p><a href="{{unsubscribe_url}}">No more</a><img src="{{open_url}}">',
}


async def test_the_first_opening_counts(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    bedplate_clock.freeze()
    mail_id = await send(db, a_mail(**LINKED))
    await deliver_due(db)
    (token,) = tokens(post)["open"]
    assert not (await mail_of(db, mail_id)).is_read
    opened_at = bedplate_clock.advance(hours=1)
    assert await record_open(db, token)
    bedplate_clock.advance(hours=1)
    assert await record_open(db, token)
    mail = await mail_of(db, mail_id)
    assert (mail.is_read, mail.opened_at) == (True, opened_at)
    for other in (token[:-1], "", token.swapcase(), "\0", tokens(post)["unsubscribe"][0]):
        assert not await record_open(db, other)


async def test_a_link_says_no_once_for_all_of_its_kind(
    db: Database, post: PostOffice, bedplate_clone: Clone
) -> None:
    mail_id = await send(db, a_mail(to="Ada@example.com", **LINKED))
    await deliver_due(db)
    (letter,) = post.letters
    (token,) = tokens(post)["unsubscribe"]
    assert letter["List-Unsubscribe"] == f"<https://shop.example/mail/unsubscribe/{token}>"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for _ in range(2):
        done = await unsubscribe(db, token)
        assert (done.mail_id, done.category, done.recipient) == (
            *(mail_id, NEWS.name, "Ada@example.com"),
        )
    assert (await mail_of(db, mail_id)).status == "UNSUBSCRIBED"
    await send(db, a_mail(to="ada@example.com"))
    await send(db, a_mail(to="ada@example.com", category=LEGAL))
    done_later = await deliver_due(db)
    assert (done_later.unsubscribed, done_later.sent) == (1, 1)
    actions = ask(bedplate_clone, "SELECT action::text FROM delivery.audit_logs ORDER BY id")
    assert [each for (each,) in actions] == ["ROW_INSERTED", "UNSUBSCRIBED"]
    for other in (token[:-1], tokens(post)["open"][0]):
        with pytest.raises(UnknownToken):
            await unsubscribe(db, other)


async def test_it_is_the_users_choice_where_the_mail_was_a_users(
    db: Database, post: PostOffice
) -> None:
    user_id = await new_user(db)
    await send(db, a_mail(to="old@example.com", user_id=user_id, **LINKED))
    await deliver_due(db)
    await unsubscribe(db, tokens(post)["unsubscribe"][0])
    assert (await preferences_of(db, user_id=user_id)).wanted == {NEWS.name: False}
    await send(db, a_mail(to="new@example.com", user_id=user_id))
    assert (await deliver_due(db)).unsubscribed == 1


async def test_where_a_mail_arrived_twice_the_links_of_both_work(
    db: Database, post: PostOffice, bedplate_clock: FrozenClock
) -> None:
    bedplate_clock.freeze()
    post.at_data = lambda address: "drop afterwards"
    await send(db, a_mail(**LINKED))
    await deliver_due(db)
    post.at_data = lambda address: None
    bedplate_clock.advance(hours=1)
    await deliver_due(db)
    first, second = tokens(post)["open"]
    assert first != second
    assert await record_open(db, first)
    assert await record_open(db, second)


async def test_a_link_that_leads_nowhere_is_a_failure_that_says_so(
    bedplate_clone: Clone, post: PostOffice
) -> None:
    db = opened(bedplate_clone, post.url, links_url=None)
    await db.open()
    mail_id = await send(db, a_mail(**LINKED))
    plain = await send(db, a_mail())
    done = await deliver_due(db)
    assert (done.failed, done.sent) == (1, 1)
    mail = await mail_of(db, mail_id)
    assert [each["code"] for each in mail.errors] == [LinksNotConfigured.code]
    assert post.letters[0]["Message-ID"] == f"<{plain}@shop.example>"
    assert post.letters[0]["List-Unsubscribe"] is None
    await db.close()
