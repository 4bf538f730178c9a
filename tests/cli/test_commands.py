"""Every command: help with examples, --json, and one line with a documented code on an error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bedplate.cli.main import app, run
from bedplate.cli.output import EXIT_CODES, ExitCode

# psql's output is its own, and an export has a document on each line.
WITHOUT_JSON = {("psql",), ("audit", "export")}
JOB = "01980000-0000-7000-8000-000000000001"
ARGUMENTS = {"new": ["shop.orders"], "enable": ["credits"], "disable": ["auth"]}
ARGUMENTS |= {"retry": [JOB], "cancel": [JOB]}
ARGUMENTS |= {"squash": ["auth", "--to", "0001_users"], "restore": ["latest", "--into", "other"]}


def commands() -> list[tuple[str, ...]]:
    """The path of every command that people see."""

    def walk(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        if not hasattr(command, "list_commands"):
            return [path]
        context = typer.Context(command)
        children = {
            name: command.get_command(context, name) for name in command.list_commands(context)
        }
        return [
            found
            for name, child in children.items()
            if not child.hidden
            for found in walk(child, (*path, name))
        ]

    return walk(typer.main.get_command(app), ())


COMMANDS = [pytest.param(path, id=" ".join(path)) for path in commands()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_are_the_ones_promised() -> None:
    assert {" ".join(path) for path in commands()} == {
        *("up", "down", "status", "url", "psql", "seed", "check", "demo"),
        *("module list", "module new", "module enable", "module disable", "module graph"),
        *("migrate plan", "migrate prove", "migrate apply", "migrate receipts", "migrate status"),
        *("migrate make", "migrate diff", "migrate lint", "migrate sql", "migrate baseline"),
        *("migrate squash", "migrate undo", "migrate history", "migrate reset"),
        *("backup create", "backup list", "backup restore", "backup prune"),
        *("docs build", "docs check"),
        *("audit show", "audit export"),
        *("work list", "work retry", "work cancel"),
    }


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_a_sentence_and_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert re.search(rf"Examples:\n\s+.*bedplate {' '.join(path)}", text)
    assert text.partition("\n\n")[2].lstrip()[0].isupper()
    assert ("--json" in text) is (path not in WITHOUT_JSON)


@pytest.mark.parametrize("group", ["module", "migrate", "docs", "audit"])
def test_a_group_alone_prints_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group]) == ExitCode.OK
    assert "Commands:" in capsys.readouterr().out


def test_the_help_documents_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == ExitCode.OK
    text = capsys.readouterr().out
    codes = {int(line.split()[0]) for line in EXIT_CODES.splitlines()}
    assert codes == {code.value for code in ExitCode}
    assert all(line in text for line in EXIT_CODES.splitlines())


# The demo opens a project of its own, whatever the folder says.
@pytest.mark.parametrize("path", [path for path in COMMANDS if path[-1] != "demo"])
def test_a_wrong_setting_is_one_line_and_code_2(
    path: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bedplate.toml").write_text("pool_size = 3\n")
    before = sorted(folder.rglob("*"))
    wants_json = path not in WITHOUT_JSON
    arguments = [*path, *ARGUMENTS.get(path[-1], ()), *(["--json"] if wants_json else [])]
    assert run(arguments) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "pool_size" in said.err
    assert "pool_size_max" in said.err
    assert sorted(folder.rglob("*")) == before
    if wants_json:
        error = json.loads(said.out)["error"]
        assert error["code"] == "settings"
        assert error["next_step"] == "Did you mean pool_size_max?"
    else:
        assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["up", "--prot", "1"], "--prot"),
        (["up", "--port", "70000"], "65535"),
        (["up", "--detach", "--exit"], "--exit"),
        (["down", "--yes"], "--yes"),
        (["module", "new"], "PATH"),
        (["url", "--role", "king"], "king"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    arguments: list[str], word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--json"]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert word.lower() in said.err.lower()
    assert json.loads(said.out)["error"]["code"] == "usage"
    assert list(folder.iterdir()) == []


def test_an_unreachable_database_is_code_3_without_a_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hush@127.0.0.1:1/shop")
    for path in (["up", "--port", "0"], ["check"], ["migrate", "apply"], ["docs", "build"]):
        assert run([*path, "--json"]) == ExitCode.DATABASE
        said = capsys.readouterr()
        assert json.loads(said.out)["error"]["code"] == "database_unreachable"
        assert "hush" not in said.out + said.err
    assert list(folder.iterdir()) == []


def test_samples_go_behind_a_url_only_when_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hush@127.0.0.1:1/shop")
    assert run(["seed"]) == ExitCode.USAGE
    assert "--samples" in capsys.readouterr().err
    assert run(["seed", "--samples"]) == ExitCode.DATABASE


def test_an_owner_url_alone_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://owner:hush@127.0.0.1:1/shop")
    assert run(["up", "--exit"]) == ExitCode.USAGE
    assert "DATABASE_URL" in capsys.readouterr().err


def test_an_unexpected_error_is_one_line_and_its_trace_only_when_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("postgresql://app:hush@db/shop")

    monkeypatch.setattr("bedplate.cli.status.settings_of", broken)
    assert run(["status", "--json"]) == ExitCode.BUG
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "hush" not in said.out + said.err
    assert run(["--traceback", "status"]) == ExitCode.BUG
    assert "Traceback" in capsys.readouterr().err
