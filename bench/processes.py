"""The bench's other processes: workers that speak JSON lines, and commands run to their end."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ANSWER_LIMIT_S = 600
LINE_BYTES_MAX = 1 << 24


class CommandFailed(Exception):
    """A command or a worker did not do what it was asked; the message says why."""


class Worker:
    """A contestant's process; `async with` ends it however the bench ends.

    `variants` names its other ways, by work; `works` what it has, None for all works.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.variants: dict[str, str] = {}
        self.works: list[str] | None = None
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, argv: Sequence[str], log: Path) -> Worker:
        """Start the worker; what it writes to its standard error goes to the log."""
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=PIPE, stdout=PIPE, stderr=errors, limit=LINE_BYTES_MAX
            )
        return cls(name, process, log)

    async def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Send one order and return its answer; raises CommandFailed with the worker's reason."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await self._process.stdin.drain()
                line = await self._process.stdout.readline()
        except (ConnectionError, TimeoutError) as error:
            raise CommandFailed(f"{self.name}: {type(error).__name__}") from None
        if not line:
            last = self._log.read_text().strip().splitlines()[-1:]
            raise CommandFailed(f"{self.name} ended: {''.join(last)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise CommandFailed(f"{self.name}: {answer['error']}")
        return answer

    async def __aenter__(self) -> Worker:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


async def run(argv: Sequence[str], *, folder: Path, limit_s: float) -> str:
    """Run a command to its end and return what it printed; raises CommandFailed."""
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(limit_s):
            printed, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CommandFailed(f"{argv[0]} took longer than {limit_s:.0f} s") from None
    text = printed.decode(errors="replace")
    if process.returncode != 0:
        last = " / ".join(text.strip().splitlines()[-3:])
        raise CommandFailed(f"{' '.join(argv[:3])} ended with {process.returncode}: {last}")
    return text
