"""Databases with `auth` and `credits`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bedplate.kernel.settings import Settings, load
from bedplate.testing import Clone
from tests.asking import as_owner
from tests.spares import bedplate_template, spares

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
