"""The how-to page about credits does what it says, as one program."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from bedplate.testing import Clone
from tests.asking import ask
from tests.journeys.test_howto_pages import program


async def test_the_page_runs(
    bedplate_clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bedplate.toml").write_text('modules = ["auth", "credits"]\n')
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    names: dict[str, Any] = {"__name__": "__page__"}
    running = eval(program("use-credits"), names)
    assert inspect.iscoroutine(running)
    try:
        await running
    finally:
        await names["project"].close()
    # 1 + 40 + 100 charged, 40 given back, of 100 + 500.
    remaining = ask(bedplate_clone, "SELECT credits_remaining FROM credits.credit_balances")
    assert remaining == [(499,)]
