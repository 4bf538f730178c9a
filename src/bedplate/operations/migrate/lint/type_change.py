"""ALTER COLUMN … TYPE."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has, position
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find columns whose type changes; to text without USING no row is written."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        at = position(action, "TYPE")
        if at is None or not matches(action, 0, "ALTER"):
            continue
        to_text = matches(action, at + 1, "TEXT") and len(action) == at + 2
        yield Finding(
            rule="type-change",
            severity="warning" if to_text and not has(action, "USING") else "error",
            statement=statement.text,
            reason="The table, and every index over the column, is written anew while nobody can"
            " read or write it, unless the old type is stored the same way.",
            recipe="Add a column of the new type, write both from the app, fill old rows with a"
            " Backfill, read the new one, and drop the old one in a later release.",
        )
