"""The example of accounting's README, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bedplate.testing import Clone
from tests.house.source import ROOT

README = ROOT / "src" / "bedplate" / "modules" / "accounting" / "README.md"


def test_the_example_runs(
    bedplate_clone: Clone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text('modules = ["auth", "mining", "accounting"]\n')
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    exec(compile(example, str(README), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "126.00 ISSUED 26.00\n"
