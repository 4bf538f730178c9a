"""Take over schemas that were made by other means: record where they are, running nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from bedplate.catalog import Connection, Snapshot, connect, difference, read
from bedplate.kernel.errors import BaselineDiffers, ModuleNotFound, UsageError
from bedplate.kernel.lines import VERSION_TABLE, Line
from bedplate.operations.migrate import books, lock, schemas
from bedplate.operations.migrate.ground import grounds
from bedplate.operations.migrate.made import made_at, ours
from bedplate.operations.migrate.state import without_books
from bedplate.operations.migrate.surroundings import Surroundings, survey
from bedplate.operations.migrate.target import Target

DIFFERENCES_SHOWN_MAX = 20

MARK = "SELECT pg_catalog.obj_description(pg_catalog.to_regnamespace(%s), 'pg_namespace')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One line whose version was recorded; `before` is what stood there, None for nothing."""

    module: str
    before: str | None
    revision: str


def baseline(target: Target, revisions: Mapping[str, str] | None = None) -> tuple[Taken, ...]:
    """Record each line's revision where the schema is what the line makes of it there.

    `revisions` names lines and the revisions they are said to be at; what it leaves out is taken
    at its head where its schema exists. A schema without Bedplate's mark gets it. Nothing else is
    changed, and nothing at all unless every object of every line equals what the revisions make.
    Written into the journal.

    Raises BaselineDiffers with what differs, ModuleNotFound, UsageError, RehearsalRefused.
    """
    wanted = dict(revisions or {})
    _refuse_unknown(target, wanted)
    with lock.held(target.owner_url) as migration_lock:
        connection = migration_lock.connection
        lines = [line for line in target.registry.lines if _exists(connection, line)]
        for line in lines:
            wanted.setdefault(line.name, line.head or "")
        missing = sorted(wanted.keys() - {line.name for line in lines})
        if missing or not lines:
            raise BaselineDiffers(
                f"The database has no schema of {', '.join(missing) or 'any enabled module'}.",
                "Nothing was recorded: `bedplate migrate apply` makes what is missing.",
            )
        with grounds(target) as ground:
            made = made_at(target, ground, wanted)
        _refuse_differences(target, made, _live(connection, target, lines), lines)
        with connect(target.owner_url, purpose="baseline") as writing:
            found = survey(
                target.registry, writing, target.owner_url, target.app_url, target.bindings
            )
            taken = [_taken(writing, line, wanted[line.name], found) for line in lines]
            books.ensure(writing, found.app, found.reader)
            changed = tuple(each for each in taken if each.before != each.revision)
            for each in changed:
                details = {"module": each.module, "revision": each.revision, "before": each.before}
                books.note(writing, books.Decision("baseline", details))
    return changed


def _refuse_unknown(target: Target, wanted: Mapping[str, str]) -> None:
    lines = {line.name: line for line in target.registry.lines}
    for name, revision in wanted.items():
        if name not in lines:
            raise ModuleNotFound(f"Module {name} is not enabled.", "See `bedplate module list`.")
        if revision not in lines[name].revisions:
            raise UsageError(
                f"Module {name} has no revision {revision}.",
                f"Choose one of: {', '.join(lines[name].revisions)}.",
            )


def _exists(connection: Connection, line: Line) -> bool:
    row = connection.execute(
        "SELECT pg_catalog.to_regnamespace(%s) IS NOT NULL",
        [sql.Identifier(line.schema).as_string()],
    ).fetchone()
    return row == (True,)


def _live(connection: Connection, target: Target, lines: Sequence[Line]) -> Snapshot:
    found = read(connection, [line.schema for line in lines])
    return without_books(found, target.registry.lines)


def _refuse_differences(
    target: Target, made: Snapshot, live: Snapshot, lines: Sequence[Line]
) -> None:
    """Compare all but the schemas' marks, and the runner's own function beside its books."""
    schemas_of = {line.schema for line in lines}
    kept = replace(made, schemas=tuple(s for s in made.schemas if s.name in schemas_of))
    differences = [
        change
        for change in ours(target, difference(kept, live))
        if change.name not in schemas_of and not change.name.endswith(".refuse_in_books()")
    ]
    if not differences:
        return
    shown = "; ".join(change.sentence for change in differences[:DIFFERENCES_SHOWN_MAX])
    more = len(differences) - DIFFERENCES_SHOWN_MAX
    rest = f"; and {more} more" if more > 0 else ""
    raise BaselineDiffers(
        f"The database is not what the lines make ({len(differences)} differences): {shown}{rest}.",
        "Nothing was recorded: name the revision it is at, or bring it there.",
    )


def _taken(connection: Connection, line: Line, revision: str, surroundings: Surroundings) -> Taken:
    """Write the mark and the version row; the table is made as the runner makes it."""
    name = sql.Identifier(line.schema, VERSION_TABLE)
    mark = connection.execute(MARK, [sql.Identifier(line.schema).as_string()]).fetchone()
    if mark != (line.mark,):
        comment = sql.SQL("COMMENT ON SCHEMA {} IS {}")
        connection.execute(comment.format(sql.Identifier(line.schema), sql.Literal(line.mark)))
    there = connection.execute(
        "SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [name.as_string()]
    ).fetchone()
    if there != (True,):
        roles = (surroundings.app, surroundings.reader, surroundings.guarded)
        schemas.create_table(connection, line, *roles)
    row = connection.execute(sql.SQL("SELECT version_num FROM {}").format(name)).fetchone()
    before = None if row is None else str(row[0])
    if before is None:
        schemas.record(connection, line, before=None, after=revision)
    elif before != revision:
        schemas.record(connection, line, before=before, after=revision)
    return Taken(module=line.name, before=before, revision=revision)
