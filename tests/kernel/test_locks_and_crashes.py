"""A process that is killed in the middle of a request leaves nothing behind, and nothing locked."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Text, column, text

from bedplate import Database, Once, Query, Request, once
from bedplate.kernel import processes
from tests.kernel.builders import new_product, products
from tests.world import World

WAIT_S = 30.0

CHILD = """
import asyncio, sys, time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from bedplate import Project
from bedplate.kernel.settings import load
from tests.kernel.test_locks_and_crashes import buy

async def main():
    settings = replace(
        load(),
        modules=("auth", "tests.shop"),
        database_url=sys.argv[2],
        database_owner_url=None,
        transaction_pooler=False,
    )
    project = await Project.open(settings=settings)
    async with project.db.transaction() as tx:
        await buy(tx)
        Path(sys.argv[3]).touch()
        time.sleep(600)

asyncio.run(main())
"""

KEYS: Query[Any] = Query(
    text("SELECT key FROM bedplate.idempotency_keys").columns(column("key", Text))
)


async def buy(tx: Any) -> Once[str]:
    """What the child does and is killed in the middle of, and what is tried again afterwards."""

    async def work() -> str:
        return (await new_product(tx, "A-1")).sku

    request = Request(user_id=None, action="shop.buy", key="k-1", content={"sku": "A-1"})
    return await once(tx, request, work, str)


async def buy_alone(db: Database) -> Once[str]:
    async with db.transaction() as tx:
        return await buy(tx)


@pytest.fixture
def killed(world: World, tmp_path: Path) -> Iterator[int]:
    """A process that did the work, holds its key and has not committed; killed if still there."""
    root, ready = Path(__file__).parents[2], tmp_path / "ready"
    pid = processes.start(
        [sys.executable, "-c", CHILD, str(root), world.clone.url, str(ready)],
        log=tmp_path / "log",
        guard=tmp_path / "guard",
    )
    try:
        deadline = time.monotonic() + WAIT_S
        while not ready.exists():
            assert processes.alive(pid), (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield pid
    finally:
        processes.terminate(pid, [(signal.SIGKILL, WAIT_S)])


def test_a_killed_process_leaves_neither_key_nor_work(world: World, killed: int) -> None:
    async def body(db: Database) -> None:
        assert await db.all(KEYS) == []
        assert processes.terminate(killed, [(signal.SIGKILL, WAIT_S)])
        # The key was locked; taking it waits for the server to notice, which it does at once.
        assert await buy_alone(db) == Once("A-1", False)
        assert await buy_alone(db) == Once("A-1", True)
        assert await db.all(KEYS) == ["k-1"]
        assert await products.count(db) == 1

    world.run(body(world.db))
