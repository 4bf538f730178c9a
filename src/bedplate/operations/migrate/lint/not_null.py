"""NOT NULL on a table with rows."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, Words, has, name_at, outside
from bedplate.operations.migrate.tokens import matches

RECIPE = (
    "ADD CONSTRAINT … CHECK (column IS NOT NULL) NOT VALID; VALIDATE CONSTRAINT in a revision with"
    " transactional = False; then SET NOT NULL, which reads no row any more, and drop the check."
)


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find columns that become, or come as, NOT NULL."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        if matches(action, 0, "ALTER") and has(action, "SET", "NOT", "NULL"):
            if not _is_checked(_column(action), statement.table, facts):
                yield _found(statement, "Every row is read while nobody can read or write.")
        elif matches(action, 0, "ADD") and not has(action[:2], "CONSTRAINT"):
            said = outside(action)
            filled = has(said, "DEFAULT") or has(said, "GENERATED")
            if has(said, "NOT", "NULL") and not filled:
                yield _found(statement, "It fails as soon as the table has one row.")


def _found(statement: Statement, reason: str) -> Finding:
    return Finding(
        rule="not-null",
        severity="error",
        statement=statement.text,
        reason=reason,
        recipe=RECIPE,
    )


def _column(action: Words) -> str:
    return name_at(action, 2 if matches(action, 1, "COLUMN") else 1)


def _is_checked(column: str, table: str | None, facts: Facts) -> bool:
    """Whether an earlier statement validated a check that says the same."""
    checks: set[str] = set()
    for each in (*facts.history, *facts.earlier):
        for action in each.actions if each.table == table else ():
            if matches(action, 0, "ADD", "CONSTRAINT") and has(action, "IS", "NOT", "NULL"):
                if any(word.identifier == column for word in action[3:]):
                    checks.add(name_at(action, 2))
            elif matches(action, 0, "VALIDATE", "CONSTRAINT") and name_at(action, 2) in checks:
                return True
    return False
