"""What the tests of the integrations share: an open project on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from bedplate import Database, Project
from bedplate.testing import Clone


@pytest_asyncio.fixture
async def project(bedplate_clone: Clone) -> AsyncIterator[Project]:
    async with await Project.open(settings=bedplate_clone.settings) as opened:
        yield opened


@pytest_asyncio.fixture
async def db(project: Project) -> Database:
    return project.db
