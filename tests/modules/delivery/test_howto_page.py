"""The how-to page about mail does what it says, as one program."""

from __future__ import annotations

import pytest

from tests.modules.delivery.postmen import PostOffice
from tests.reader import Reader

SETTINGS = """
modules = ["auth", "delivery"]
[delivery]
sender = "Shop <billing@shop.example>"
links_url = "https://shop.example/mail"
"""


async def test_the_page_runs(
    reader: Reader,
    post: PostOffice,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BEDPLATE_DELIVERY_SMTP_URL", post.url)
    await reader.follow_async("docs/howto/send-mail.md", SETTINGS)
    said = capsys.readouterr().out
    assert "SENT 0 None None" in said
    assert "This link is not ours." in said
    (letter,) = post.letters
    assert [each.get_filename() for each in letter.iter_attachments()] == ["receipt.pdf"]
