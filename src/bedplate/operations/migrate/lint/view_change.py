"""A view that others may read, replaced or dropped."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find views and materialized views that change under their readers."""
    del facts
    replaced = statement.starts("CREATE", "OR", "REPLACE") and statement.has("VIEW")
    dropped = statement.starts("DROP", "VIEW") or statement.starts("DROP", "MATERIALIZED", "VIEW")
    refreshed = statement.starts("REFRESH", "MATERIALIZED", "VIEW")
    if refreshed and not statement.has("CONCURRENTLY"):
        yield Finding(
            rule="view-change",
            severity="error",
            statement=statement.text,
            reason="Nobody can read the view while it is filled.",
            recipe="REFRESH … CONCURRENTLY needs a unique index, and belongs into a periodic job.",
        )
    elif replaced or dropped:
        yield Finding(
            rule="view-change",
            severity="warning",
            statement=statement.text,
            reason="Code and other views that read it see other rows or columns from one moment"
            " to the next; its grants go with a DROP.",
            recipe="Make the new view under a new name, let readers change over, and drop the old"
            " one later.",
        )
