"""SET LOGGED, SET UNLOGGED."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find tables that are written into or out of the log."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        if matches(action, 0, "SET", "LOGGED") or matches(action, 0, "SET", "UNLOGGED"):
            yield Finding(
                rule="persistence",
                severity="error",
                statement=statement.text,
                reason="The table is written anew while nobody can read or write it; an UNLOGGED"
                " one is empty after a crash, and on every replica.",
                recipe="Make a new table as it should be, and move rows with a Backfill.",
            )
