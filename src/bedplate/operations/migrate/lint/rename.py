"""A table or column that gets another name."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find renames of what running code still calls by its old name."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        if matches(action, 0, "RENAME", "CONSTRAINT"):
            continue
        if matches(action, 0, "RENAME") or matches(action, 0, "SET", "SCHEMA"):
            yield Finding(
                rule="rename",
                severity="error",
                statement=statement.text,
                reason="Code that runs now calls it by its old name, and fails from this moment"
                " until its next release.",
                recipe="Keep the database's name and change the model's attribute only; or add"
                " the new column, write both, fill it with a Backfill, and drop the old one later.",
            )
