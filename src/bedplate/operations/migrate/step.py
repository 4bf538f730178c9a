"""One step: one revision to run, up or down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bedplate.kernel.lines import Line


@dataclass(frozen=True, slots=True)
class Step:
    """One revision to run, and the versions it leads from and to."""

    line: Line
    revision: str
    direction: Literal["up", "down"]
    before: str | None
    after: str | None


OnStep = Callable[[Step], None]
"""Told of each step before it runs."""
