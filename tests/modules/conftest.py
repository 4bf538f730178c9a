"""Tests of modules use databases again, as the kernel's do."""

from __future__ import annotations

from tests.spares import bedplate_clone, spares

__all__ = ["bedplate_clone", "spares"]
