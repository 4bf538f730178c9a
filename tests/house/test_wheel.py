"""What is installed is what is committed: the package builds, and nothing of it is left out."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from bedplate.kernel import processes
from tests.house.source import ROOT, SOURCE
from tests.house.test_committed_files import committed

LONGEST_S = 120


def test_the_wheel_holds_every_committed_file(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    ended = processes.run([*build, str(ROOT)], timeout_s=LONGEST_S)
    assert ended.returncode == 0, ended.stderr[-2_000:]
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {name.removeprefix("src/") for name in committed() if name.startswith("src/")}
    assert wanted - held == set()
    assert [name for name in held if not name.startswith("bedplate/")] == []


def test_git_leaves_out_no_revision() -> None:
    revisions = {
        path.relative_to(ROOT).as_posix() for path in SOURCE.glob("**/migrations/[0-9]*.py")
    }
    assert len(revisions) > 20
    # Committed, or waiting to be: one that a rule of .gitignore hides is in nobody else's copy.
    assert revisions - {*committed("--cached", "--others", "--exclude-standard")} == set()
