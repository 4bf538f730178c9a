"""What all of our own tests share. The fixtures themselves are the ones that users have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bedplate.kernel.settings import Settings, load
from bedplate.testing import Clone, FrozenClock
from tests.world import World


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "tests.shop"))


@pytest.fixture(params=["async", "sync"])
def world(
    request: pytest.FixtureRequest, bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> Iterator[World]:
    made = World(request.param, bedplate_clone, bedplate_clock)
    yield made
    made.close()
