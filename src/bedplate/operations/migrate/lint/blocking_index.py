"""An index that is made, dropped or rebuilt while nobody can write."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement

RECIPE = (
    "Say CONCURRENTLY (in Alembic postgresql_concurrently=True), in a revision of its own with"
    " transactional = False."
)


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find indexes that are built without CONCURRENTLY on a table that others use."""
    makes = statement.starts("CREATE", "INDEX") or statement.starts("CREATE", "UNIQUE", "INDEX")
    if statement.has("CONCURRENTLY"):
        return
    if makes and facts.is_old(statement.table):
        yield _found(statement, "error", "Nobody can write to the table while it is built.")
    elif statement.starts("REINDEX"):
        yield _found(statement, "error", "Nobody can write to the table while it is rebuilt.")
    elif statement.starts("DROP", "INDEX"):
        yield _found(statement, "warning", "It waits for every reader, and all others behind it.")


def _found(statement: Statement, severity: str, reason: str) -> Finding:
    return Finding(
        rule="blocking-index",
        severity="error" if severity == "error" else "warning",
        statement=statement.text,
        reason=reason,
        recipe=RECIPE,
    )
