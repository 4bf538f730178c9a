"""`bedplate demo`: the command."""

from __future__ import annotations

import typer

from bedplate.cli.demo.page import page
from bedplate.cli.demo.story import perform
from bedplate.cli.options import Json, examples
from bedplate.cli.output import ExitCode, Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Kill clients and a server, then recount.",
        epilog=examples("bedplate demo", "bedplate demo --json", "bedplate demo || echo lost"),
    )(demo)


def demo(as_json: Json = False) -> int:
    """Let 16 clients charge credits while one is killed, and the server once; then recount.

    Then half a year of invoices passes by a clock of its own, billed and paid by workers in
    parallel, one of which is killed.

    Everything happens on a server of its own in a temporary folder, which is gone afterwards: no
    project and no DATABASE_URL is looked at. Exits with 1 when a credit or an invoice is missing,
    one of them is there twice or a check finds something. Beside it runs the plan's own
    read-check-write code, to show what that loses.
    """
    out = Output(as_json)
    told = perform(out.note)
    out.result(told.as_dict(), page(told))
    return ExitCode.OK if told.ok else ExitCode.FOUND
