"""The example of credits' README, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from bedplate.testing import Clone
from tests.house.source import ROOT

README = ROOT / "src" / "bedplate" / "modules" / "credits" / "README.md"


def test_the_example_runs(
    bedplate_clone: Clone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    exec(compile(example, str(README), "exec"), {"__name__": "__main__"})
    assert "credits=150, held=0, available=150" in capsys.readouterr().out
    with psycopg.connect(bedplate_clone.url) as app:
        rows = app.execute("SELECT credits_used FROM credits.usage_history ORDER BY timestamp")
        assert rows.fetchall() == [(1,), (-1,)]
