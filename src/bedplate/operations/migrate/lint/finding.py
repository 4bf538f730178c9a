"""What a linter finds, and what it may know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from bedplate.operations.migrate.lint.statement import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hazard in one statement: why it is one, and how to do the same safely.

    An "error" stops others, loses data or hides what happens; a "warning" asks to be thought
    about. `origin` is whose rule it is: bedplate or squawk. `revision` is empty for plain SQL.
    """

    rule: str
    severity: Literal["error", "warning"]
    statement: str
    reason: str
    recipe: str
    origin: str = "bedplate"
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the statement.

    `existing` are the tables there were before the plan (None: not known, so all it does not
    create); `made` are those that it created so far. `earlier` are the statements before this one
    in its revision, `history` those of earlier revisions. `transactional` tells whether the
    revision is one transaction.
    """

    existing: Collection[str] | None
    made: Collection[str]
    earlier: Sequence[Statement]
    history: Sequence[Statement]
    transactional: bool = True

    def is_old(self, table: str | None) -> bool:
        """Tell whether others may be using the table: it was there before the plan."""
        if table is None or table in self.made:
            return False
        return self.existing is None or table in self.existing
