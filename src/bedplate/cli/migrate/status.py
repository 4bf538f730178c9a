"""`bedplate migrate status`: where each line stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import ExitCode, Output, table
from bedplate.operations.migrate import LineStatus
from bedplate.operations.migrate import status as line_status

Check = Annotated[bool, typer.Option("--check", help="Exit with 1 unless every line is current.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Tell where each line stands.",
        epilog=examples("bedplate migrate status", "bedplate migrate status --check --json"),
    )(status)


def status(context: typer.Context, check: Check = False, as_json: Json = False) -> int:
    """Tell each line's revision in the database, the code's, and what is pending."""
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        lines = line_status(project.registry, project.app_url)
    current = all(line.state == "current" for line in lines)
    document = {"current": current, "modules": [asdict(line) for line in lines]}
    out.result(document, table_of(lines))
    return ExitCode.FOUND if check and not current else ExitCode.OK


def table_of(lines: Sequence[LineStatus]) -> str:
    """Return where the lines stand, as a table."""
    rows = [
        (line.name, line.current, line.head, line.state, ", ".join(line.pending)) for line in lines
    ]
    return table([("module", "database", "code", "state", "pending"), *rows])
