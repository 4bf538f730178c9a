"""The example of credits' README, run as it stands there."""

from __future__ import annotations

import pytest

from bedplate.testing import Clone
from tests.asking import ask
from tests.reader import Reader


def test_the_example_runs(
    reader: Reader, bedplate_clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    reader.follow("src/bedplate/modules/credits/README.md", 'modules = ["auth", "credits"]')
    assert "credits=150, held=0, available=150" in capsys.readouterr().out
    used = "SELECT credits_used FROM credits.usage_history ORDER BY timestamp"
    assert ask(bedplate_clone, used) == [(1,), (-1,)]
