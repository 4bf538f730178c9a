"""DO blocks: what they do is not written where it can be read."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.lint.finding import Facts, Finding
from bedplate.operations.migrate.lint.statement import Statement


def look(statement: Statement, facts: Facts) -> Iterator[Finding]:
    """Find code that runs other statements."""
    del facts
    if statement.starts("DO") or statement.starts("CALL") or statement.starts("EXECUTE"):
        yield Finding(
            rule="hidden-code",
            severity="warning",
            statement=statement.text,
            reason="No rule can look into it; only the rehearsal and the receipt show what it did.",
            recipe="Write its statements out, or build them in the revision's Python.",
        )
