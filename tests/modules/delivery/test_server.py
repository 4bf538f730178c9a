"""How mail is handed over: TLS, logins, and no secret anywhere it may be seen."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bedplate.kernel.database import Database
from bedplate.kernel.errors import SettingsError
from bedplate.kernel.sources import Source
from bedplate.modules.delivery import DeliverySettings, deliver_due, mail_of, send
from bedplate.modules.delivery.settings import SmtpServer
from bedplate.testing import Clone
from tests.asking import ask
from tests.house.source import ROOT
from tests.modules.delivery import certificates
from tests.modules.delivery.postmen import PostOffice, a_mail, opened

PASSWORD = "s3cr3t-P@ss/w0rd"
QUOTED = "s3cr3t-P%40ss%2Fw0rd"


@asynccontextmanager
async def using(clone: Clone, url: str, **settings: Any) -> AsyncIterator[Database]:
    db = opened(clone, url, **settings)
    await db.open()
    try:
        yield db
    finally:
        await db.close()


@pytest.mark.parametrize("is_implicit", [False, True])
async def test_a_login_over_tls(bedplate_clone: Clone, tmp_path: Path, is_implicit: bool) -> None:
    context, trusted = certificates.make(tmp_path)
    scheme = "smtps" if is_implicit else "smtp"
    with PostOffice(password=PASSWORD, tls=context, is_implicit=is_implicit) as post:
        url = f"{scheme}://shop:{QUOTED}@localhost:{post.port}?ca={trusted}"
        async with using(bedplate_clone, url) as db:
            await send(db, a_mail())
            assert (await deliver_due(db)).sent == 1
        assert len(post.letters) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    bedplate_clone: Clone, tmp_path: Path
) -> None:
    context, _ = certificates.make(tmp_path)
    with PostOffice(password=PASSWORD, tls=context) as post:
        async with using(bedplate_clone, f"smtp://shop:{QUOTED}@localhost:{post.port}") as db:
            mail_id = await send(db, a_mail())
            assert (await deliver_due(db)).failed == 1
            assert PASSWORD not in str((await mail_of(db, mail_id)).errors)
        assert not post.letters


async def test_a_server_without_tls_gets_nothing(bedplate_clone: Clone, post: PostOffice) -> None:
    async with using(bedplate_clone, f"smtp://shop:{QUOTED}@127.0.0.1:{post.port}") as db:
        await send(db, a_mail())
        assert (await deliver_due(db)).failed == 1
    assert not post.asked


async def test_a_wrong_password_is_no_fault_of_the_mail_and_is_seen_nowhere(
    bedplate_clone: Clone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    context, trusted = certificates.make(tmp_path)
    with PostOffice(password="another", tls=context) as post:
        url = f"smtp://shop-login:{QUOTED}@localhost:{post.port}?ca={trusted}"
        async with using(bedplate_clone, url) as db:
            mail_id = await send(db, a_mail())
            assert (await deliver_due(db)).failed == 1
            mail = await mail_of(db, mail_id)
            assert (mail.status, mail.state) == ("FAILED", "PENDING")
            assert mail.failure_reason == "535: the server refuses our login."
            seen = [said(caplog), repr(db.settings(DeliverySettings)), repr(mail)]
    seen += map(str, ask(bedplate_clone, "SELECT m::text FROM delivery.outgoing_mails m"))
    seen += map(str, ask(bedplate_clone, "SELECT a::text FROM delivery.audit_logs a"))
    seen += map(str, ask(bedplate_clone, "SELECT j::text FROM bedplate.jobs j"))
    for secret in (PASSWORD, QUOTED, "shop-login"):
        assert not [each for each in seen if secret in each]


async def test_what_a_server_says_back_is_cleaned(bedplate_clone: Clone) -> None:
    with PostOffice(password=PASSWORD) as post:
        post.at_rcpt = lambda address: f"550 shop, {PASSWORD} is\twrong"
        url = f"smtp://shop:{QUOTED}@127.0.0.1:{post.port}?tls=off"
        async with using(bedplate_clone, url) as db:
            mail_id = await send(db, a_mail())
            assert (await deliver_due(db)).bounced == 1
            assert (await mail_of(db, mail_id)).failure_reason == "550: ***, *** is wrong"


def said(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged by anyone but the server under test, which is the mail's destination."""
    ours = [each for each in caplog.records if each.name != "mail.log"]
    return "\n".join(each.getMessage() for each in ours)


async def test_a_token_is_kept_as_its_hash_only(
    db: Database, bedplate_clone: Clone, post: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await send(db, a_mail(text="{{open_url}} {{unsubscribe_url}}"))
    await deliver_due(db)
    body = post.letters[0].get_body(("plain",))
    assert body is not None
    links = body.get_content().split()
    tokens = [link.rpartition("/")[2] for link in links]
    assert len(set(tokens)) == 2
    tables = ("outgoing_mails", "mail_tokens", "mail_preferences", "audit_logs")
    stored = [str(ask(bedplate_clone, f"SELECT t::text FROM delivery.{each} t")) for each in tables]
    stored += [str(ask(bedplate_clone, "SELECT t::text FROM bedplate.jobs t")), said(caplog)]
    for token in tokens:
        assert len(token) >= 43
        assert not [each for each in stored if token in each]


async def test_long_addresses_and_links_stay_whole(db: Database, post: PostOffice) -> None:
    address = "a" * 60 + "@" + ".".join(["b" * 60] * 3)
    mail_id = await send(db, a_mail(to=address, reply_to=address, subject="Ä" * 300))
    assert (await deliver_due(db)).sent == 1
    (letter,) = post.letters
    raw = dict(letter.raw_items())
    assert raw["To"].split() == raw["Reply-To"].split() == [address]
    assert raw["Message-ID"] == f"<{mail_id}@shop.example>"
    link = r"<https://shop\.example/mail/unsubscribe/[\w-]{43}>"
    assert re.fullmatch(link, raw["List-Unsubscribe"])
    assert letter["Subject"] == "Ä" * 300
    assert max(len(line) for line in letter.as_bytes().splitlines()) < 998


def read(key: str, value: object) -> Any:
    return DeliverySettings.KEYS[key](Source(f"delivery.{key}", "the test", value))


def test_a_servers_url_is_read() -> None:
    assert read("smtp_url", f"smtp://shop:{QUOTED}@mail.example") == SmtpServer(
        host="mail.example", port=587, username="shop", password=PASSWORD
    )
    assert read("smtp_url", "smtps://mail.example:2465/") == SmtpServer(
        host="mail.example", port=2465, is_tls=True, is_starttls=False
    )
    plain = read("smtp_url", "smtp://relay:25?tls=off")
    assert (plain.is_tls, plain.is_starttls, plain.port) == (False, False, 25)
    assert PASSWORD not in repr(read("smtp_url", f"smtp://shop:{QUOTED}@mail.example"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("smtp_url", url) for url in ("", "mail.example", "http://mail.example", "smtp://", 3)),
        ("smtp_url", f"smtp://shop:{QUOTED}@mail.example?tls=off"),
        ("smtp_url", f"smtps://shop:{QUOTED}@mail.example?tls=off"),
        ("smtp_url", f"smtp://shop:{QUOTED}@mail.example?verify=no"),
        ("smtp_url", f"smtp://shop:{QUOTED}@mail.example:port"),
        ("smtp_url", f"smtp://shop:{PASSWORD}@mail.example"),
        ("sender", "Shop"),
        ("sender", "Shop\nBcc: x@y.example <a@b.example>"),
        ("sender", 3),
        ("links_url", "shop.example"),
        ("links_url", "ftp://shop.example"),
        ("links_url", "https://[shop.example"),
        ("links_url", "https://shop.example/a\r\nBcc: x"),
        ("links_url", "https://bücher.example"),
        ("timeout_ms", 0),
        ("attempts_max", 51),
    ],
)
def test_a_setting_that_does_not_work_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(SettingsError) as refused:
        read(key, value)
    assert f"delivery.{key}" in refused.value.message
    assert refused.value.next_step
    assert "s3cr3t" not in str(refused.value)


def test_the_example_of_an_environment_names_every_setting() -> None:
    example = (ROOT / ".env.example").read_text()
    for key in DeliverySettings.KEYS:
        assert f"#BEDPLATE_DELIVERY_{key.upper()}=" in example
    assert set(DeliverySettings.KEYS) == {each.name for each in fields(DeliverySettings)}
