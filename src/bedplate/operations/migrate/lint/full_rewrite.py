"""CLUSTER, VACUUM FULL and a new place for a table."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find what writes a whole table anew without changing it."""
    moved = facts.is_old(statement.table) and any(
        matches(action, 0, "SET", "TABLESPACE") or matches(action, 0, "SET", "ACCESS", "METHOD")
        for action in statement.actions
    )
    vacuum = statement.starts("VACUUM") and statement.has("FULL")
    if moved or vacuum or statement.starts("CLUSTER"):
        yield Finding(
            rule="full-rewrite",
            severity="error",
            statement=statement.text,
            reason="The table and all its indexes are written anew while nobody can read or write.",
            recipe="This is no matter of the schema: leave it to autovacuum, or to pg_repack in a"
            " quiet hour.",
        )
