"""A generated column whose values are stored."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has, outside
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find GENERATED ALWAYS AS (…) STORED on a table that others use."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        if matches(action, 0, "ADD") and has(outside(action), "STORED"):
            yield Finding(
                rule="stored-generated",
                severity="error",
                statement=statement.text,
                reason="The whole table is written anew while nobody can read or write it.",
                recipe="On PostgreSQL 18 a VIRTUAL one costs nothing; elsewhere add a plain"
                " column, keep it by a trigger, and fill old rows with a Backfill.",
            )
