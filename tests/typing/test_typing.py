"""Two strict type checkers on right calls and wrong ones: they must see exactly what is marked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.house.source import ROOT

HERE = Path(__file__).parent
FILES = tuple(HERE / name for name in ("right.py", "wrong.py", "unseen.py"))
CHECK_TIMEOUT_S = 300
WRONG_CALLS_MIN = 40

Lines = dict[str, set[int]]


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Lines]]:
    """The lines that each checker refuses, by file."""
    folder = tmp_path_factory.mktemp("pyright")
    with ThreadPoolExecutor() as both:
        checks = {"mypy": both.submit(_mypy), "pyright": both.submit(_pyright, folder)}
        yield {name: check.result() for name, check in checks.items()}


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


def _mypy() -> Lines:
    refused: Lines = {}
    options = ("--strict", "--no-pretty", "--no-error-summary", "--warn-unreachable")
    for line in _run("mypy", *options, *map(str, FILES)).splitlines():
        place = re.match(r"(.+?):(\d+): error: ", line)
        if place is not None:
            refused.setdefault(Path(place[1]).name, set()).add(int(place[2]))
    return refused


def _pyright(folder: Path) -> Lines:
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


def _marked(checker: str) -> set[int]:
    marks = ("# wrong", f"# wrong for {checker}")
    lines = (HERE / "wrong.py").read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if line.endswith(marks)}


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_strict_checker_refuses_every_wrong_call_and_nothing_else(
    checker: str, found: dict[str, Lines]
) -> None:
    marked = _marked(checker)
    assert len(marked) >= WRONG_CALLS_MIN
    assert found[checker] == {"wrong.py": marked}, "right.py and unseen.py are to be clean"
