"""ADD CONSTRAINT … EXCLUDE."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find exclusion constraints on tables that others use."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        if matches(action, 0, "ADD") and has(action[:4], "EXCLUDE"):
            yield Finding(
                rule="exclusion-constraint",
                severity="error",
                statement=statement.text,
                reason="Its index is built while nobody can read or write, and PostgreSQL has no"
                " concurrent way.",
                recipe="Make a new table with the constraint, and move rows with a Backfill; or"
                " take the time window, and say so in the release notes.",
            )
