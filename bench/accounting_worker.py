"""A contestant of the accounting works in a process of its own.

Run as `python -m bench.accounting_worker <contestant>`; it speaks as bench/worker.py does.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import asdict
from datetime import date
from time import perf_counter
from typing import Any

from bench.accounting_contestant import AccountingContestant
from bench.worker import serve


class AccountingWorker:
    """The state of one contestant between two lines."""

    def __init__(self, contestant: AccountingContestant) -> None:
        self.contestant = contestant

    async def open(self, order: dict[str, Any]) -> dict[str, Any]:
        """Connect and say which ways of billing there are."""
        versions = await self.contestant.open(order["url"])
        ways = {work: asdict(way) for work, way in self.contestant.ways.items()}
        return {"versions": versions, "ways": ways}

    async def bill(self, order: dict[str, Any]) -> dict[str, Any]:
        """Bill a month once; say how many invoices that were, and how long it took."""
        gc.collect()
        through = date.fromisoformat(order["through"])
        began = perf_counter()
        invoices = await self.contestant.run(order["work"], through, order["templates"])
        return {"invoices": invoices, "seconds": perf_counter() - began}

    async def close(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give the connections back."""
        await self.contestant.close()
        return {}


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], AccountingWorker))
