"""CONCURRENTLY inside of a transaction."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find what PostgreSQL refuses in a transaction."""
    refresh = statement.starts("REFRESH")
    if facts.transactional and statement.has("CONCURRENTLY") and not refresh:
        yield Finding(
            rule="concurrently",
            severity="error",
            statement=statement.text,
            reason="PostgreSQL refuses it inside of a transaction.",
            recipe="Write transactional = False at the top of the revision's file.",
        )
