"""A revision that brings a database back to what its line makes, and leaves every other alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bedplate.catalog import Snapshot, connect, difference
from bedplate.kernel.errors import FolderNotWritable
from bedplate.kernel.lines import Line
from bedplate.operations.migrate.diff import Diff
from bedplate.operations.migrate.draft import Draft, next_name, statements, touches
from bedplate.operations.migrate.places import drift_between, neutral
from bedplate.operations.migrate.surroundings import survey
from bedplate.operations.migrate.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One line's way back: a revision, or SQL to run where the line is not the project's own."""

    line: Line
    path: Path
    statements: tuple[str, ...]
    is_revision: bool


def repairs(target: Target, found: Diff) -> tuple[Repair, ...]:
    """Write what brings each drifted schema back; nothing is dropped that others may add.

    A project's own line gets a revision, which on a database without the drift does nothing. A
    line that was installed is not the project's to add to: it gets a file of SQL beside
    bedplate.toml. Raises DraftRefused and FolderNotWritable.
    """
    return tuple(
        _repaired(target, line, found)
        for line in target.registry.lines
        if difference(*_one(found, line.schema))
    )


def _one(found: Diff, schema: str) -> tuple[Snapshot, Snapshot]:
    """The drifted schema as it is, and as its line makes it."""
    made = tuple(each for each in found.made.schemas if each.name == schema)
    live = tuple(each for each in found.live.schemas if each.name == schema)
    return Snapshot(live), Snapshot(made)


def _repaired(target: Target, line: Line, found: Diff) -> Repair:
    live, made = _one(found, line.schema)
    way = statements(live, made)
    if not line.folder.is_relative_to(target.folder):
        return _as_sql(target, line, way)
    with connect(target.owner_url, autocommit=True, purpose="diff") as connection:
        roles = survey(
            target.registry, connection, target.owner_url, target.app_url, target.bindings
        ).roles
    drift = "".join(f"    lines.{each!r},\n" for each in drift_between(made, live, roles))
    draft = Draft(
        line=line,
        before=line.head,
        name=next_name(line, "repair"),
        message=f"Bring {line.schema} back where it drifted from its line",
        up=(
            f"if not lines.drifted(\n{drift}):\n    return",
            *(neutral(each, roles) for each in way),
        ),
        down=("# What drifted was never meant: there is nothing to go back to.",),
        touches=touches(live, made),
    )
    return Repair(line=line, path=draft.write(), statements=way, is_revision=True)


def _as_sql(target: Target, line: Line, way: Sequence[str]) -> Repair:
    path = target.folder / f"repair_{line.schema}.sql"
    body = ";\n\n".join(way)
    text = (
        f"-- Brings the schema {line.schema} back to what its line makes.\n"
        f"-- Read it, then run it as the owner: bedplate psql --role owner -- -f {path.name}\n"
        f"BEGIN;\n\n{body};\n\nCOMMIT;\n"
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderNotWritable(
            f"{path} cannot be written: {error.strerror}.", "Make the folder writable."
        ) from None
    return Repair(line=line, path=path, statements=tuple(way), is_revision=False)
