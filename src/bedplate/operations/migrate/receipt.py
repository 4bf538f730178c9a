"""The receipt of one revision: what it touched of what existed before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock on a table that existed before, and how long it was held (to the commit)."""

    statement: str
    table: str
    mode: str
    held_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one revision touched; names are those of objects that existed before it."""

    module: str
    revision: str
    rows_touched: int
    rewritten: tuple[str, ...]
    shape_changes: tuple[str, ...]
    locks: tuple[HeldLock, ...]
    tables_watched: int
    receipt_ms: float


OnReceipt = Callable[[Receipt], None]
"""Told of each receipt once its revision is committed."""
