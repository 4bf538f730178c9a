"""Take one line back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import ModuleNotFound, UsageError
from bedplate.kernel.lines import Line
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import alembic_bridge, audit_view, lock
from bedplate.operations.migrate.receipt import Kept
from bedplate.operations.migrate.revisions_kept import refuse_edited, refuse_without_way_back
from bedplate.operations.migrate.status import LineStatus, read_status, refuse_foreign
from bedplate.operations.migrate.step import OnStep, Step
from bedplate.operations.migrate.steps import run
from bedplate.operations.migrate.surroundings import survey


@dataclass(frozen=True, slots=True)
class Undone:
    """Where the line stands now, and the rows that were not restored."""

    line: LineStatus
    kept: tuple[Kept, ...]


def undo(
    registry: Registry,
    name: str,
    *,
    to: str | None,
    owner_url: str,
    bindings: Mapping[str, Binding] | None = None,
    on_step: OnStep | None = None,
) -> Undone:
    """Run the way back of a line's revisions newer than `to`; None takes the schema away whole.

    This loses the data that those revisions made room for. PostgreSQL refuses it (MigrationFailed,
    nothing changed) while another module's tables point at what would go. Rows that a backfill
    changed get their old values back, except those that were changed since: they are named.

    Raises ModuleNotFound, UsageError (the line was never at `to`), RevisionEdited, NoWayBack and
    what apply raises.
    """
    line = _line(registry, name)
    alembic_bridge.verify(line)
    with lock.held(owner_url) as migration_lock:
        connection = migration_lock.connection
        (found,) = read_status(connection, [line])
        refuse_foreign([found])
        steps = list(_steps(line, found.current, to))
        refuse_edited(connection, [(line, step.revision) for step in steps])
        refuse_without_way_back(steps)
        with survey(registry, connection, owner_url, None, bindings or {}) as surroundings:
            audit_view.leave_out(connection, registry, name, surroundings)
            kept: list[Kept] = []
            for step in steps:
                migration_lock.confirm()
                if on_step is not None:
                    on_step(step)
                kept.extend(run(step, surroundings).kept)
            audit_view.rebuild(connection, registry, surroundings)
        (found,) = read_status(connection, [line])
        return Undone(found, tuple(kept))


def _line(registry: Registry, name: str) -> Line:
    for line in registry.lines:
        if line.name == name:
            return line
    raise ModuleNotFound(f"Module {name} is not enabled.", "See `bedplate module list`.")


def _steps(line: Line, current: str | None, to: str | None) -> Iterator[Step]:
    line.pending(current)  # refuses a database that is ahead of this code
    applied = line.revisions[: line.revisions.index(current) + 1] if current else ()
    if to is not None and to not in applied:
        raise UsageError(
            f"Module {line.name} is at {current}, which is not after {to}.",
            f"Choose one of: {', '.join(applied) or 'none is applied'}.",
        )
    for revision in reversed(applied):
        if revision == to:
            return
        place = applied.index(revision)
        yield Step(line, revision, "down", revision, applied[place - 1] if place else None)
