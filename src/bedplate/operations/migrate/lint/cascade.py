"""CASCADE: what else goes is not written down."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, outside
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find DROP and TRUNCATE that end in CASCADE."""
    del facts
    drops = statement.starts("DROP") or statement.starts("TRUNCATE")
    drops = drops or any(matches(action, 0, "DROP") for action in statement.actions)
    if drops and any(word.value == "CASCADE" for word in outside(statement.words)[-1:]):
        yield Finding(
            rule="cascade",
            severity="error",
            statement=statement.text,
            reason="Whatever depends on it goes too: views, foreign keys, whole tables' rows, and"
            " what that is can differ from one database to the next.",
            recipe="Name each object that is to go, in the order in which it can.",
        )
