"""Drive one contestant with concurrent clients for a stretch of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import Any


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one run measured: operations, seconds, and latencies in milliseconds."""

    ops: int
    seconds: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Work:
    """An operation, and the arguments each client calls it with, one after another."""

    operation: Callable[..., Any]
    arguments: Callable[[int], Iterator[tuple[Any, ...]]]


def cycle_from(values: list[Any], clients: int) -> Callable[[int], Iterator[tuple[Any, ...]]]:
    """Return arguments that walk the values, each client from a place of its own."""

    def walk(client: int) -> Iterator[tuple[Any, ...]]:
        start = client * len(values) // clients
        for step in count(start):
            yield (values[step % len(values)],)

    return walk


async def run(
    work: Work, *, clients: int, seconds: float, threads: ThreadPoolExecutor | None
) -> Stretch:
    """Run the work with that many clients until the time is up; in threads when given."""
    took: list[float] = []
    began = perf_counter()
    deadline = began + seconds
    if threads is None:
        await asyncio.gather(*(_task(work, client, deadline, took) for client in range(clients)))
    else:
        loop = asyncio.get_running_loop()
        turns = [
            loop.run_in_executor(threads, _thread, work, client, deadline, took)
            for client in range(clients)
        ]
        await asyncio.gather(*turns)
    elapsed = perf_counter() - began
    took.sort()
    middle, late = took[len(took) // 2], took[len(took) * 95 // 100]
    return Stretch(len(took), elapsed, middle * 1000, late * 1000)


async def _task(work: Work, client: int, deadline: float, took: list[float]) -> None:
    began = perf_counter()
    for arguments in work.arguments(client):
        await work.operation(*arguments)
        ended = perf_counter()
        took.append(ended - began)
        if ended >= deadline:
            return
        began = ended


def _thread(work: Work, client: int, deadline: float, took: list[float]) -> None:
    began = perf_counter()
    for arguments in work.arguments(client):
        work.operation(*arguments)
        ended = perf_counter()
        took.append(ended - began)
        if ended >= deadline:
            return
        began = ended
