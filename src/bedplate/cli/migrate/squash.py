"""`bedplate migrate squash`: make one revision of a line's oldest ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output
from bedplate.operations.migrate import squash as make_one

Module = Annotated[str, typer.Argument(help="The module's name.")]
To = Annotated[str, typer.Option("--to", metavar="REVISION", help="The last to be made one.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Make one revision of a line's oldest.",
        epilog=examples("bedplate migrate squash invoices --to 0014_totals"),
    )(squash)


def squash(context: typer.Context, module: Module, to: To, as_json: Json = False) -> None:
    """Replace a line's revisions up to --to by one that makes the same schema.

    It is run up, down and up on an empty database and compared first. It keeps the last one's
    name: databases at it or beyond notice nothing, so squash only what is applied everywhere. The
    files go into the folder squashed.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project, out.working("Making one of many"):
        made = make_one(project.target, module, to)
    out.result(
        asdict(made),
        f"{made.file} makes what {', '.join(made.replaced)} and {made.revision} made.\n\n"
        "Commit it with squashed.json; the folder squashed can go when no database is behind.",
    )
