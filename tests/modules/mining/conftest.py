"""Databases with `auth` and `mining`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bedplate.kernel.settings import Settings, load
from tests.spares import bedplate_template, spares

__all__ = ["bedplate_template", "spares"]


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "mining"))
