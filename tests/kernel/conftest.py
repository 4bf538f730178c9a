"""What holds for every test of the kernel: the sync world has no event loop and no thread.

Databases are used again, because most of these tests have one of their own.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator

import pytest

from tests.kernel.together import THREADS
from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "no_loop_and_no_thread", "spares"]

# psycopg_pool keeps its connections with threads of its own, named after the pool.
ALLOWED = re.compile(rf"pool-\d+-(worker-\d+|scheduler)|{THREADS}_\d+")


@pytest.fixture(autouse=True)
def no_loop_and_no_thread(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail a test of the sync world that starts a loop, or a thread that nobody asked for."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is None or callspec.params.get("world") != "sync":
        yield
        return
    started: list[str] = []
    start = threading.Thread.start

    def watched_start(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    def no_loop(*_: object, **__: object) -> None:
        raise AssertionError("the sync world made an event loop")

    monkeypatch.setattr(threading.Thread, "start", watched_start)
    monkeypatch.setattr(asyncio.BaseEventLoop, "__init__", no_loop)
    yield
    assert [name for name in started if not ALLOWED.fullmatch(name)] == []
