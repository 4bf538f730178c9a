"""Databases with `delivery` beside `accounting`, and a real SMTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from bedplate.kernel.settings import Settings, load
from bedplate.testing import Clone, FrozenClock
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.delivery.postmen import PostOffice, opened
from tests.spares import Spares, bedplate_template, spares

__all__ = ["bedplate_template", "spares"]


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "mining", "accounting", "delivery"))


@pytest.fixture
def post() -> Iterator[PostOffice]:
    with PostOffice() as made:
        yield made


@pytest.fixture
async def billing(
    spares: Spares, bedplate_clone: Clone, post: PostOffice, frozen_clock: FrozenClock
) -> AsyncIterator[Billing]:
    """A business on 10 March 2026, noon, whose mail goes to the post office."""
    made = Billing(bedplate_clone, opened(bedplate_clone, post.url), post, frozen_clock)
    frozen_clock.set(made.today)
    await made.db.open()
    yield made
    await made.db.close()
