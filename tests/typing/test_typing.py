"""Two strict type checkers on right calls and wrong ones: they must see exactly what is marked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

HERE = Path(__file__).parent
FILES = tuple(HERE / name for name in ("right.py", "wrong.py", "unseen.py"))
CHECK_TIMEOUT_S = 300
WRONG_CALLS_MIN = 40

Lines = dict[str, set[int]]


def _run(*argv: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def _mypy(folder: Path) -> Lines:
    """The lines that mypy refuses, by file."""
    del folder
    refused: Lines = {}
    options = ("--strict", "--no-pretty", "--no-error-summary", "--warn-unreachable")
    for line in _run("mypy", *options, *map(str, FILES)).splitlines():
        place = re.match(r"(.+?):(\d+): error: ", line)
        if place is not None:
            refused.setdefault(Path(place[1]).name, set()).add(int(place[2]))
    return refused


def _pyright(folder: Path) -> Lines:
    """The lines that pyright refuses, by file; its settings are written to the folder."""
    config = folder / "pyrightconfig.json"
    options = {
        "include": [str(HERE)],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT), str(ROOT / "src")],
        # A wrong call that is refused for standing alone would be refused for the wrong reason.
        "reportUnusedExpression": False,
        "reportUnusedCoroutine": False,
    }
    config.write_text(json.dumps(options), encoding="utf-8")
    report = json.loads(_run("pyright", "--outputjson", "--project", str(config), *map(str, FILES)))
    refused: Lines = {}
    for each in report["generalDiagnostics"]:
        if each["severity"] == "error":
            line = each["range"]["start"]["line"] + 1
            refused.setdefault(Path(each["file"]).name, set()).add(line)
    return refused


CHECKS = {"mypy": _mypy, "pyright": _pyright}


def _marked(checker: str) -> set[int]:
    marks = ("# wrong", f"# wrong for {checker}")
    lines = (HERE / "wrong.py").read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if line.endswith(marks)}


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKS)
def test_a_strict_checker_refuses_every_wrong_call_and_nothing_else(
    checker: str, tmp_path: Path
) -> None:
    marked = _marked(checker)
    assert len(marked) >= WRONG_CALLS_MIN
    assert CHECKS[checker](tmp_path) == {"wrong.py": marked}, (
        "right.py and unseen.py are to be clean"
    )
