"""Bring every module's schema to its newest revision, or take one back."""

from __future__ import annotations

from bedplate.operations.migrate.apply import apply
from bedplate.operations.migrate.status import LineStatus, status
from bedplate.operations.migrate.steps import OnStep, Step
from bedplate.operations.migrate.undo import undo

__all__ = ["LineStatus", "OnStep", "Step", "apply", "status", "undo"]
