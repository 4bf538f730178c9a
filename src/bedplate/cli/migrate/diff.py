"""`bedplate migrate diff`: where the database is not what its lines make, and the cure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from bedplate.catalog import Change
from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples, with_options
from bedplate.cli.output import ExitCode, Output
from bedplate.operations.migrate import Diff, Repair, remember, repairs
from bedplate.operations.migrate import diff as compare

Check = Annotated[bool, typer.Option("--check", help="Exit with 1 where anything drifted.")]
Mend = Annotated[bool, typer.Option("--repair", help="Draft what brings the database back.")]
Accept = Annotated[
    bool, typer.Option("--remember", help="Accept the observed tables as they are now.")
]


@dataclass(frozen=True)
class Options:
    """What to do with what differs."""

    check: Check = False
    repair: Mend = False
    remember: Accept = False
    as_json: Json = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Find drift, and draft its cure.",
        epilog=examples(
            "bedplate migrate diff",
            "bedplate migrate diff --check --json",
            "bedplate migrate diff --repair",
        ),
    )(with_options(diff, Options))


def diff(context: typer.Context, options: Options) -> int:
    """Name every object that is not as the lines make it, with the revisions the database is at.

    Whose a table is stands in bedplate.toml: [tables."schema.table"] policy = "managed",
    "tolerated" (what others added stays), "external" (only bound columns are looked at) or
    "observed" (what changed is told). --repair drafts a revision of the module; it resets nothing.
    """
    out = Output(options.as_json)
    settings = settings_of(context)
    with opened(settings, out) as project:
        if options.remember:
            out.note(f"Remembered in {remember(project.target, settings.tables)}.")
        with out.working("Comparing the database with what its lines make"):
            found = compare(project.target, settings.tables)
        drafted = repairs(project.target, found) if options.repair and found.drift else ()
    out.result(_document(found, drafted), _text(found, drafted))
    return ExitCode.FOUND if options.check and not found.clean else ExitCode.OK


def _document(found: Diff, drafted: Sequence[Repair]) -> dict[str, Any]:
    return {
        "clean": found.clean,
        "drift": [_change(change) for change in found.drift],
        "tolerated": [_change(change) for change in found.tolerated],
        "observed": [_change(change) for change in found.observed],
        "external": list(found.external),
        "repairs": [
            {"module": each.line.name, "file": str(each.path), "revision": each.is_revision}
            for each in drafted
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "action": change.action,
        "kind": change.kind,
        "name": change.name,
        "lines": change.before,
        "database": change.after,
    }


def _text(found: Diff, drafted: Sequence[Repair]) -> str:
    parts = [
        ("Drifted from the lines", [change.sentence for change in found.drift]),
        ("Bound, but not as the binding says", list(found.external)),
        ("Changed in observed tables", [change.sentence for change in found.observed]),
        ("Added by others, and tolerated", [change.sentence for change in found.tolerated]),
    ]
    said = [
        f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in parts if lines
    ]
    if not said:
        return "The database is what its lines make."
    for each in drafted:
        then = "`bedplate migrate apply`" if each.is_revision else "it with psql, as the owner"
        said.append(f"Wrote {each.path}. Read it, then run {then}.")
    if found.drift and not drafted:
        said.append(
            "`bedplate migrate diff --repair` drafts what brings it back; nothing is reset."
        )
    return "\n\n".join(said)
