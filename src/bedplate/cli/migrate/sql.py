"""`bedplate migrate sql`: lines as plain SQL, for a host that migrates with a tool of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples, with_options
from bedplate.cli.output import Output
from bedplate.operations.migrate import Part, as_sql

Module = Annotated[str | None, typer.Argument(help="Only this module's line. [default: all]")]
Since = Annotated[
    str | None, typer.Option("--from", metavar="REVISION", help="The revision to begin after.")
]
To = Annotated[str | None, typer.Option("--to", metavar="REVISION", help="The revision to end at.")]
Down = Annotated[bool, typer.Option("--down", help="The way back, from --from to --to.")]


@dataclass(frozen=True)
class Options:
    """Which part of which lines."""

    module: Module = None
    since: Since = None
    to: To = None
    down: Down = False
    as_json: Json = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Print lines as plain SQL.",
        epilog=examples(
            "bedplate migrate sql > bedplate.sql",
            "bedplate migrate sql credits --from 0003_ledger",
            "bedplate migrate sql credits --down --to 0003_ledger",
        ),
    )(with_options(sql, Options))


def sql(context: typer.Context, options: Options) -> None:
    """Print what lines send, recorded while they run on an empty database beside; not this one's.

    Every revision is a transaction that ends with its version row, so that `bedplate migrate
    status` knows where the schemas are when the host's tool has run it. The roles' names are this
    database's. A revision with a Backfill is refused: the message says how to go around it.
    """
    out = Output(options.as_json)
    part = Part(module=options.module, since=options.since, to=options.to, down=options.down)
    with (
        opened(settings_of(context), out) as project,
        out.working("Running the lines on an empty database"),
    ):
        text = as_sql(project.target, part)
    out.result({"sql": text}, text)
