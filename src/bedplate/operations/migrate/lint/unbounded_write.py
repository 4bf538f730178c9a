"""Rows written inside of the transaction that changes the schema."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement, has, outside


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find UPDATE and DELETE of a table that others use; without WHERE it is an error."""
    writes = statement.starts("UPDATE") or statement.starts("DELETE", "FROM")
    if writes and facts.is_old(statement.table):
        bounded = has(outside(statement.words), "WHERE")
        yield Finding(
            rule="unbounded-write",
            severity="warning" if bounded else "error",
            statement=statement.text,
            reason="Its rows stay locked until the revision commits, and so do all locks taken"
            " before it; the dead rows it leaves can double the table.",
            recipe="A Backfill: batches of their own, beside the traffic, with a way back.",
        )
