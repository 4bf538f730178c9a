"""The example of auth's README, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from bedplate.testing import Clone
from tests.house.source import ROOT

README = ROOT / "src" / "bedplate" / "modules" / "auth" / "README.md"


def test_the_example_runs(
    bedplate_clone: Clone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text('modules = ["auth"]\n')
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    exec(compile(example, str(README), "exec"), {"__name__": "__main__"})
    assert re.fullmatch(r"<User id=\S+> <UserPreferences id=\S+>\n", capsys.readouterr().out)
    with psycopg.connect(bedplate_clone.url) as app:
        assert app.execute("SELECT email, name FROM auth.users").fetchall() == [
            ("Ada@example.com", "Ada")
        ]
