"""`bedplate migrate history`: what was done to the schemas, when and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, cast

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output, table
from bedplate.operations.migrate import Happening
from bedplate.operations.migrate import history as read_history

Module = Annotated[str | None, typer.Argument(help="Only this module's.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Tell what was done, when and by whom.",
        epilog=examples("bedplate migrate history", "bedplate migrate history credits --json"),
    )(history)


def history(context: typer.Context, module: Module = None, as_json: Json = False) -> None:
    """Tell every revision that ran, up or down, and what operators decided, oldest first."""
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        found = read_history(project.target)
    kept = [each for each in found if module in (None, each.module)]
    out.result([asdict(each) for each in kept], _text(kept))


def _text(kept: Sequence[Happening]) -> str:
    if not kept:
        return "Nothing has happened yet."
    rows = [
        (
            each.at.isoformat(" ", "seconds"),
            each.by,
            each.what,
            each.module,
            each.revision,
            ", ".join(f"{name}: {_short(fact)}" for name, fact in each.facts.items()) or None,
        )
        for each in kept
    ]
    return table([("when", "who", "what", "module", "revision", "touched, or decided"), *rows])


def _short(fact: object) -> str:
    return ", ".join(map(str, cast("list[object]", fact))) if isinstance(fact, list) else str(fact)
