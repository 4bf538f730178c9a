"""A command from a warm process is what a person would have started, but for the wait."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import BEDPLATE, Said, Terminal
from tests.cli.warm import warm

KILLED_S = 3.0
"""Shorter than a command waits for a server that says nothing."""


def really(terminal: Terminal, *arguments: str) -> Said:
    """What a command says that shares nothing with any other."""
    done = subprocess.run(
        [*BEDPLATE, *arguments],
        cwd=terminal.folder,
        env=terminal.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "line",
    [
        *("--version", "", "status --json", "url --role nobody", "nonsense --json"),
        *("audit --help", "module list --json", "backup list --json", "migrate history --json"),
    ],
)
def test_it_says_and_ends_like_one_that_was_started_by_itself(line: str, tmp_path: Path) -> None:
    (tmp_path / "bedplate.toml").write_text("modules = []\n")
    terminal = Terminal(tmp_path)
    said = terminal.run(*line.split())
    assert said == really(terminal, *line.split())
    assert said.stdout + said.stderr


def test_each_has_a_folder_and_an_environment_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "bedplate.toml").write_text("modules = []\n")
        found = Terminal(folder).run("status", "--json").document
        assert found["folder"] == str(folder)
        assert found["database"]["source"] == "embedded"
        url = f"postgresql://nobody:secret@127.0.0.1:1/{name}"
        assert Terminal(folder).run("url", DATABASE_URL=url).stdout.endswith(f"/{name}\n")


def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody:secret@127.0.0.1:{silent.getsockname()[1]}/none"
        environment = {**terminal.environment, "DATABASE_URL": url}
        with pytest.raises(TimeoutError):
            warm().run(("status",), tmp_path, environment, input="", limit_s=1.0)
        silent.settimeout(KILLED_S)
        try:
            asking, _ = silent.accept()
        except TimeoutError:
            # A busy machine: it was killed before it came to ask, and so nobody comes.
            pass
        else:
            asking.settimeout(KILLED_S)
            with asking:
                while asking.recv(4096):
                    pass
    assert terminal.run("--version").code == 0
