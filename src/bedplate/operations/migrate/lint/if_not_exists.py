"""IF NOT EXISTS."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, outside, position


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find what is not made where something of its name is there; steps compare for themselves."""
    makes = statement.starts("CREATE") or statement.starts("ALTER", "TABLE")
    if facts.transactional and makes:
        if position(outside(statement.words), "IF", "NOT", "EXISTS") is None:
            return
        yield Finding(
            rule="if-not-exists",
            severity="error",
            statement=statement.text,
            reason="PostgreSQL compares the name alone: with another definition under it the"
            " revision succeeds, and the schema is not what the line says.",
            recipe="Leave it out: the runner knows which revisions ran, and a failed one leaves"
            " nothing behind.",
        )
