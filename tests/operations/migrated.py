"""Databases at which Bedplate's own line, or also the shop's first two revisions, were applied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from tests.databases import Server, TestDatabase, new_database
from tests.operations.fake_module import shop


@pytest.fixture(scope="session")
def kernel_template(server: Server) -> Iterator[str]:
    """The name of a database to copy: applied once, by whoever is first."""
    with new_database(server) as made:
        migrate.apply_unproven(Registry([]), owner_url=made.owner_url, app_url=made.app_url)
        yield made.name


@pytest.fixture
def kernel_database(server: Server, kernel_template: str) -> Iterator[TestDatabase]:
    """A database with the kernel's line and no module."""
    with new_database(server, kernel_template) as made:
        yield made


@pytest.fixture(scope="session")
def shop_template(
    server: Server, kernel_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of one that has the shop's line too."""
    folder = tmp_path_factory.mktemp("template")
    with new_database(server, kernel_template) as made:
        migrate.apply_unproven(
            Registry([shop(folder).manifest()]), owner_url=made.owner_url, app_url=made.app_url
        )
        yield made.name


@pytest.fixture
def shop_database(server: Server, shop_template: str) -> Iterator[TestDatabase]:
    """A database with the shop's two revisions and no rows."""
    with new_database(server, shop_template) as made:
        yield made
