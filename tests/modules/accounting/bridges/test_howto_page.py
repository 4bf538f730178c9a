"""The how-to page about billing does what it says, as one program."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bedplate.testing import FrozenClock
from tests.modules.delivery.postmen import PostOffice
from tests.reader import Reader

SETTINGS = """
modules = ["auth", "mining", "accounting", "delivery"]
[delivery]
sender = "Mine & Co <billing@mine.example>"
links_url = "https://mine.example/mail"
"""


async def test_the_page_runs(
    reader: Reader,
    post: PostOffice,
    frozen_clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frozen_clock.set(datetime(2026, 3, 1, 9, tzinfo=UTC))
    monkeypatch.setenv("BEDPLATE_DELIVERY_SMTP_URL", post.url)
    await reader.follow_async("docs/howto/bill-customers.md", SETTINGS)
    assert capsys.readouterr().out.splitlines() == [
        "2026030101 126.00 2026-03-15",
        "SENT",
        "0",
        "126.00 PAID 0.00",
        "INVOICE_ISSUED SENT ada@example.org",
        "PAYMENT_RECEIVED SENT ada@example.org",
    ]
    assert [str(each["Subject"]) for each in post.letters] == [
        "Invoice 2026030101",
        "Invoice 2026030101 is paid",
    ]
