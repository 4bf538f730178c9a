"""The how-to page about billing does what it says, as one program."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bedplate.testing import Clone, FrozenClock
from tests.journeys.test_howto_pages import program
from tests.modules.delivery.postmen import PostOffice


async def test_the_page_runs(
    bedplate_clone: Clone,
    post: PostOffice,
    frozen_clock: FrozenClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frozen_clock.set(datetime(2026, 3, 1, 9, tzinfo=UTC))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text(
        'modules = ["auth", "mining", "accounting", "delivery"]\n'
        '[delivery]\nsender = "Mine & Co <billing@mine.example>"\n'
        'links_url = "https://mine.example/mail"\n'
    )
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    monkeypatch.setenv("BEDPLATE_DELIVERY_SMTP_URL", post.url)
    names: dict[str, Any] = {"__name__": "__page__"}
    running = eval(program("bill-customers"), names)
    assert inspect.iscoroutine(running)
    try:
        await running
    finally:
        await names["project"].close()
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
