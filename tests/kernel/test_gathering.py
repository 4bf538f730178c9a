"""One call at a time about a subject; those that wait meanwhile go together."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from bedplate.kernel.context import acting, current
from bedplate.kernel.database import Database
from bedplate.kernel.errors import ConnectionFailed, ConnectionLost, PoolTimeout
from bedplate.kernel.gathering import TOGETHER_MAX, Gathering


class _Leaf:
    def __init__(self, suspends: bool) -> None:
        self.suspends = suspends
        self.wait_timeout_ms = 60_000


class _Db:
    def __init__(self, suspends: bool = True) -> None:
        self.leaf = _Leaf(suspends)


class Calls:
    """Calls that are written down, and that return once they may."""

    def __init__(self) -> None:
        self.made: list[list[str]] = []
        self.stopped: list[list[str]] = []
        self.actors: list[Any] = []
        self.may_end = asyncio.Event()
        self.gathering: Gathering[str, str] = Gathering(self._alone, self._together)
        self.db = cast(Database, _Db())

    async def _alone(self, db: Database, request: str) -> str:
        (answer,) = await self._together(db, [request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _together(self, db: Database, requests: list[str]) -> list[str | Exception]:
        self.made.append(requests)
        self.actors.append(current().actor)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped.append(requests)
            raise
        if "broken" in requests:
            raise TypeError
        if "lost" in requests:
            raise ConnectionLost("It broke.")
        return [ValueError(each) if each == "bad" else each.upper() for each in requests]

    def ask(self, request: str, subject: str = "s", key: str | None = None) -> asyncio.Task[str]:
        asked = self.gathering.ask(self.db, subject, request if key is None else key, request)
        return asyncio.create_task(asked)

    async def end(self, *tasks: asyncio.Task[str]) -> list[Any]:
        """Let every call end, once all were asked for; return what came of each."""
        await turns()
        self.may_end.set()
        return await ended(*tasks)


async def turns(many: int = 5) -> None:
    """Let everybody run until nobody has anything left to do."""
    for _ in range(many):
        await asyncio.sleep(0)


async def ended(*tasks: asyncio.Task[str]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_goes_by_itself_and_who_comes_meanwhile_goes_together() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in "abcd"]
    await turns()
    assert calls.made == [["a"]]
    assert await calls.end(*tasks) == ["A", "B", "C", "D"]
    assert calls.made == [["a"], ["b", "c", "d"]]
    assert await calls.ask("e") == "E"
    assert calls.made[2:] == [["e"]]


async def test_subjects_do_not_wait_for_one_another() -> None:
    calls = Calls()
    tasks = [calls.ask("a", subject="s"), calls.ask("b", subject="t")]
    await turns()
    assert calls.made == [["a"], ["b"]]
    assert await calls.end(*tasks) == ["A", "B"]


async def test_a_key_goes_once_in_a_call_and_nobody_overtakes() -> None:
    calls = Calls()
    tasks = [calls.ask(name, key=key) for name, key in zip("abcdef", "123214", strict=True)]
    assert await calls.end(*tasks) == list("ABCDEF")
    assert calls.made == [["a"], ["b", "c"], ["d", "e", "f"]]


async def test_no_call_takes_more_than_the_most() -> None:
    calls = Calls()
    tasks = [calls.ask(str(number)) for number in range(2 * TOGETHER_MAX + 2)]
    assert await calls.end(*tasks) == [str(number) for number in range(2 * TOGETHER_MAX + 2)]
    assert list(map(len, calls.made)) == [1, TOGETHER_MAX, TOGETHER_MAX, 1]


async def test_an_error_is_its_own() -> None:
    calls = Calls()
    tasks = [calls.ask(name, key=str(n)) for n, name in enumerate(["bad", "b", "bad", "d"])]
    outcomes = await calls.end(*tasks)
    assert [type(each) for each in outcomes] == [ValueError, str, ValueError, str]


async def test_where_it_may_be_ones_own_fault_each_is_asked_for_alone_in_its_turn() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in ("a", "b", "broken", "d")]
    await turns()
    calls.may_end.set()
    await turns(2)
    tasks.append(calls.ask("e"))
    assert [type(each) for each in await ended(*tasks)] == [str, str, TypeError, str, str]
    assert calls.made == [["a"], ["b", "broken", "d"], ["b"], ["broken"], ["d"], ["e"]]


async def test_what_is_nobodys_fault_is_told_to_all_who_went() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in ("a", "b", "lost", "d")]
    outcomes = await calls.end(*tasks)
    assert [type(each) for each in outcomes] == [str, *[ConnectionLost] * 3]
    assert len({id(each) for each in outcomes[1:]}) == 3
    assert calls.made == [["a"], ["b", "lost", "d"]]
    assert await calls.ask("e") == "E"


async def test_one_by_one_too_nobodys_fault_is_told_to_all_who_are_left() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in ("a", "b", "broken", "lost", "e")]
    outcomes = await calls.end(*tasks)
    assert [type(each) for each in outcomes] == [str, str, TypeError, *[ConnectionLost] * 2]
    assert calls.made == [["a"], ["b", "broken", "lost", "e"], ["b"], ["broken"], ["lost"]]


async def test_nobody_waits_in_line_for_longer_than_for_a_connection() -> None:
    calls = Calls()
    calls.db.leaf.wait_timeout_ms = 50
    first = calls.ask("a")
    await turns()
    second = calls.ask("b")
    with pytest.raises(PoolTimeout):
        await second
    calls.db.leaf.wait_timeout_ms = 60_000
    assert await calls.end(first, calls.ask("c")) == ["A", "C"]
    assert calls.made == [["a"], ["c"]]


async def test_who_leaves_while_waiting_is_not_asked_for() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in "abc"]
    await turns()
    tasks[1].cancel()
    assert [type(each) for each in await calls.end(*tasks)] == [str, asyncio.CancelledError, str]
    assert calls.made == [["a"], ["c"]]


async def test_the_first_may_leave_and_so_may_all() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in "abc"]
    await turns()
    tasks[0].cancel()
    await turns()
    assert calls.made == [["a"], ["b", "c"]]
    for task in tasks:
        task.cancel()
    await ended(*tasks)
    calls.may_end.set()
    assert await calls.ask("d") == "D"


async def test_a_call_that_nobody_waits_for_any_more_is_stopped() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in "abcd"]
    await turns()
    tasks[0].cancel()
    await turns()
    tasks[3].cancel()
    await turns()
    assert calls.stopped == [["a"]]
    for task in tasks[1:3]:
        task.cancel()
    await ended(*tasks)
    await turns()
    assert calls.stopped == [["a"], ["b", "c", "d"]]


async def test_a_call_that_is_stopped_before_it_began_holds_nobody_up() -> None:
    calls = Calls()
    tasks = [calls.ask(name) for name in "abc"]
    await turns()
    calls.may_end.set()
    while not calls.gathering._on_their_way:
        await turns(1)
    (carrying,) = calls.gathering._on_their_way
    carrying.cancel()
    outcomes = await ended(*tasks)
    assert [type(each) for each in outcomes] == [str, ConnectionFailed, ConnectionFailed]
    assert calls.made == [["a"]]
    assert await calls.ask("d") == "D"


async def test_nobody_lends_its_name_to_those_who_wait() -> None:
    calls = Calls()
    with acting("ada"):
        tasks = [calls.ask("a")]
    with acting("grace"):
        tasks += [calls.ask("b"), calls.ask("c")]
    await calls.end(*tasks)
    assert calls.actors == ["ada", None]


def test_a_loop_that_ended_in_the_middle_holds_up_no_other() -> None:
    async def begun() -> Calls:
        calls = Calls()
        tasks = [calls.ask(name) for name in "abc"]
        await turns()
        assert not any(task.done() for task in tasks)
        return calls

    async def again(calls: Calls) -> str:
        calls.may_end = asyncio.Event()
        calls.may_end.set()
        return await asyncio.wait_for(calls.ask("d"), timeout=30)

    calls = asyncio.run(begun())
    assert asyncio.run(again(calls)) == "D"
    assert not calls.gathering._lines


async def test_a_leaf_that_does_not_suspend_never_waits_here() -> None:
    calls = Calls()
    calls.db = cast(Database, _Db(suspends=False))
    tasks = [calls.ask(name) for name in "ab"]
    await turns()
    assert calls.made == [["a"], ["b"]]
    await calls.end(*tasks)


@pytest.mark.parametrize("many", [1, 3])
async def test_who_waits_is_told_by_the_error_that_it_raised(many: int) -> None:
    calls = Calls()
    tasks = [calls.ask("a"), *(calls.ask("bad", key=str(n)) for n in range(many))]
    outcomes = await calls.end(*tasks)
    assert [str(each) for each in outcomes[1:]] == ["bad"] * many
