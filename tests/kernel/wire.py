"""What really goes over the wire, as libpq tells it: our own counters are not asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from psycopg.pq import Trace

from bedplate.integrations.blocking import BlockingLeaf
from bedplate.kernel.database import Database
from bedplate.kernel.pool import AsyncLeaf
from bedplate.project import database
from tests.world import World


@dataclass(frozen=True)
class Heard:
    """The messages between us and the server, in order: `>` ours, `<` the server's."""

    messages: tuple[str, ...]

    @property
    def round_trips(self) -> int:
        """How often we sent something and then waited for the answer."""
        sides = [message[0] for message in self.messages]
        return sum(here == ">" and there == "<" for here, there in pairwise(sides))

    @property
    def executed(self) -> int:
        """How many statements we had executed."""
        return sum(message.startswith(("> Execute", "> Query")) for message in self.messages)

    @property
    def tags(self) -> list[str]:
        """What the server says it did, such as BEGIN and SELECT 1."""
        return [m.split('"')[1] for m in self.messages if m.startswith("< CommandComplete")]


class Wire:
    """A Database with one connection, which can be listened to."""

    def __init__(self, world: World, db: Database) -> None:
        self.world = world
        self.db = db

    def heard(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Heard:
        """Run what `make` makes, listening; it has run before, so that it is prepared."""
        self.world.run(make())
        pgconn = self.world.run(self._connection()).pgconn
        with tempfile.TemporaryFile("w+") as log:
            pgconn.trace(log.fileno())
            pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
            try:
                self.world.run(make())
            finally:
                pgconn.untrace()
            log.seek(0)
            lines = [line.split("\t", 2) for line in log.read().splitlines()]
        sides = {"F": ">", "B": "<"}
        return Heard(tuple(f"{sides[side]} {text}".replace("\t", " ") for side, _, text in lines))

    async def _connection(self) -> Any:
        async with self.db.read() as reader:
            return await reader.connection()


@contextmanager
def tapped(world: World) -> Iterator[Wire]:
    """A Database on the world's clone that has one connection only, and can be listened to."""
    project = world.project
    settings = replace(project.settings, pool_size_max=1)
    leaf = AsyncLeaf if world.mode == "async" else BlockingLeaf
    db = database(settings, project.registry, world.clone.url, leaf)
    world.run(db.open())
    try:
        yield Wire(world, db)
    finally:
        world.run(db.close())
