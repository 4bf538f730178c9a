"""ADD CONSTRAINT that checks old rows at once."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has, outside
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find foreign keys and checks that are added without NOT VALID."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        said = outside(action)
        if not matches(action, 0, "ADD") or has(said, "NOT", "VALID"):
            continue
        named = matches(action, 1, "CONSTRAINT")
        unnamed = matches(action, 1, "CHECK") or matches(action, 1, "FOREIGN", "KEY")
        if (named and (has(said, "CHECK") or has(said, "FOREIGN", "KEY"))) or unnamed:
            yield Finding(
                rule="unvalidated-constraint",
                severity="error",
                statement=statement.text,
                reason="Every row is checked while nobody can write: to this table, and for a"
                " foreign key to the one it points at.",
                recipe="Add it with NOT VALID, and VALIDATE CONSTRAINT in a revision of its own"
                " with transactional = False.",
            )
