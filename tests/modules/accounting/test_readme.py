"""The example of accounting's README, run as it stands there."""

from __future__ import annotations

import pytest

from tests.reader import Reader


def test_the_example_runs(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    settings = 'modules = ["auth", "mining", "accounting"]'
    reader.follow("src/bedplate/modules/accounting/README.md", settings)
    assert capsys.readouterr().out == "126.00 ISSUED 26.00\n"
