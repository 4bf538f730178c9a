from __future__ import annotations

from collections.abc import Iterator

import pytest

from bedplate.kernel.embedded import Attachment
from tests.databases import TestDatabase, new_database, running_server


@pytest.fixture(scope="session")
def server() -> Iterator[Attachment]:
    with running_server(18) as attachment:
        yield attachment


@pytest.fixture
def database(server: Attachment) -> Iterator[TestDatabase]:
    with new_database(server) as made:
        yield made
