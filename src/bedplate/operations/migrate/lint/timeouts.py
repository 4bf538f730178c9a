"""Limits of the runner's, set otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement

LIMITS = (
    *("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"),
    *("transaction_timeout", "deadlock_timeout"),
)


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find SET, RESET and set_config() of a limit."""
    del facts
    sets = statement.starts("SET") or statement.starts("RESET") or statement.has("SET_CONFIG")
    named = (word.value.lower() for word in statement.words if word.kind != "symbol")
    if sets and any(name in LIMITS for name in named):
        yield Finding(
            rule="timeouts",
            severity="error",
            statement=statement.text,
            reason="A statement that waits for its lock makes everybody wait who comes after it:"
            " the runner's limits are what ends that.",
            recipe="Leave it out: the runner gives way after 2 s and tries again, and gives"
            " CONCURRENTLY and VALIDATE the time they need.",
        )
