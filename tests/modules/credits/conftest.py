"""Databases with `auth` and `credits`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bedplate.kernel.settings import Settings, load
from bedplate.testing import Clone, FrozenClock
from tests.asking import as_owner
from tests.modules.credits.gathered import PATIENCE_MS
from tests.spares import bedplate_template, spares
from tests.world import CLIENTS, World, opened

__all__ = ["bedplate_template", "spares"]

# What the line stores itself, and emptying a database for the next test takes along.
SETTINGS = "INSERT INTO credits.admin_settings DEFAULT VALUES ON CONFLICT DO NOTHING"


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "credits"))


@pytest.fixture
def bedplate_clone(bedplate_clone: Clone) -> Clone:
    """A database for this test, as the lines leave it."""
    as_owner(bedplate_clone, SETTINGS)
    return bedplate_clone


@pytest.fixture(params=["async", "sync"])
def wide_world(
    request: pytest.FixtureRequest, bedplate_clone: Clone, bedplate_clock: FrozenClock
) -> Iterator[World]:
    """A world for CLIENTS at once, in which many may stand in line for one account."""
    wide = {"pool_size_max": CLIENTS, "pool_wait_timeout_ms": PATIENCE_MS}
    yield from opened(request.param, bedplate_clone, bedplate_clock, **wide)
