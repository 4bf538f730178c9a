"""What all of our own tests share. The fixtures themselves are the ones that users have."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bedplate.kernel import roles
from bedplate.kernel.embedded.server import THROWAWAY_ROUNDS
from bedplate.kernel.settings import Settings, load
from bedplate.testing import Clone, FrozenClock
from tests import memory
from tests.databases import database, server
from tests.reader import Reader
from tests.world import CLIENTS, World, opened

__all__ = ["database", "server"]

# Before anything asks for a temporary file, and for every program that tests start.
os.environ["TMPDIR"] = tempfile.tempdir = memory.folder()
os.environ["XDG_CACHE_HOME"] = memory.cache()
# .ci/debian-postgres runs a server for each worker.
servers = os.environ.get("DEBIAN_POSTGRES_URLS", "").split()
worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
if servers:
    os.environ["BEDPLATE_TEST_DATABASE_URL"] = servers[int(worker) % len(servers)]
    # PostgreSQL 15 asks for 4,096 rounds, 6 ms of each connection; it takes what has fewer.
    roles.SCRAM_ROUNDS = THROWAWAY_ROUNDS
# What a shell starts in the background ignores Ctrl-C, and so would every program of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="run the large numbers too, and write what they showed under docs/proofs",
    )
    parser.addoption(
        "--one-world",
        action="store_true",
        help="for another server: leave out the sync twins, which it cannot tell apart, and, where"
        " it was given by its URL, what meets it in no way",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # At the end, the other worker would wait for them.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if not config.getoption("--full"):
        large = pytest.mark.skip(reason="a large number: run with --full")
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(large)
    if config.getoption("--one-world"):
        is_given = load().test.database_url is not None
        left = {item for item in items if _is_twin(item) or (is_given and _starts_its_own(item))}
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]


def _starts_its_own(item: pytest.Item) -> bool:
    """Whether it needs no server, or starts the wheel's: with the wheel's it has run already."""
    servers = {"server", "bedplate_server"}
    return isinstance(item, pytest.Function) and servers.isdisjoint(item.fixturenames)


def _is_twin(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and (
        hasattr(item, "callspec")
        and "sync" in {item.callspec.params.get(name) for name in ("world", "wide_world")}
    )


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "tests.shop"))


@pytest.fixture(params=["async", "sync"])
def world(
    request: pytest.FixtureRequest, bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> Iterator[World]:
    yield from opened(request.param, bedplate_clone, bedplate_clock)


@pytest.fixture(params=["async", "sync"])
def wide_world(
    request: pytest.FixtureRequest, bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> Iterator[World]:
    """A world whose pool has a connection for each of CLIENTS clients."""
    yield from opened(request.param, bedplate_clone, bedplate_clock, pool_size_max=CLIENTS)


@pytest.fixture
def reader(bedplate_clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", bedplate_clone.url)
    return Reader(tmp_path, bedplate_clone.url)
