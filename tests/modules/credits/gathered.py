"""Calls about one account made at once: while it is locked, so that whoever comes has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate.testing import Clone, FrozenClock
from tests.modules.credits.accounts import until_somebody_waits
from tests.modules.credits.random_requests import told
from tests.world import World, opened

POOL = 3
PATIENCE_MS = 60_000
"""How long a call waits its turn: on a busy machine the usual five seconds may be too few."""


@pytest.fixture(params=["async"])
def world(request: Any, bedplate_clone: Clone, bedplate_clock: FrozenClock) -> Iterator[World]:
    """With few connections; without an event loop nobody waits here, but each in its thread."""
    patient = {"pool_size_max": POOL, "pool_wait_timeout_ms": PATIENCE_MS}
    yield from opened(request.param, bedplate_clone, bedplate_clock, **patient)


@asynccontextmanager
async def locked(world: World, user: UUID) -> AsyncIterator[None]:
    """Hold the account's lock, so that whoever comes has to wait."""
    async with await psycopg.AsyncConnection.connect(world.clone.owner_url) as other:
        await other.execute(
            "SELECT FROM credits.credit_balances WHERE user_id = %s FOR UPDATE", [user]
        )
        yield


async def at_once(world: World, user: UUID, *calls: Awaitable[Any]) -> list[Any]:
    """What each call returned or raised, all of them made while the account is locked."""
    async with locked(world, user):
        tasks = [asyncio.ensure_future(call) for call in calls]
        await until_somebody_waits(world.db, world.clone)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def outcome(call: Awaitable[Any]) -> Any:
    (ended,) = await asyncio.gather(call, return_exceptions=True)
    return ended


def kind(ended: Any) -> Any:
    return type(ended) if isinstance(ended, Exception) else told(ended)
