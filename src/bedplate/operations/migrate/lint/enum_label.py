"""Labels of an enum that change their name or go."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find RENAME VALUE, and writes to pg_enum."""
    del facts
    renames = statement.starts("ALTER", "TYPE") and statement.has("RENAME", "VALUE")
    writes = any(statement.starts(verb) for verb in ("UPDATE", "DELETE", "INSERT"))
    if renames or (writes and statement.has("PG_ENUM")):
        yield Finding(
            rule="enum-label",
            severity="error",
            statement=statement.text,
            reason="Every row that holds the label reads differently at once, without one row"
            " being written and without a lock; code that compares with the old label goes wrong.",
            recipe="Add the new label (ALTER TYPE … ADD VALUE), let code read both, fill rows with"
            " a Backfill, and leave the old label unused.",
        )
