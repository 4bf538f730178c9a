"""A column or table that goes, with its data."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement
from bedplate.operations.migrate.tokens import matches

KEPT = ("CONSTRAINT", "DEFAULT", "IDENTITY", "EXPRESSION", "NOT")


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find columns and tables that are dropped."""
    tables = statement.tables if statement.starts("DROP", "TABLE") else ()
    columns = [
        action
        for action in statement.actions
        if matches(action, 0, "DROP") and not any(matches(action, 1, word) for word in KEPT)
    ]
    if any(map(facts.is_old, tables)) or (columns and facts.is_old(statement.table)):
        yield Finding(
            rule="drop",
            severity="error",
            statement=statement.text,
            reason="Its data is gone, and code that runs now still reads it.",
            recipe="Release code that does not use it first (a column also out of its model);"
            " drop it in a later revision that says touches = Footprint(shape=[…]), with a backup.",
        )
