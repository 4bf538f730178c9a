"""Coroutines at the same time, in either world: as tasks, or each in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bedplate.integrations.blocking import wait
from tests.world import World

THREADS = "together"


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
