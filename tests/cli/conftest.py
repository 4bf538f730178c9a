"""A project that declares modules of its own, in this process, and leaves no trace in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bedplate.kernel.model import Model


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards where a command looked for modules: the next project has its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def forgetting() -> Iterator[None]:
    """Forget afterwards what a test imports as `corner`, and the tables that it declares."""
    before = set(Model.metadata.tables)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "corner"]:
        del sys.modules[name]
    for key, declared in list(Model.metadata.tables.items()):
        if key not in before:
            Model.metadata.remove(declared)
