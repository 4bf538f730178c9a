"""`bedplate migrate lint`: hazards for a person, a program and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bedplate.cli.main import run
from bedplate.testing import Clone

SQL = """-- prices
ALTER TABLE shop.items
  ADD price int NOT NULL;
ALTER TABLE a.b ALTER c TYPE text;
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bedplate.toml").write_text('modules = ["auth"]\n')
    (tmp_path / "change.sql").write_text(SQL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return tmp_path


def test_a_file_of_sql_needs_no_database(capfd: pytest.CaptureFixture[str], project: Path) -> None:
    assert run(["migrate", "lint", "change.sql", "--no-squawk"]) == 1
    said = capfd.readouterr().out
    assert "error: not-null\n  ALTER TABLE shop.items ADD price int NOT NULL\n  Why: " in said
    assert "warning: type-change" in said
    assert "  Safely: " in said
    assert run(["migrate", "lint", "change.sql", "--no-squawk", "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    assert document["errors"] == 1
    assert [each["rule"] for each in document["findings"]] == ["not-null", "type-change"]
    assert not (project / ".bedplate").exists()


def test_a_modules_line_or_one_of_its_files_is_named(
    capfd: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(["migrate", "lint", "auth", "--no-squawk"]) == 0
    assert capfd.readouterr().out == "No hazard was found.\n"
    for wrong in ("shop", "0001_none.py", "none.sql"):
        assert run(["migrate", "lint", wrong]) == 2
        assert wrong in capfd.readouterr().err


def test_without_a_name_it_looks_at_what_is_pending(
    capfd: pytest.CaptureFixture[str], bedplate_clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    assert run(["migrate", "lint", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"errors": 0, "findings": []}
