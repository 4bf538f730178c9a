"""Databases with `auth`, `mining` and `accounting`, and worlds wide enough for many clients."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bedplate.kernel.settings import Settings, load
from bedplate.testing import Clone, FrozenClock, Server, Template
from tests.modules.accounting.business import CLIENTS
from tests.spares import Spares, spares
from tests.world import World

__all__ = ["spares"]


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "mining", "accounting"))


@pytest.fixture(scope="session")
def bedplate_template(bedplate_server: Server, bedplate_settings: Settings) -> Generator[Template]:
    """A template of our own: the run's other one has other modules."""
    template = Template(bedplate_server, bedplate_settings)
    yield template
    template.close()


@pytest.fixture
def bedplate_clone(spares: Spares, bedplate_clock: FrozenClock) -> Iterator[Clone]:
    """A database for this test, as the lines leave it."""
    clone = spares.take()
    with bedplate_clock.ruling(clone.owner_url):
        yield clone
    spares.give_back(clone)


@pytest.fixture(params=["async", "sync"])
def wide_world(
    request: pytest.FixtureRequest, bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> Any:
    """A world whose pool has a connection for each of the clients."""
    settings = replace(bedplate_clone.settings, pool_size_max=CLIENTS)
    made = World(request.param, replace(bedplate_clone, settings=settings), bedplate_clock)
    yield made
    made.close()
