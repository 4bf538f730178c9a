"""Whoever opens the database with another tool is told there what everything is."""

from __future__ import annotations

from bedplate.testing import Clone
from tests.asking import SILENT, ask


def test_everything_has_a_comment(bedplate_clone: Clone) -> None:
    assert ask(bedplate_clone, SILENT) == []
