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
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from bedplate.kernel.database import Database
from bedplate.kernel.errors import (
    BedplateError,
    ConnectionFailed,
    HandleClosed,
    LockTimeout,
    PoolTimeout,
    RetryableError,
    StatementTimeout,
)

Q = TypeVar("Q")
A = TypeVar("A")

TOGETHER_MAX = 100
"""How many calls go as one at most: the row is locked for so long."""

_EVERYBODYS = (ConnectionFailed, HandleClosed, LockTimeout, RetryableError, StatementTimeout)
"""What is nobody's own fault: alone, each would be told the same."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Q, A]):
    key: Hashable
    request: Q
    answer: asyncio.Future[A | Exception]
    patience: asyncio.TimerHandle

    def give(self, answer: A | Exception) -> None:
        """Answer, unless the caller left meanwhile, or its loop did."""
        if not self.answer.done() and not self.answer.get_loop().is_closed():
            self.answer.set_result(answer)


_Place: TypeAlias = tuple[asyncio.AbstractEventLoop, Database, Hashable]


class Gathering(Generic[Q, A]):
    """Calls of one kind, each about a subject (whose row is locked) and under a key.

    `alone` makes one call; `together` makes several about one subject, of different keys, and
    returns an answer or an error for each. Both must be safe to repeat: where `together` itself
    raises for what may be one request's fault, nobody knows whose, and each is made alone.
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

        Cancelled while it waits in line, it is not made; on its way, it is as open as for any
        statement. Raises PoolTimeout where it waits in line for longer than for a connection.
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
        waiting = self._wait(place, key, request)
        line.append(waiting)
        answer = await waiting.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _wait(self, place: _Place, key: Hashable, request: Q) -> _Waiting[Q, A]:
        """Wait in line, but no longer than for a connection."""
        loop, db, _ = place
        answer: asyncio.Future[A | Exception] = loop.create_future()

        def give_up() -> None:
            if not answer.done():
                answer.set_result(
                    PoolTimeout(
                        "Too many calls about the same row were before this one.",
                        "Shorten what locks the row, or shed load.",
                    )
                )

        patience = loop.call_later(db.leaf.wait_timeout_ms / 1000, give_up)
        return _Waiting(key, request, answer, patience)

    def _go_on(self, place: _Place) -> None:
        """Send those who wait on their way; where nobody does, the line ends."""
        loop = place[0]
        batch = [] if loop.is_closed() else _next(self._lines[place])
        if not batch:
            del self._lines[place]
            return
        # Nobody's context: each request brings its own, and none may pass for another's.
        task = Context().run(loop.create_task, self._carry(place[1], batch))
        self._on_their_way.add(task)

        # Not at the end of the task itself: one that is stopped before it began has none.
        def ended(_: asyncio.Task[None]) -> None:
            self._on_their_way.discard(task)
            for waiting in batch:
                waiting.give(ConnectionFailed("The call was stopped.", "Make it again."))
            self._go_on(place)

        def left(_: asyncio.Future[A | Exception]) -> None:
            if all(waiting.answer.cancelled() for waiting in batch):
                task.cancel()

        task.add_done_callback(ended)
        for waiting in batch:
            waiting.answer.add_done_callback(left)

    async def _carry(self, db: Database, batch: list[_Waiting[Q, A]]) -> None:
        if len(batch) == 1 or not await self._carried_together(db, batch):
            await self._carry_one_by_one(db, batch)

    async def _carried_together(self, db: Database, batch: list[_Waiting[Q, A]]) -> bool:
        """Make the calls as one; False where it failed, and it may be one request's own fault."""
        answers: list[A | Exception]
        try:
            answers = await self._together(db, [waiting.request for waiting in batch])
        except _EVERYBODYS as error:
            answers = [_own(error) for _ in batch]
        except Exception:
            return False
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.give(answer)
        return True

    async def _carry_one_by_one(self, db: Database, batch: list[_Waiting[Q, A]]) -> None:
        for waiting in batch:
            if waiting.answer.done():
                continue
            try:
                waiting.give(await self._alone(db, waiting.request))
            except _EVERYBODYS as error:
                for each in batch:
                    each.give(_own(error))
            except Exception as error:
                waiting.give(error)


def _own(error: BedplateError) -> BedplateError:
    """Return the error for one of several: whoever catches it adds what is its own."""
    return copy(error).with_traceback(error.__traceback__)


def _next(line: deque[_Waiting[Q, A]]) -> list[_Waiting[Q, A]]:
    """Take who goes next, in their order, without who left, up to a key that comes again."""
    taken: dict[Hashable, _Waiting[Q, A]] = {}
    while line and line[0].key not in taken and len(taken) < TOGETHER_MAX:
        waiting = line.popleft()
        waiting.patience.cancel()
        if not waiting.answer.done():
            taken[waiting.key] = waiting
    return list(taken.values())
