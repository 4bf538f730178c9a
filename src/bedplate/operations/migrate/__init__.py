"""Bring every module's schema to its newest revision, or take one back."""

from __future__ import annotations

from bedplate.operations.migrate.receipt import HeldLock, OnReceipt, Receipt
from bedplate.operations.migrate.status import LineStatus, status
from bedplate.operations.migrate.step import OnStep, Step
from bedplate.operations.migrate.target import Target
from bedplate.operations.migrate.undo import undo
from bedplate.operations.migrate.unproven import apply_unproven

__all__ = [
    "HeldLock",
    "LineStatus",
    "OnReceipt",
    "OnStep",
    "Receipt",
    "Step",
    "Target",
    "apply_unproven",
    "status",
    "undo",
]
