"""Several tables locked one after the other in one transaction."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find the statement that locks a second table that others use."""
    if not facts.transactional or not _locks(statement, facts):
        return
    locked = {
        table
        for each in facts.earlier
        if _locks(each, facts)
        for table in each.tables
        if facts.is_old(table)
    }
    announced = {table for each in facts.earlier if each.starts("LOCK") for table in each.tables}
    if locked - {statement.table} and statement.table not in locked | announced:
        yield Finding(
            rule="lock-order",
            severity="warning",
            statement=statement.text,
            reason=f"The transaction already holds {', '.join(sorted(locked))}: one that takes the"
            " tables the other way round deadlocks with it, and everybody waits for both.",
            recipe="One table per revision; or begin with one LOCK TABLE of all, in the order in"
            " which the app writes them.",
        )


def _locks(statement: Statement, facts: Facts) -> bool:
    strong = any(statement.starts(verb) for verb in ("ALTER", "DROP", "TRUNCATE", "LOCK"))
    return strong and facts.is_old(statement.table)
