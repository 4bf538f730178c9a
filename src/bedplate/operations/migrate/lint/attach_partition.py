"""ATTACH PARTITION."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, name_at
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find partitions with rows that are attached, unless a check was validated just before."""
    for action in statement.actions:
        if not matches(action, 0, "ATTACH", "PARTITION"):
            continue
        part = name_at(action, 2)
        checked = any(
            each.table == part and each.has("VALIDATE", "CONSTRAINT")
            for each in (*facts.history, *facts.earlier)
        )
        if facts.is_old(part) and not checked:
            yield Finding(
                rule="attach-partition",
                severity="warning",
                statement=statement.text,
                reason="Every row of the partition, and of a DEFAULT one beside it, is read under"
                " a lock to see whether it fits.",
                recipe="Give the partition a CHECK of its bounds with NOT VALID, VALIDATE it in a"
                " revision with transactional = False, then attach it.",
            )
