"""The example of delivery's README, run as it stands there, against a real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bedplate.testing import Clone
from tests.house.source import ROOT
from tests.modules.delivery.postmen import SENDER, PostOffice

README = ROOT / "src" / "bedplate" / "modules" / "delivery" / "README.md"


def test_the_example_runs(
    bedplate_clone: Clone,
    post: PostOffice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text('modules = ["auth", "delivery"]\n')
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    monkeypatch.setenv("BEDPLATE_DELIVERY_SMTP_URL", post.url)
    monkeypatch.setenv("BEDPLATE_DELIVERY_SENDER", SENDER)
    exec(compile(example, str(README), "exec"), {"__name__": "__main__"})
    said = capsys.readouterr().out
    assert "sent=1" in said
    assert said.endswith("SENT\n")
    (letter,) = post.letters
    assert (letter["To"], letter["From"]) == ("ada@example.org", SENDER)
