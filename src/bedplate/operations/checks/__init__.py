"""The auditor: every law of the database and of the enabled modules, tried on the live rows."""

from __future__ import annotations

from bedplate.operations.checks.builtin import builtin
from bedplate.operations.checks.chain import GENESIS, HASHED, Book, faults
from bedplate.operations.checks.run import CheckOutcome, run

__all__ = ["GENESIS", "HASHED", "Book", "CheckOutcome", "builtin", "faults", "run"]
