"""Functions of tests in processes of their own: workers and clients that a test may kill."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bedplate.kernel import processes
from bedplate.testing import Clone
from tests.house.source import ROOT

WAIT_S = 30.0


def run_aside(function: Callable[..., None], place: Path, *arguments: str) -> int:
    """Run a function with these arguments in a process of its own; return its pid.

    What it prints goes to the place's `.log`.
    """
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    script += f"from {function.__module__} import {function.__name__} as run; run(*sys.argv[2:])"
    return processes.start(
        [sys.executable, "-c", script, "--", *arguments],
        log=place.with_suffix(".log"),
        guard=place.with_suffix(".guard"),
    )


@dataclass
class Crew:
    """Processes of one test that all run one function with the same arguments."""

    clone: Clone
    folder: Path
    function: Callable[..., None]
    arguments: tuple[str, ...]
    pids: list[int] = field(default_factory=list[int])
    started: int = 0

    def start(self) -> int:
        self.started += 1
        pid = run_aside(self.function, self.folder / f"crew-{self.started}", *self.arguments)
        self.pids.append(pid)
        return pid

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        self.pids.remove(pid)
        assert processes.terminate(pid, [(number, WAIT_S)]), self.logs()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("crew-*.log")))

    def close(self) -> None:
        """Kill whoever is left."""
        for pid in list(self.pids):
            self.kill(pid)
