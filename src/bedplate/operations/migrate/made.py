"""What lines make of an empty database, up to given revisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bedplate.catalog import Change, Snapshot, connect, read
from bedplate.operations.migrate import audit_view
from bedplate.operations.migrate.copies import Copy
from bedplate.operations.migrate.expected import copy_host
from bedplate.operations.migrate.ground import Ground
from bedplate.operations.migrate.state import without_books
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.steps import run
from bedplate.operations.migrate.surroundings import survey
from bedplate.operations.migrate.target import Target

Revisions = Mapping[str, str | None]
"""The revision of each line, by its name; None: the line has not begun."""


def made_at(target: Target, ground: Ground, revisions: Revisions) -> Snapshot:
    """Run each line up to its revision on an empty copy, and read the lines' schemas back.

    The runner's own tables are left out. Raises what running the revisions raises.
    """
    with ground.empty() as copy:
        run_to(target, copy, revisions)
        return read_lines(target, copy.owner_url)


def run_to(target: Target, copy: Copy, revisions: Revisions) -> None:
    """Run each line up to its revision on a copy that is empty."""
    copy_host(target, copy)
    with (
        connect(copy.owner_url, autocommit=True, purpose="migrate") as connection,
        survey(
            target.registry, connection, copy.owner_url, copy.app_url, target.bindings
        ) as surroundings,
    ):
        for line in target.registry.lines:
            before: str | None = None
            for revision in line.revisions:
                if before == revisions.get(line.name):
                    break
                run(Step(line, revision, "up", before, revision), surroundings)
                before = revision
        audit_view.rebuild(connection, target.registry, surroundings)


def ours(target: Target, changes: Iterable[Change]) -> Iterator[Change]:
    """Leave out what others have beside the lines' schemas: extensions, publications."""
    schemas = {line.schema for line in target.registry.lines}
    for change in changes:
        if change.action != "added" or change.name.partition(".")[0] in schemas:
            yield change


def read_lines(target: Target, url: str) -> Snapshot:
    """Read the lines' schemas of a database, without the runner's own tables."""
    lines = target.registry.lines
    with connect(url, autocommit=True, purpose="catalog") as connection:
        return without_books(read(connection, [line.schema for line in lines]), lines)
