"""DETACH PARTITION without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has
from bedplate.operations.migrate.tokens import matches


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find partitions that are taken off while nobody can use the whole table."""
    for action in statement.actions if facts.is_old(statement.table) else ():
        gentle = has(action[3:], "CONCURRENTLY") or has(action[3:], "FINALIZE")
        if matches(action, 0, "DETACH", "PARTITION") and not gentle:
            yield Finding(
                rule="detach-partition",
                severity="error",
                statement=statement.text,
                reason="It waits for everybody who reads or writes any of the partitions, and all"
                " others wait behind it.",
                recipe="DETACH PARTITION … CONCURRENTLY, in a revision with transactional = False."
                " A DEFAULT partition stands in its way: detach that in a quiet hour.",
            )
