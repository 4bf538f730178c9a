"""The data dictionary and the diagrams, written from what the database really has."""

from __future__ import annotations

from bedplate.operations.document.build import build, check, stale
from bedplate.operations.document.coverage import uncommented

__all__ = ["build", "check", "stale", "uncommented"]
