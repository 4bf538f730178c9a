"""Make one revision of a line's oldest ones, with the same result."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bedplate.catalog import Schema, Snapshot, connect, difference, has_rows
from bedplate.kernel.errors import ModuleNotFound, SquashRefused, UsageError
from bedplate.kernel.lines import SQUASHED, VERSION_TABLE, Line
from bedplate.operations.migrate import alembic_bridge
from bedplate.operations.migrate.copies import Copy
from bedplate.operations.migrate.draft import Draft, statements
from bedplate.operations.migrate.ground import Ground, grounds
from bedplate.operations.migrate.made import run_to
from bedplate.operations.migrate.places import Roles, neutral
from bedplate.operations.migrate.state import read_schema
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.steps import run
from bedplate.operations.migrate.surroundings import Surroundings, survey
from bedplate.operations.migrate.target import Target

KEPT = "squashed"
"""The folder, beside the line's revisions, to which the files go that were made one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Squashed:
    """What was made one: `revision` is the name of the last, which the one revision keeps."""

    module: str
    revision: str
    replaced: tuple[str, ...]
    file: Path


def squash(target: Target, name: str, to: str) -> Squashed:
    """Replace a project's own revisions up to `to` by one that makes the same schema.

    It keeps the last one's name, so databases that are at it or beyond notice nothing. One that is
    at a revision before it is told to be migrated with the code from before the squash. The files
    go into the folder `squashed`; the map lies beside the line.

    Raises SquashRefused (an installed line, revisions that write rows or reach beyond their own
    schema), ModuleNotFound, UsageError, RehearsalRefused.
    """
    line, old = _asked(target, name, to)
    with grounds(target) as ground:
        made, roles = _made(target, ground, line, to)
        draft = _draft(line, made, to, old, roles)
        _prove(target, ground, line, draft, made)
    kept = line.folder / KEPT
    kept.mkdir(exist_ok=True)
    for revision in (*old, to):
        shutil.move(line.folder / f"{revision}.py", kept / f"{revision}.py")
    draft.write()
    known = {**line.squashed, **dict.fromkeys((*line.squashed, *old), to)}
    text = json.dumps(known, indent=4, sort_keys=True)
    (line.folder / SQUASHED).write_text(f"{text}\n", encoding="utf-8")
    return Squashed(module=name, revision=to, replaced=old, file=draft.path)


def _asked(target: Target, name: str, to: str) -> tuple[Line, tuple[str, ...]]:
    line = next((each for each in target.registry.lines if each.name == name), None)
    if line is None:
        raise ModuleNotFound(f"Module {name} is not enabled.", "See `bedplate module list`.")
    alembic_bridge.verify(line)
    if to not in line.revisions:
        raise UsageError(
            f"Module {name} has no revision {to}.", f"Choose one of: {', '.join(line.revisions)}."
        )
    if not line.folder.resolve().is_relative_to(target.folder.resolve()):
        raise SquashRefused(
            f"The line of {name} is not the project's own: it lies in {line.folder}.",
            "Only who publishes a module can squash its line.",
        )
    old = line.revisions[: line.revisions.index(to)]
    if not old:
        raise SquashRefused(f"{to} is the first revision of {name}.", "There is nothing to squash.")
    for revision in (*old, to):
        if not alembic_bridge.describe(line, revision).transactional:
            raise SquashRefused(
                f"{revision} of {name} runs outside of a transaction.",
                "Squash up to a revision before it.",
            )
    return line, old


def _made(target: Target, ground: Ground, line: Line, to: str) -> tuple[Snapshot, Roles]:
    """Run the revisions as they are: what they make is what the one has to make."""
    with ground.empty() as copy:
        run_to(target, copy, _before(target, line, to))
        with connect(copy.owner_url, autocommit=True, purpose="squash") as connection:
            version = f"{line.schema}.{VERSION_TABLE}"
            if has_rows(connection, [line.schema], but=(version,)):
                raise SquashRefused(
                    f"The revisions of {line.name} up to {to} write rows, which a schema does not"
                    " tell.",
                    "Squash up to a revision before the one that does.",
                )
            return read_schema(connection, target.registry.lines), _survey(target, copy).roles


def _draft(line: Line, made: Snapshot, to: str, old: Sequence[str], roles: Roles) -> Draft:
    schema = made.schema(line.schema)
    assert schema is not None, "the revisions were run"
    full = Snapshot((schema,))
    empty = Schema(schema.name, schema.comment, (), (), (), schema.owner, grants=schema.grants)
    bare = Snapshot((empty,))
    return Draft(
        line=line,
        before=None,
        name=to,
        message=f"All that {old[0]} to {to} made, in one revision",
        up=tuple(_portable(each, roles) for each in statements(bare, full)),
        down=tuple(statements(full, bare)),
    )


def _portable(statement: str, roles: Roles) -> str:
    """Row-level security is there only where the guarded role is: see `lines.guard`."""
    if statement.endswith("ENABLE ROW LEVEL SECURITY"):
        return f"if lines.current().guarded is not None:\n    op.execute({statement!r})"
    return neutral(statement, roles)


def _prove(target: Target, ground: Ground, line: Line, draft: Draft, made: Snapshot) -> None:
    """Run the one revision up, down and up: the schema must be the same, everywhere."""
    with tempfile.TemporaryDirectory(prefix="bedplate-squash-") as folder, ground.empty() as copy:
        alone = replace(line, folder=Path(folder))
        replace(draft, line=alone).write()
        run_to(target, copy, _before(target, line, None))
        up = Step(alone, draft.name, "up", None, draft.name)
        down = Step(alone, draft.name, "down", draft.name, None)
        with _survey(target, copy) as surroundings:
            for step in (up, down, up):
                run(step, surroundings)
        with connect(copy.owner_url, autocommit=True, purpose="squash") as connection:
            found = difference(made, read_schema(connection, target.registry.lines))
    if found:
        raise SquashRefused(
            f"One revision would not make the same: {'; '.join(each.sentence for each in found)}.",
            "No file was changed: squash up to another revision.",
        )


def _before(target: Target, line: Line, revision: str | None) -> dict[str, str | None]:
    """The lines before this one at their heads, this one at the revision, later ones nowhere."""
    order = [each.name for each in target.registry.lines]
    return {
        each.name: each.head
        if order.index(each.name) < order.index(line.name)
        else revision
        if each.name == line.name
        else None
        for each in target.registry.lines
    }


def _survey(target: Target, copy: Copy) -> Surroundings:
    with connect(copy.owner_url, autocommit=True, purpose="squash") as connection:
        return survey(target.registry, connection, copy.owner_url, copy.app_url, target.bindings)
