"""What is committed is true on any machine: no path, host or key of the one it was made on."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.house.exceptions import hold
from tests.house.source import ROOT

# The patterns are cut in two so that this file does not break its own law.
MACHINE = re.compile(
    "|".join(
        (
            *(r"(?<![\w.])/(?:ro" + "ot|wo" + "rk)/", r"(?<![\w.])/(?:ho" + "me|o" + r"pt)/\w"),
            *("file" + ":///", "pypi" + r"\.org/simple", "files" + r"\.pythonhosted"),
            *("registry" + r"\.npmjs", "deb" + r"\.debian\.org"),
            *("index" + "-url", "extra-" + "index", "trusted" + "-host"),
        )
    )
)
SECRET = re.compile("BEGIN (RSA |EC |OPENSSH )?PRIVATE" + " KEY|AKIA" + "[0-9A-Z]{16}")
BINARY_MAX_BYTES = 200_000


def committed(*flags: str) -> list[str]:
    """The files that git has; with `flags` of `git ls-files`, others."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files", "-z", *flags], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_committed_file_names_a_machine_a_registry_or_a_key() -> None:
    offenders: dict[str, str] = {}
    for name in committed():
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            hit = MACHINE.search(line) or SECRET.search(line)
            if hit:
                offenders[f"{name}:{number}"] = f"says {hit.group()!r}"
    hold(
        "machine-paths",
        offenders,
        why="a clone elsewhere must work, and installers are asked by package name only",
    )


def test_no_committed_file_is_a_blob() -> None:
    offenders = {
        name: f"{(ROOT / name).stat().st_size} bytes"
        for name in committed()
        if (ROOT / name).stat().st_size > BINARY_MAX_BYTES
    }
    hold("blobs", offenders, why="a repository is read; what is generated or large is made on use")
