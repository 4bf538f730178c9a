"""Hazards in migrations: why each is one, and the safe way to do the same. One file per hazard."""

from __future__ import annotations

from bedplate.operations.migrate.lint.finding import Finding
from bedplate.operations.migrate.lint.lines import Linter
from bedplate.operations.migrate.lint.run import lint
from bedplate.operations.migrate.lint.squawk import program as squawk_program

__all__ = ["Finding", "Linter", "lint", "squawk_program"]
