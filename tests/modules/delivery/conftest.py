"""Databases with `auth` and `delivery`, and SMTP servers of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from bedplate.kernel.database import Database
from bedplate.kernel.settings import Settings, load
from bedplate.testing import Clone
from tests.modules.delivery.postmen import PostOffice, opened
from tests.spares import bedplate_template, spares

__all__ = ["bedplate_template", "spares"]


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "delivery"))


@pytest.fixture
def post() -> Iterator[PostOffice]:
    """An SMTP server that takes everything, until it is told otherwise."""
    with PostOffice() as made:
        yield made


@pytest.fixture
async def db(bedplate_clone: Clone, post: PostOffice) -> AsyncIterator[Database]:
    """The database of a project whose mail goes to the post office."""
    made = opened(bedplate_clone, post.url)
    await made.open()
    yield made
    await made.close()
