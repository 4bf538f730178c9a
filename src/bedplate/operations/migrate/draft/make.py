"""Draft a module's next revision from what its models and its line disagree about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bedplate.catalog import Change, Column, Schema, Snapshot, Table, difference
from bedplate.kernel.errors import DraftRefused, ModuleNotFound
from bedplate.kernel.footprint import Footprint
from bedplate.kernel.lines import Line
from bedplate.kernel.model import GUARDED, is_guarded, mapper_of, table_name
from bedplate.kernel.module import ModuleManifest
from bedplate.operations.migrate import alembic_bridge, expected
from bedplate.operations.migrate.draft.apart import Apart, split
from bedplate.operations.migrate.draft.file import Draft, next_name
from bedplate.operations.migrate.draft.known import only, overlaid, without_model
from bedplate.operations.migrate.draft.names import quoted
from bedplate.operations.migrate.draft.renames import (
    Answers,
    Ask,
    Rename,
    columns_renamed,
    tables_renamed,
)
from bedplate.operations.migrate.draft.render import statements
from bedplate.operations.migrate.draft.touching import touches
from bedplate.operations.migrate.ground import Ground, grounds
from bedplate.operations.migrate.target import Target

APART = "it comes beside the traffic, in a revision of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a draft.

    `renames` maps old names to new ones, "" where the old one is to be dropped; full names, or
    as much of their end as tells them apart. `ask` is asked what they leave open; None: nobody
    can be asked. `drop` names the tables without a model that are to go.
    """

    message: str | None = None
    renames: Mapping[str, str] = field(default_factory=dict[str, str])
    ask: Ask | None = None
    drop: Collection[str] = ()
    empty: bool = False


def make(target: Target, name: str, wish: Wish) -> Draft | None:
    """Return the draft of a module's next revision; None where its models and line agree.

    Nothing is written: `Draft.write` does. The database is not asked: the line is run, and the
    models are made, on private ones.

    Raises ModuleNotFound, RenameUndecided, UsageError, DraftRefused, RehearsalRefused, and what
    apply raises where the line does not run.
    """
    line, manifest = _module(target, name)
    alembic_bridge.verify(line)
    if wish.empty:
        return _empty(line, wish.message)
    with grounds(target) as ground:
        lines = expected.from_lines(target, ground)
        models = expected.from_models(target, ground).schema(line.schema)
        made = lines.schema(line.schema) or Schema(line.schema, line.mark, (), (), ())
        if lines.schema(line.schema) is None:
            lines = replace(lines, schemas=(*lines.schemas, made))
        renames = _renames(made, models, wish)
        if renames:
            lines = _renamed(target, ground, renames)
            made = lines.schema(line.schema) or made
    gone = _dropped(made, models, wish.drop)
    wanted = overlaid(made, models, gone=gone)
    parts = split(made, wanted)
    wanted = parts.schema
    after = only(lines, wanted)
    changes = difference(lines, after)
    if not changes and not renames:
        return _beside_the_traffic(line, wish, parts.apart) if parts.apart else None
    up, notes = _explained(made, wanted, statements(lines, after))
    notes += [f"{each.name} is left for the next `make`: {APART}." for each in parts.apart]
    notes += [
        f"{name} comes NOT VALID: the next `make` drafts the revision that validates it."
        for name in parts.unvalidated
    ]
    notes += [
        f"{name} is left for a later `make`: it points at a key that has to come first."
        for name in parts.waiting
    ]
    return Draft(
        line=line,
        before=line.head,
        name=next_name(line, wish.message or _named(changes, renames)),
        message=wish.message or _said(changes, renames),
        up=(*(each.statement() for each in renames), *up, *_beside(manifest, made, wanted)),
        down=(*statements(after, lines), *(each.back() for each in reversed(renames))),
        touches=_touched(renames, lines, after),
        notes=tuple(notes),
    )


def _touched(renames: Sequence[Rename], before: Snapshot, after: Snapshot) -> Footprint:
    rest = touches(before, after)
    renamed = {each.table or each.old for each in renames}
    return replace(rest, shape=tuple(sorted({*rest.shape, *renamed})))


def _module(target: Target, name: str) -> tuple[Line, ModuleManifest]:
    manifest = target.registry.by_name.get(name)
    if manifest is None:
        raise ModuleNotFound(f"Module {name} is not enabled.", "See `bedplate module list`.")
    (line,) = (each for each in target.registry.lines if each.name == name)
    return line, manifest


def _beside_the_traffic(line: Line, wish: Wish, parts: Sequence[Apart]) -> Draft:
    names = [each.name for each in parts]
    return Draft(
        line=line,
        before=line.head,
        name=next_name(line, wish.message or "_".join(names)),
        message=wish.message or f"Bring {', '.join(names)} while rows are written",
        up=tuple(statement for each in parts for statement in each.up),
        down=tuple(statement for each in reversed(parts) for statement in each.down),
        touches=Footprint(shape=tuple(sorted({name for each in parts for name in each.shape}))),
        transactional=False,
    )


def _empty(line: Line, message: str | None) -> Draft:
    if not message:
        raise DraftRefused("An empty revision needs a name.", "Give one: -m 'what it will change'.")
    return Draft(
        line=line,
        before=line.head,
        name=next_name(line, message),
        message=message,
        up=(),
        down=(),
    )


def _renames(made: Schema, models: Schema | None, wish: Wish) -> list[Rename]:
    answers = Answers(wish.renames, wish.ask)
    found = list(tables_renamed(made, models, answers))
    names = {each.new: each.old for each in found}
    before = {table.full_name: table for table in made.tables}
    for model in models.tables if models is not None else ():
        line_table = before.get(names.get(model.full_name, model.full_name))
        if line_table is not None:
            found += columns_renamed(line_table, model, answers)
    answers.refuse_unused()
    return found


def _renamed(target: Target, ground: Ground, renames: Sequence[Rename]) -> Snapshot:
    """Run the lines and then the renames: what PostgreSQL makes of them is read, not guessed."""
    return expected.from_lines(target, ground, then=[each.statement() for each in renames])


def _dropped(made: Schema, models: Schema | None, drop: Collection[str]) -> list[str]:
    left = without_model(made, models)
    names = [name.removeprefix(f"{made.name}.") for name in drop]
    for name in names:
        if name not in left:
            raise DraftRefused(
                f"--drop {name}: {made.name} has no such table that is without a model.",
                f"Those are: {', '.join(left) or 'none'}.",
            )
    return names


def _explained(
    made: Schema, wanted: Schema, up: tuple[str, ...]
) -> tuple[tuple[str, ...], list[str]]:
    """Add the column that existing rows have no value for in two steps, and say what is between."""
    before = {table.name: table for table in made.tables}
    notes: list[str] = []
    for table in wanted.tables:
        for column in _unfilled(before.get(table.name), table):
            place = f"ALTER TABLE {quoted(table.schema, table.name)}"
            name = f"{table.full_name}.{column.name}"
            notes.append(f"{name} is NOT NULL without a default: rows that exist need a value.")
            how = (
                f"# {name} has no value in the rows that exist: fill it here, with\n"
                f'# rows=["{table.full_name}"] in touches (many rows: by a backfill). Where the\n'
                "# table has no rows yet there is nothing to fill."
            )
            at = next(
                place_of
                for place_of, statement in enumerate(up)
                if statement.startswith(f"{place} ADD COLUMN {quoted(column.name)} ")
            )
            added = up[at].removesuffix(" NOT NULL")
            strict = f"{place} ALTER COLUMN {quoted(column.name)} SET NOT NULL"
            up = (*up[:at], added, how, strict, *up[at + 1 :])
    return up, notes


def _unfilled(before: Table | None, after: Table) -> Iterator[Column]:
    known = {column.name for column in before.columns} if before is not None else None
    for column in after.columns:
        is_new = known is not None and column.name not in known
        has_value = column.nullable or column.default is not None or column.identity
        if is_new and not has_value:
            yield column


def _beside(manifest: ModuleManifest, made: Schema, wanted: Schema) -> Iterator[str]:
    """What a new table needs beside its definition: the roles' rights, and their wall."""
    there = {table.name for table in made.tables}
    guarded: dict[str, str] = {}
    for model in manifest.models:
        if is_guarded(model):
            table_of_model: Any = mapper_of(model).local_table
            guarded[table_name(model)] = table_of_model.info[GUARDED]
    for table in wanted.tables:
        if table.name in there:
            continue
        yield f'lines.grant("{table.name}")'
        if table.full_name in guarded:
            yield f'lines.guard("{table.name}", "{guarded[table.full_name]}")'


def _named(changes: Sequence[Change], renames: Sequence[Rename]) -> str:
    """A name for the file: the first thing that changes, without the schema."""
    if renames:
        return f"{renames[0].new.rpartition('.')[2]}_renamed"
    first = _telling(changes)[0]
    parts = first.name.split(".")[1:] or [first.name]
    rest = {"added": "", "removed": "_gone", "changed": "_changed"}[first.action]
    return "_".join(parts) + rest


def _said(changes: Sequence[Change], renames: Sequence[Rename]) -> str:
    said = [f"{each.old} is called {each.new}" for each in renames]
    said += [f"{change.kind} {change.name} {change.action}" for change in _telling(changes)]
    return said[0] if len(said) == 1 else f"{said[0]}, and {len(said) - 1} more"


def _telling(changes: Sequence[Change]) -> Sequence[Change]:
    """Leave out the comments, unless they are all there is."""
    return [change for change in changes if change.kind != "comment"] or changes
