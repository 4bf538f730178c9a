"""Calls that would only wait for one another: those that wait meanwhile go together, as one.

Verbs that lock the same row follow each other whatever we do, each for as long as a commit takes,
and each with a connection of its own. So one goes at a time, by itself and at once, as if there
were nobody else; whoever comes meanwhile waits here, without a connection, and goes with all the
others that wait by then. One process gathers what its own event loop calls; several processes are
kept apart by the row's lock, as ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from bedplate.kernel.database import Database

Q = TypeVar("Q")
A = TypeVar("A")

TOGETHER_MAX = 100
"""How many calls go as one at most: the row is locked for so long."""


class _Unknown(Exception):
    """A call that went for several failed; it does not say for whom."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Q, A]):
    key: Hashable
    request: Q
    answer: asyncio.Future[A | Exception]


_Place: TypeAlias = tuple[asyncio.AbstractEventLoop, Database, Hashable]


class Gathering(Generic[Q, A]):
    """Calls of one kind, each about a subject (whose row is locked) and under a key.

    `alone` makes one call; `together` makes several about one subject, of different keys, and
    returns an answer or an error for each. Both must be safe to repeat: where `together` itself
    raises, nobody knows for whom, and each of them asks again alone.
    """

    def __init__(
        self,
        alone: Callable[[Database, Q], Awaitable[A]],
        together: Callable[[Database, list[Q]], Awaitable[list[A | Exception]]],
    ) -> None:
        self._alone = alone
        self._together = together
        self._lines: dict[_Place, deque[_Waiting[Q, A]]] = {}
        """Who waits behind the call that is on its way; a subject without one has no line."""
        self._on_their_way: set[asyncio.Task[None]] = set()

    async def ask(self, db: Database, subject: Hashable, key: Hashable, request: Q) -> A:
        """Make the call; return or raise what it does.

        Cancelled while it waits, it is not made; later, that is as open as for any statement.
        """
        if not db.leaf.suspends:
            return await self._alone(db, request)
        place = (asyncio.get_running_loop(), db, subject)
        line = self._lines.get(place)
        if line is None:
            self._lines[place] = deque()
            try:
                return await self._alone(db, request)
            finally:
                self._go_on(place)
        waiting: _Waiting[Q, A] = _Waiting(key, request, place[0].create_future())
        line.append(waiting)
        answer = await waiting.answer
        if isinstance(answer, _Unknown):
            return await self._alone(db, request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _go_on(self, place: _Place) -> None:
        """Send those who wait on their way; where nobody does, the line ends."""
        loop = place[0]
        batch = [] if loop.is_closed() else _next(self._lines[place])
        if not batch:
            del self._lines[place]
            return
        # Nobody's context: each request brings its own, and none may pass for another's.
        task = loop.create_task(self._carry(place, batch), context=Context())
        self._on_their_way.add(task)
        task.add_done_callback(self._on_their_way.discard)

    async def _carry(self, place: _Place, batch: list[_Waiting[Q, A]]) -> None:
        answers: list[A | Exception] = [_Unknown() for _ in batch]
        try:
            requests = [waiting.request for waiting in batch]
            if len(requests) > 1:
                answers = await self._together(place[1], requests)
            else:
                answers = [await self._alone(place[1], requests[0])]
        except Exception as error:
            if len(batch) == 1:
                answers = [error]
        finally:
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)
            self._go_on(place)


def _next(line: deque[_Waiting[Q, A]]) -> list[_Waiting[Q, A]]:
    """Take who goes next, in their order, without who left, up to a key that comes again."""
    taken: dict[Hashable, _Waiting[Q, A]] = {}
    while line and line[0].key not in taken and len(taken) < TOGETHER_MAX:
        waiting = line.popleft()
        if not waiting.answer.cancelled():
            taken[waiting.key] = waiting
    return list(taken.values())
