"""A Python contestant in a process of its own: JSON lines in, JSON lines out.

Run as `python -m bench.worker <contestant>`. Each line is `{"do": ..., ...}`; the
answer is one line, `{"error": ...}` when the contestant could not do it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, repeat
from time import perf_counter
from typing import Any
from uuid import UUID

from bench import readings
from bench.contestant import ACCOUNT_FIELDS, EVENT_FIELDS, Contestant, Mark
from bench.driver import Work, cycle_from, run
from bench.plain import plain, plain_family

_BORN = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


class Worker:
    """The state of one contestant between two lines."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.works: dict[str, Work] = {}
        self.clients = 0
        self.threads: ThreadPoolExecutor | None = None
        self.created = count()
        self.staged: dict[int, Any] = {}

    async def open(self, order: dict[str, Any]) -> dict[str, Any]:
        """Connect and prepare the arguments of every work."""
        versions = await self.contestant.open(order["url"], order["connections"])
        self.clients = order["clients"]
        if self.contestant.blocking:
            # The threads outlive the runs, and each keeps its connection.
            self.threads = ThreadPoolExecutor(self.clients)
        keys = [UUID(key) for key in order["accounts"]]
        marks = [
            Mark(datetime.fromisoformat(mark["occurred_at"]), UUID(mark["id"]), mark["offset"])
            for mark in order["marks"]
        ]
        accounts = cycle_from(keys, self.clients)
        contestant = self.contestant
        self.works = {
            "get": Work(contestant.get, accounts),
            "relations": Work(contestant.relations, accounts),
            "page_first": Work(contestant.page_first, lambda client: repeat(())),
            "page_deep": Work(contestant.page_deep, cycle_from(marks, self.clients)),
            "create": Work(contestant.create, lambda client: self._newcomers()),
        }
        for work, (_, method) in contestant.variants.items():
            self.works[f"{work}, variant"] = replace(
                self.works[work], operation=getattr(contestant, method)
            )
        titles = {work: title for work, (title, _) in contestant.variants.items()}
        return {"versions": versions, "variants": titles}

    def _newcomers(self) -> Any:
        name = type(self.contestant).__name__
        while True:
            yield (account_fields(f"created-{name}-{next(self.created)}@example.com"),)

    async def sample(self, order: dict[str, Any]) -> dict[str, Any]:
        """Answer every work once for the sample keys, in plain form."""
        accounts = [UUID(key) for key in order["accounts"]]
        mark = order["mark"]
        deep = Mark(datetime.fromisoformat(mark["occurred_at"]), UUID(mark["id"]), mark["offset"])
        call, contestant = self._call, self.contestant
        made = await call(contestant.create, account_fields(order["email"]))
        made_plain = plain(made, ACCOUNT_FIELDS)
        again = await call(contestant.get, UUID(made_plain["id"]))
        assert plain(again, ACCOUNT_FIELDS) == made_plain, "create did not return what it stored"
        families = [await call(contestant.relations, key) for key in accounts]
        first = await call(contestant.page_first)
        far = await call(contestant.page_deep, deep)
        return {
            "get": [plain(await call(contestant.get, key), ACCOUNT_FIELDS) for key in accounts],
            "relations": [plain_family(contestant.unfold(family)) for family in families],
            "page_first": [plain(event, EVENT_FIELDS) for event in first],
            "page_deep": [plain(event, EVENT_FIELDS) for event in far],
            "create": [made_plain | {"id": "", "email": ""}],
        }

    async def _call(self, operation: Any, *arguments: Any) -> Any:
        if self.threads is not None:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.threads, operation, *arguments)
        return await operation(*arguments)

    async def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run one work for a stretch of time."""
        gc.collect()
        stretch = await run(
            self.works[order["work"]],
            clients=self.clients,
            seconds=order["seconds"],
            threads=self.threads,
        )
        return asdict(stretch)

    async def bulk(self, order: dict[str, Any]) -> dict[str, Any]:
        """Store that many readings once; the time is the contestant's alone."""
        rows: int = order["rows"]
        if rows not in self.staged:
            self.staged[rows] = self.contestant.stage(readings.make(rows))
        gc.collect()
        began = perf_counter()
        await self._call(self.contestant.bulk, self.staged[rows])
        return {"seconds": perf_counter() - began}

    async def close(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give the connections back."""
        await self.contestant.close()
        return {}


def account_fields(email: str) -> dict[str, Any]:
    """Return the fields of a new account, all but its id."""
    return {
        "email": email,
        "name": "New Comer",
        "is_active": True,
        "kind": "COMPANY",
        "balance": Decimal("12.50"),
        "created_at": _BORN,
        "updated_at": _BORN,
    }


async def serve(name: str, make: Callable[[Any], Any] = Worker) -> None:
    """Answer lines until `close` or the end of the input; `make` makes the contestant's worker."""
    worker: Any = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        order: dict[str, Any] = json.loads(line)
        try:
            if worker is None:
                module = importlib.import_module(f"bench.contestants.{name}")
                worker = make(module.contestant())
            answer = await getattr(worker, order["do"])(order)
        except Exception as error:  # Whatever a contestant raises is its answer.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
        if order["do"] == "close":
            return


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
