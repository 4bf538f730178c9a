"""What a person at a terminal does: run `bedplate` in a folder, start it, signal it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli.warm import warm

BEDPLATE = [sys.executable, "-P", "-m", "bedplate.cli.main"]
LIMIT_S = 180.0


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything that steers Bedplate, but for the major version tested."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BEDPLATE_", "DATABASE_", "PG"))
    }
    major = os.environ.get("BEDPLATE_TEST_POSTGRES_MAJOR")
    return kept | ({"BEDPLATE_POSTGRES_MAJOR": major} if major else {}) | more


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        """What stderr says, without the progress."""
        return [line for line in self.stderr.splitlines() if not line.endswith("...")]


@dataclass
class Running:
    """A command that is running."""

    process: subprocess.Popen[str]
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._readers: list[threading.Thread] = []
        for stream, lines in (
            (self.process.stdout, self.stdout),
            (self.process.stderr, self.stderr),
        ):
            assert stream is not None
            reader = threading.Thread(target=lines.extend, args=(stream,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def document(self) -> Any:
        """The document on stdout, once it is whole."""
        found: list[Any] = []

        def parsed() -> bool:
            # Asked first: what it said last is read a moment after it has ended.
            more = any(reader.is_alive() for reader in self._readers)
            try:
                found.append(json.loads("".join(self.stdout)))
            except ValueError:
                assert more, "".join(self.stderr)
                return False
            return True

        until(parsed)
        return found[0]

    def end(self, number: signal.Signals) -> int:
        """Send a signal, wait, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


@dataclass(frozen=True)
class Terminal:
    """A terminal in a project's folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=clean_environment)

    def run(self, *arguments: str, input: str = "", **environment: str) -> Said:
        """Run a command to its end, in a process forked from one that has imported it."""
        environment = self.environment | environment
        return Said(*warm().run(arguments, self.folder, environment, input=input, limit_s=LIMIT_S))

    def start(self, *arguments: str, **environment: str) -> Running:
        """Start a command as a shell does."""
        return Running(
            subprocess.Popen(
                [*BEDPLATE, *arguments],
                cwd=self.folder,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )


def until(true: Callable[[], bool], seconds: float = LIMIT_S) -> None:
    """Wait until something is so; fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
