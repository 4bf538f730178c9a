"""`bedplate url`: how to connect, password included."""

from __future__ import annotations

import typer

from bedplate.cli.opening import address, opened, settings_of
from bedplate.cli.options import Json, Role, RoleOption, examples
from bedplate.cli.output import Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Print the URL, password included.",
        epilog=examples(
            "bedplate url",
            "bedplate url --role reader",
            'DATABASE_URL="$(bedplate url)" python app.py',
        ),
    )(url)


def url(context: typer.Context, role: RoleOption = Role.APP, as_json: Json = False) -> None:
    """Print the database's URL with its password: keep it to yourself.

    The roles: app runs the product, owner changes schemas, reader only looks, admin is the
    server's superuser. Behind DATABASE_URL there are app and owner.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        found = project.url(role)
        started = project.attachment is not None and project.attachment.started_server
    if started:
        out.note("The server is stopped again; `bedplate up` keeps it running.")
    out.result({"role": role.value, "url": found, **address(found)}, found)
