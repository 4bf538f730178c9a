"""BEGIN, COMMIT, ROLLBACK inside of a revision."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement

VERBS = ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE", "SAVEPOINT", "RELEASE")


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find what ends or splits the runner's transaction."""
    del facts
    if any(statement.starts(verb) for verb in VERBS):
        yield Finding(
            rule="transaction-control",
            severity="error",
            statement=statement.text,
            reason="What was done before it can no longer be taken back, and the receipt is not"
            " written with it.",
            recipe="Leave it out: a revision is one transaction, or says transactional = False.",
        )
