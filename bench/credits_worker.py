"""A Python contestant of the credits works in a process of its own.

Run as `python -m bench.credits_worker <contestant>`; it speaks as bench/worker.py does.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from typing import Any
from uuid import UUID

from bench.credits_contestant import CreditsContestant, Holder, Offer
from bench.driver import Work, cycle_from, run
from bench.worker import serve

COUNTED = ("deduct", "deduct_hot", "deduct_many")
"""The works whose charges are in a ledger that is recounted."""


class CreditsWorker:
    """The state of one contestant between two lines."""

    def __init__(self, contestant: CreditsContestant) -> None:
        self.contestant = contestant
        self.clients = 0
        self.threads: ThreadPoolExecutor | None = None
        self.prefix = ""
        self.numbers = count()
        self.offers: dict[str, Offer] = {}
        self.holders: dict[Holder, list[UUID]] = {}
        self.acknowledged_charges = 0

    async def open(self, order: dict[str, Any]) -> dict[str, Any]:
        """Connect and say which works there are."""
        contestant = self.contestant
        versions = await contestant.open(order["url"], order["connections"])
        self.clients, self.prefix = order["clients"], order["prefix"]
        if contestant.blocking:
            self.threads = ThreadPoolExecutor(self.clients)
        self.holders = {
            "spread": [UUID(user) for user in order["users"]],
            "hot": [UUID(order["hot"])],
            "lone": [UUID(order["lone"])],
            "naive": [UUID(order["naive"])],
        }
        self.offers = {
            "deduct": Offer(contestant.deduct, "spread"),
            "deduct_hot": Offer(contestant.deduct, "hot"),
            **contestant.further(),
        }
        return {"versions": versions, "works": list(self.offers)}

    def _key(self) -> str:
        return f"{self.prefix}:{next(self.numbers)}"

    def _arguments(self, offer: Offer, client: int) -> Iterator[tuple[Any, ...]]:
        users = cycle_from(self.holders[offer.holder], self.clients)
        for (user,) in users(client):
            if offer.charges == 1:
                yield user, self._key()
            else:
                yield user, [self._key() for _ in range(offer.charges)]

    async def sample(self, order: dict[str, Any]) -> dict[str, Any]:
        """Charge the sample account as asked and return the answers."""
        user, answers = UUID(order["user"]), list[Any]()
        for key, amount in order["asked"]:
            arguments = (user, f"{self.prefix}:{key}", amount)
            if self.threads is None:
                answers.append(await self.contestant.deduct(*arguments))
            else:
                loop = asyncio.get_running_loop()
                answers.append(
                    await loop.run_in_executor(self.threads, self.contestant.deduct, *arguments)
                )
        return {"answers": answers}

    async def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run one work for a stretch of time; every charge is an operation."""
        gc.collect()
        offer = self.offers[order["work"]]
        work = Work(offer.operation, lambda client: self._arguments(offer, client))
        stretch = await run(
            work,
            clients=offer.clients or self.clients,
            seconds=order["seconds"],
            threads=self.threads,
        )
        charges = stretch.ops * offer.charges
        if order["work"] in COUNTED:
            self.acknowledged_charges += charges
        return asdict(stretch) | {"ops": charges}

    async def acknowledged(self, order: dict[str, Any]) -> dict[str, Any]:
        """Say how many charges were acknowledged, those of `sample` apart."""
        return {"charges": self.acknowledged_charges}

    async def close(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give the connections back."""
        await self.contestant.close()
        return {}


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], CreditsWorker))
