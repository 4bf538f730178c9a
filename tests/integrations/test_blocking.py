"""Without an event loop: the same coroutines, driven by a plain call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from bedplate.integrations.blocking import BlockingLeaf, open_project, wait
from bedplate.kernel.errors import Suspended
from bedplate.modules.auth import User, create_user, users
from bedplate.project import Project
from bedplate.testing import Clone


async def add(a: int, b: int) -> int:
    return a + b


def test_wait_returns_what_the_coroutine_returns() -> None:
    assert wait(add(1, 2)) == 3


def test_wait_raises_what_the_coroutine_raises() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        wait(fail())


def test_a_coroutine_that_waits_on_something_else_is_told_and_cleaned_up() -> None:
    cleaned: list[str] = []

    async def nap() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append("up")

    with pytest.raises(Suspended, match=r"nap waited on something other.*asyncio\.run"):
        wait(nap())
    assert cleaned == ["up"]


def test_an_async_project_under_wait_is_told_so(bedplate_clone: Clone) -> None:
    with pytest.raises((Suspended, RuntimeError)):
        wait(Project.open(settings=bedplate_clone.settings))


def test_async_generators_run_to_their_end() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def collect() -> list[int]:
        return [number async for number in numbers()]

    assert wait(collect()) == [0, 1, 2]


def test_a_project_works_from_many_threads_at_once(bedplate_clone: Clone) -> None:
    """A sync web server has a thread per request; each drives its own coroutine."""
    project = open_project(settings=bedplate_clone.settings)
    failures: list[BaseException] = []

    async def register(number: int) -> None:
        async with project.db.transaction() as tx:
            await create_user(tx, User(email=f"u{number}@example.com"))

    def work(first: int) -> None:
        try:
            for number in range(first, first + 5):
                wait(register(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n * 5,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert wait(users.count(project.db)) == 40
    wait(project.close())


def test_only_the_pools_own_threads_are_started_and_they_end_with_it(
    bedplate_clone: Clone,
) -> None:
    before = set(threading.enumerate())
    project = open_project(settings=bedplate_clone.settings)
    assert isinstance(project.db.leaf, BlockingLeaf)
    wait(users.count(project.db))
    started = set(threading.enumerate()) - before
    assert all(thread.name.startswith("pool-") for thread in started)
    wait(project.close())
    assert set(threading.enumerate()) - before == set()
