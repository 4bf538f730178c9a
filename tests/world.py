"""The world a kernel test lives in, made twice from one source: async, and sync through `wait`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any, Literal, TypeVar

from bedplate.integrations.blocking import BlockingLeaf, open_project, wait
from bedplate.kernel.database import Database
from bedplate.project import Project, database
from bedplate.testing import Clone, FrozenClock

T = TypeVar("T")
Mode = Literal["async", "sync"]

CLIENTS = 32
"""How many a wide world serves at once."""


class World:
    """A project with `auth` and `tests.shop` on a clone of its own, and what drives its coroutines.

    `run` runs a coroutine to its end: on the one event loop of this world, or without any.
    """

    def __init__(self, mode: Mode, clone: Clone, clock: FrozenClock) -> None:
        self.mode = mode
        self.clone = clone
        self.clock = clock
        self._others: list[Database] = []
        # A loop that is never made cannot run anything by accident.
        self._runner = asyncio.Runner() if mode == "async" else None
        if self._runner is None:
            self.project = open_project(settings=clone.settings)
        else:
            self.project = self.run(Project.open(settings=clone.settings))

    @property
    def db(self) -> Database:
        return self.project.db

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return wait(coroutine) if self._runner is None else self._runner.run(coroutine)

    def other_db(self) -> Database:
        """A second, independent Database on the same clone, with a pool of its own, open."""
        project = self.project
        made = (
            database(project.settings, project.registry, self.clone.url, BlockingLeaf)
            if self._runner is None
            else database(project.settings, project.registry, self.clone.url)
        )
        self.run(made.open())
        self._others.append(made)
        return made

    def close(self) -> None:
        for each in self._others:
            self.run(each.close())
        self.run(self.project.close())
        if self._runner is not None:
            self._runner.close()


def opened(mode: Mode, clone: Clone, clock: FrozenClock, **changed: Any) -> Iterator[World]:
    """Yield a world on the clone whose settings are changed so, and close it: for a fixture."""
    made = World(mode, replace(clone, settings=replace(clone.settings, **changed)), clock)
    yield made
    made.close()
