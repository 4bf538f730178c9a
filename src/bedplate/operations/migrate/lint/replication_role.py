"""Triggers and foreign keys switched off."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find session_replication_role, and triggers and row security that are disabled."""
    disabled = facts.is_old(statement.table) and any(
        matches(action, 0, "DISABLE") for action in statement.actions
    )
    named = any(word.value.lower() == "session_replication_role" for word in statement.words)
    if disabled or named:
        yield Finding(
            rule="replication-role",
            severity="error",
            statement=statement.text,
            reason="What the schema promises does not hold meanwhile: foreign keys, the audit log,"
            " append-only tables, row-level security.",
            recipe="Change rows so that the rules let them; a Backfill shows which do not.",
        )
