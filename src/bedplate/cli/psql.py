"""`bedplate psql`: PostgreSQL's own terminal, on this project's database."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Role, RoleOption, examples
from bedplate.cli.output import ExitCode, Output
from bedplate.kernel import embedded, processes
from bedplate.kernel.settings import environment

Arguments = Annotated[list[str] | None, typer.Argument(metavar="[-- ARGS]", help="psql's own.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        context_settings={"ignore_unknown_options": True},
        short_help="Open psql on the database.",
        epilog=examples(
            "bedplate psql",
            "bedplate psql --role owner",
            "bedplate psql -- -c 'SELECT name, role FROM auth.users'",
            "bedplate psql -- --csv -f report.sql",
        ),
    )(psql)


def psql(context: typer.Context, arguments: Arguments = None, role: RoleOption = Role.APP) -> int:
    """Open psql on the project's database, with arguments of its own after `--`.

    The psql on PATH is used, else the one that comes with Bedplate. It exits with psql's own code.
    """
    out = Output(as_json=False)
    settings = settings_of(context)
    with opened(settings, out) as project:
        parts = conninfo_to_dict(project.url(role))
        # In the arguments every user of the machine could read it.
        password = parts.pop("password", None)
        variables = environment() | ({"PGPASSWORD": str(password)} if password else {})
        program = shutil.which("psql") or str(embedded.programs(settings.postgres_major) / "psql")
        code = processes.interact(
            [program, "-d", make_conninfo("", **parts), *(arguments or [])], env=variables
        )
    # A negative code is a signal's number; shells add 128.
    return code if code >= ExitCode.OK else 128 - code
