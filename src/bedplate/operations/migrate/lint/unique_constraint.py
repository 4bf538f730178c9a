"""PRIMARY KEY or UNIQUE on a table with rows."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has, outside
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find keys that are added without an index that is there already."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        said = outside(action)
        key = has(said, "PRIMARY", "KEY") or has(said, "UNIQUE")
        if matches(action, 0, "ADD") and key and not has(said, "USING", "INDEX"):
            yield Finding(
                rule="unique-constraint",
                severity="error",
                statement=statement.text,
                reason="Its index is built while nobody can read or write.",
                recipe="CREATE UNIQUE INDEX CONCURRENTLY in a revision with transactional = False;"
                " then ADD CONSTRAINT … UNIQUE (or PRIMARY KEY) USING INDEX, which is quick.",
            )
