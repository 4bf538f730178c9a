"""What must hold of a revision's file before it is run: unchanged since, and a way back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from bedplate.catalog import Connection
from bedplate.kernel.errors import NoWayBack, RevisionEdited
from bedplate.kernel.lines import Line
from bedplate.operations.migrate import alembic_bridge
from bedplate.operations.migrate.status import LineStatus
from bedplate.operations.migrate.step import Step

APPLIED = """
SELECT DISTINCT ON (module, revision) module, revision, document ->> 'sha256'
FROM bedplate.receipts WHERE direction = 'up' ORDER BY module, revision, number DESC
"""


def applied(lines: Sequence[Line], found: Sequence[LineStatus]) -> Iterator[tuple[Line, str]]:
    """Yield every revision that a database has, with its line; of a newer database's line none."""
    for line, status in zip(lines, found, strict=True):
        if status.current in line.revisions:
            for name in line.revisions[: line.revisions.index(status.current) + 1]:
                yield line, name


def refuse_edited(connection: Connection, revisions: Iterable[tuple[Line, str]]) -> None:
    """Raise RevisionEdited where the file of an applied revision is not the one that was run.

    The receipt holds the file's SHA-256. A revision without a receipt is not compared.
    """
    row = connection.execute("SELECT pg_catalog.to_regclass('bedplate.receipts') IS NOT NULL")
    if row.fetchone() != (True,):
        return
    ran = {(module, name): sha256 for module, name, sha256 in connection.execute(APPLIED)}
    for line, name in revisions:
        sha256 = ran.get((line.name, name))
        # What several revisions were made into has the name of the last of them.
        if sha256 is None or name in line.squashed.values():
            continue
        file = line.folder / f"{name}.py"
        if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            place = line.revisions.index(name)
            before = f" --to {line.revisions[place - 1]}" if place else ""
            raise RevisionEdited(
                f"Module {line.name}, revision {name} was edited after it was applied here:"
                f" {file}.",
                "Restore the file and write the change as a new revision; on a database of"
                f" your own, restore it, run `bedplate migrate undo {line.name}{before}`, and"
                " then edit it.",
            )


def refuse_without_way_back(steps: Iterable[Step]) -> None:
    """Raise NoWayBack, before the first step, where one of them cannot be undone."""
    for step in steps:
        revision = alembic_bridge.describe(step.line, step.revision)
        file = step.line.folder / f"{step.revision}.py"
        if revision.irreversible is not None:
            raise NoWayBack(
                f"Module {step.line.name}, revision {step.revision} has no way back, as its file"
                f" says: {revision.irreversible.rstrip('.')}.",
                "Nothing was changed: restore a backup into a new database, or go forward with a"
                " new revision.",
            )
        if not revision.has_downgrade:
            raise NoWayBack(
                f"Module {step.line.name}, revision {step.revision} has no downgrade(): {file}.",
                'Nothing was changed: write one, or say irreversible = "why" at the top of it.',
            )
