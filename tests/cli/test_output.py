from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.cli.migrate.progress import told_by
from bedplate.cli.output import ExitCode, Output, exit_code, table
from bedplate.kernel import errors
from bedplate.kernel.errors import BedplateError
from bedplate.kernel.telemetry import logger


def classes(root: type[BedplateError]) -> Iterator[type[BedplateError]]:
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SettingsError, 2),
        (errors.FieldUnknown, 2),
        (errors.ModuleMissing, 2),
        (errors.DatabaseUnreachable, 3),
        (errors.AuthenticationFailed, 3),
        (errors.PermissionDenied, 3),
        (errors.PortTaken, 4),
        (errors.WrongMajor, 4),
        (errors.FolderNotWritable, 4),
        (errors.OutdatedLine, 5),
        (errors.SchemaRefused, 5),
        (errors.MigrationFailed, 5),
        (errors.DocumentStale, 1),
    ],
)
def test_an_error_has_its_code(kind: type[BedplateError], code: int) -> None:
    assert exit_code(kind("It is so.")) == code


def test_every_error_ends_with_a_code_of_its_own() -> None:
    for kind in classes(BedplateError):
        assert exit_code(kind("It is so.")) in set(ExitCode) - {ExitCode.OK, ExitCode.BUG}


def test_a_failure_is_one_line_without_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    message = "It failed\n  at postgresql://app:hush@db:5432/shop, password=hush."
    Output(as_json=True).fail("some_code", message, "Mend it.")
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "hush" not in said.out + said.err
    error = json.loads(said.out)["error"]
    assert error["code"] == "some_code"
    assert error["next_step"] == "Mend it."


def test_results_go_to_stdout_and_all_else_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    with out.working("Thinking"):
        out.note("[bold]half[/bold] way")
    out.result({"path": Path("/shop")}, "done")
    said = capsys.readouterr()
    assert said.out == "done\n"
    assert said.err == "Thinking ...\n[bold]half[/bold] way\n"


def test_a_document_may_hold_paths(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).result({"path": Path("/shop")}, "done")
    assert json.loads(capsys.readouterr().out) == {"path": "/shop"}


def test_a_table_is_aligned_plain_text() -> None:
    assert table([("module", "at"), ("auth", None), ("x", 1)]) == "module  at\nauth    -\nx       1"


def test_progress_is_said_once_and_not_by_the_log_as_well(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with told_by(Output(as_json=False)):
        logger.info("Rehearsing up auth 0001_users")
    logger.warning("Said by the log.")
    assert capsys.readouterr().err == "Rehearsing up auth 0001_users\n"
    assert [record.getMessage() for record in caplog.records] == ["Said by the log."]
