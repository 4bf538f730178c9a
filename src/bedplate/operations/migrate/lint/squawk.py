"""squawk's rules, beside our own, where the program is installed: `pip install bedplate[lint]`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bedplate.kernel import processes
from bedplate.kernel.errors import MigrationFailed
from bedplate.operations.migrate.lint.finding import Finding
from bedplate.operations.migrate.lint.statement import Statement

TIMEOUT_S = 60.0

# Ours look at the same and know more: what the plan creates, what was validated before.
OURS_AS_WELL = frozenset(
    {
        *("adding-field-with-default", "adding-not-nullable-field", "adding-required-field"),
        *("adding-serial-primary-key-field", "adding-foreign-key-constraint"),
        *("ban-concurrent-index-creation-in-transaction", "ban-disable-trigger"),
        *("ban-drop-column", "ban-drop-table", "ban-drop-view", "ban-replace-view-function"),
        *("ban-set-schema", "ban-truncate-cascade", "changing-column-type"),
        *("constraint-missing-not-valid", "disallowed-unique-constraint"),
        *("renaming-column", "renaming-table", "require-concurrent-index-creation"),
        *("require-concurrent-index-deletion", "require-concurrent-reindex"),
    }
)
# Taste, or what the runner sees to: its limits, its transactions, its comparing of definitions.
NOT_ASKED = frozenset(
    {
        *("ban-uncommitted-transaction", "prefer-robust-stmts", "require-lock-timeout"),
        *("require-statement-timeout", "require-table-schema", "require-timeout-settings"),
        *("syntax-error", "transaction-nesting", "unused-ignore"),
        *("prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity"),
        *("prefer-text-field", "prefer-timestamp-tz"),
    }
)


def program() -> str | None:
    """Return where squawk is: beside this Python, or on the PATH; None where it is not."""
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.is_file() else shutil.which("squawk")


def look(statements: Sequence[Statement], at: str) -> tuple[Finding, ...]:
    """Ask the program at this path about all statements at once. Raises MigrationFailed."""
    lines: list[str] = []
    owners: list[Statement] = []
    for statement in statements:
        # On one line with the end of a comment, a semicolon would be part of it.
        own = [*statement.text.splitlines(), ";"]
        lines.extend(own)
        owners.extend([statement] * len(own))
    try:
        ended = processes.run(
            [at, "--reporter", "json"], timeout_s=TIMEOUT_S, input="\n".join(lines)
        )
        found = json.loads(ended.stdout)
    except (OSError, ValueError) as error:
        raise MigrationFailed(
            f"squawk did not answer: {type(error).__name__}: {error}.",
            "Run it by hand, or lint with --no-squawk.",
        ) from None
    return tuple(_findings(found, owners))


def _findings(found: Sequence[dict[str, object]], owners: Sequence[Statement]) -> Iterator[Finding]:
    for each in found:
        rule, line = str(each["rule_name"]), each["line"]
        if rule in OURS_AS_WELL | NOT_ASKED or not isinstance(line, int) or line >= len(owners):
            continue
        yield Finding(
            rule=rule,
            severity="warning",
            statement=owners[line].text,
            reason=str(each["message"]),
            recipe=str(each["help"] or f"See https://squawkhq.com/docs/{rule}."),
            origin="squawk",
        )
