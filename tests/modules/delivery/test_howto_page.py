"""The how-to page about mail does what it says, as one program."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from bedplate.testing import Clone
from tests.journeys.test_howto_pages import program
from tests.modules.delivery.postmen import PostOffice


async def test_the_page_runs(
    bedplate_clone: Clone,
    post: PostOffice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text(
        'modules = ["auth", "delivery"]\n'
        '[delivery]\nsender = "Shop <billing@shop.example>"\n'
        'links_url = "https://shop.example/mail"\n'
    )
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    monkeypatch.setenv("BEDPLATE_DELIVERY_SMTP_URL", post.url)
    names: dict[str, Any] = {"__name__": "__page__"}
    running = eval(program("send-mail"), names)
    assert inspect.iscoroutine(running)
    try:
        await running
    finally:
        await names["project"].close()
    said = capsys.readouterr().out
    assert "SENT 0 None None" in said
    assert "This link is not ours." in said
    (letter,) = post.letters
    assert [each.get_filename() for each in letter.iter_attachments()] == ["receipt.pdf"]
