"""The examples of accounting's README and of the whole toolkit's, run as they stand there."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator

import pytest

from tests.house.documents import blocks_of
from tests.house.source import ROOT
from tests.reader import Reader

OURS = "src/bedplate/modules/accounting/README.md"
SETTINGS = 'modules = ["auth", "mining", "accounting"]'


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a day begin where it begins in the billing time zone, which is UTC unless set."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_example_runs(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    reader.follow(OURS, SETTINGS)
    assert capsys.readouterr().out == "126.00 ISSUED 26.00\n"


@pytest.mark.usefixtures("utc")
def test_the_examples_of_the_first_page_run(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    reader.follow("README.md", SETTINGS)
    look, billed, counted = capsys.readouterr().out.splitlines()
    assert look.startswith("<User id=")
    assert look.endswith("> 1 None")
    assert (billed, counted) == ("PAID 0.00", "2")


@pytest.mark.parametrize("page", ["README.md", OURS])
def test_an_example_of_accounting_is_ten_lines(page: str) -> None:
    """What it does inside its transaction; what it imports is beside the point."""
    shown = [body for _, body in blocks_of(ROOT / page, "python")]
    (body,) = (each for each in shown if "bedplate.modules.accounting" in each)
    (main,) = (each for each in ast.parse(body).body if isinstance(each, ast.AsyncFunctionDef))
    (opened,) = main.body
    assert isinstance(opened, ast.AsyncWith)
    assert opened.end_lineno is not None
    assert opened.end_lineno - opened.lineno <= 10
