"""Databases with `auth` and `mining`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import pytest

from bedplate.kernel.settings import Settings, load
from bedplate.testing import Server, Template
from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "spares"]


@pytest.fixture(scope="session")
def bedplate_settings() -> Settings:
    return replace(load(), modules=("auth", "mining"))


@pytest.fixture(scope="session")
def bedplate_template(bedplate_server: Server, bedplate_settings: Settings) -> Generator[Template]:
    """A template of our own: the run's other one has other modules."""
    template = Template(bedplate_server, bedplate_settings)
    yield template
    template.close()
