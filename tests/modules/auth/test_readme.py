"""The example of auth's README, run as it stands there."""

from __future__ import annotations

import re

import pytest

from bedplate.testing import Clone
from tests.asking import ask
from tests.house.documents import blocks_of
from tests.house.source import ROOT
from tests.reader import Reader

README = "src/bedplate/modules/auth/README.md"


def test_the_example_is_short() -> None:
    ((_, example),) = blocks_of(ROOT / README, "python")
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 12


def test_the_example_runs(
    reader: Reader, bedplate_clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    reader.follow(README, 'modules = ["auth"]')
    assert re.fullmatch(r"<User id=\S+> <UserPreferences id=\S+>\n", capsys.readouterr().out)
    assert ask(bedplate_clone, "SELECT email, name FROM auth.users") == [("Ada@example.com", "Ada")]
