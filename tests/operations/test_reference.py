"""The data dictionary in `docs/reference` is what the shipped modules really make."""

from __future__ import annotations

from pathlib import Path

import pytest

from bedplate.kernel import registry
from bedplate.operations import document, migrate
from tests.databases import TestDatabase

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_is_current(database: TestDatabase) -> None:
    """When this fails, run `bedplate docs build` with every module enabled, and copy its pages."""
    modules = registry.load(registry.available())
    migrate.apply_unproven(modules, owner_url=database.owner_url, app_url=database.app_url)
    if not REFERENCE.is_dir():
        pytest.skip("an installed copy has no docs")
    assert not document.stale(modules, database.owner_url, REFERENCE)
