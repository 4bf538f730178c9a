"""ADD COLUMN with a default that differs from row to row."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has, name_at, position
from bedplate.operations.migrate.tokens import matches

# Asked once for the whole table: PostgreSQL keeps the one answer and writes no row.
STABLE = frozenset({"now", "bedplate.now", "statement_timestamp", "transaction_timestamp"})
SERIALS = frozenset({"SERIAL", "BIGSERIAL", "SMALLSERIAL", "SERIAL2", "SERIAL4", "SERIAL8"})


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find columns that make PostgreSQL write every row anew."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        if not matches(action, 0, "ADD") or has(action[:2], "CONSTRAINT"):
            continue
        numbered = has(action, "AS", "IDENTITY") or any(
            word.kind == "word" and word.value in SERIALS for word in action
        )
        default = position(action, "DEFAULT")
        called = None
        if default is not None:
            called = next(
                (
                    name_at(action, place)
                    for place in range(default + 1, len(action) - 1)
                    if action[place].identifier and matches(action, place + 1, "(")
                ),
                None,
            )
        if numbered or (called is not None and called not in STABLE):
            yield Finding(
                rule="volatile-default",
                severity="error",
                statement=statement.text,
                reason="Each row needs a value of its own, so the whole table is written anew"
                " while nobody can read or write it.",
                recipe="Add the column without a default, set the default in a second statement"
                " (ALTER COLUMN … SET DEFAULT), and fill old rows with a Backfill.",
            )
