"""A project that declares modules of its own, in this process, and leaves no trace in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bedplate.kernel.model import Model


@pytest.fixture
def forgetting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget afterwards what a test imports as `corner`, and the tables that it declares."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(Model.metadata.tables)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "corner"]:
        del sys.modules[name]
    for key, declared in list(Model.metadata.tables.items()):
        if key not in before:
            Model.metadata.remove(declared)
