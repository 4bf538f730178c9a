"""VALIDATE CONSTRAINT in the transaction that added the constraint."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, name_at
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find rules that are added NOT VALID and validated before their lock is let go."""
    if not facts.transactional or not facts.is_old(statement.table):
        return
    for action in statement.actions:
        if not matches(action, 0, "VALIDATE", "CONSTRAINT"):
            continue
        added = any(
            matches(each, 0, "ADD", "CONSTRAINT") and name_at(each, 2) == name_at(action, 2)
            for other in (*facts.earlier, statement)
            if other.table == statement.table
            for each in other.actions
        )
        if added:
            yield Finding(
                rule="held-validation",
                severity="error",
                statement=statement.text,
                reason="Every row is read while the lock that adding it took is still held: NOT"
                " VALID gains nothing.",
                recipe="VALIDATE CONSTRAINT in a revision of its own with transactional = False;"
                " there both may stand, for each statement commits by itself.",
            )
