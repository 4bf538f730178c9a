"""The example of delivery's README, run as it stands there, against a real server."""

from __future__ import annotations

import pytest

from tests.modules.delivery.postmen import SENDER, PostOffice
from tests.reader import Reader


def test_the_example_runs(
    reader: Reader,
    post: PostOffice,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BEDPLATE_DELIVERY_SMTP_URL", post.url)
    monkeypatch.setenv("BEDPLATE_DELIVERY_SENDER", SENDER)
    reader.follow("src/bedplate/modules/delivery/README.md", 'modules = ["auth", "delivery"]')
    said = capsys.readouterr().out
    assert "sent=1" in said
    assert said.endswith("SENT\n")
    (letter,) = post.letters
    assert (letter["To"], letter["From"]) == ("ada@example.org", SENDER)
