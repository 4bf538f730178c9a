"""Coroutines at the same time, in either world: as tasks, or each in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bedplate.integrations.blocking import wait
from tests.world import World

THREADS = "together"
MEET_S = 30.0


class Meeting:
    """Where so many have to be before any of them goes on: their transactions overlap then."""

    def __init__(self, world: World, many: int) -> None:
        self._tasks = asyncio.Barrier(many) if world.mode == "async" else None
        self._threads = threading.Barrier(many)

    async def join(self) -> None:
        """Wait for the others."""
        if self._tasks is None:
            self._threads.wait(MEET_S)
        else:
            await asyncio.wait_for(self._tasks.wait(), MEET_S)


def together(world: World, coroutines: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What each returned, or the exception it raised, in their order."""
    bodies = list(coroutines)
    if world.mode == "async":
        return world.run(_gathered(bodies))
    with ThreadPoolExecutor(len(bodies), thread_name_prefix=THREADS) as threads:
        return list(threads.map(_outcome, bodies))


async def _gathered(bodies: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    return await asyncio.gather(*bodies, return_exceptions=True)


def _outcome(body: Coroutine[Any, Any, Any]) -> Any:
    try:
        return wait(body)
    except Exception as error:
        return error
