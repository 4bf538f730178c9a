"""TRUNCATE."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find tables that are emptied."""
    if statement.starts("TRUNCATE") and any(map(facts.is_old, statement.tables)):
        yield Finding(
            rule="truncate",
            severity="error",
            statement=statement.text,
            reason="Every row goes at once, past triggers for rows and past the audit log, and"
            " nobody can read meanwhile.",
            recipe="Rows that are to go leave in batches, by a job with a DELETE and a limit.",
        )
