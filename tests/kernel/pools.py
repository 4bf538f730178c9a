"""What tests wait for that look into a pool of connections."""

from __future__ import annotations

import time

from bedplate.kernel.database import Database

WAIT_S = 30.0


async def whole(db: Database) -> None:
    """Wait until every connection of the pool lies in it, and none is being opened any more.

    A pool asked before its first connection is there opens a second, which may come at any time.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        counted = db.leaf.statistics()
        if counted.get("pool_available") == counted.get("pool_size"):
            return
        assert time.monotonic() < deadline, f"a connection was not given back: {counted}"
        await db.leaf.sleep(0.01)
