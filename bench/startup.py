"""How long `bedplate up` takes until everything is ready: on a fresh folder, and again."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

from bench.processes import CommandFailed, run

LIMIT_S = 180


async def measure() -> dict[str, float]:
    """Return the seconds of a cold and of a warm `bedplate up --exit`, process start included."""
    program = Path(sys.executable).with_name("bedplate")
    if not program.exists():
        raise CommandFailed("the command line is not installed beside this Python")
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bedplate-startup-") as name:
        folder = Path(name)
        try:
            for title in ("cold", "warm"):
                began = perf_counter()
                await run([str(program), "up", "--exit", "--json"], folder=folder, limit_s=LIMIT_S)
                took[title] = perf_counter() - began
        finally:
            down = [str(program), "down", "--purge", "--yes"]
            await run(down, folder=folder, limit_s=LIMIT_S)
    return took
