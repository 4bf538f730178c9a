"""`bedplate migrate apply`: bring every schema to the code's revision."""

from __future__ import annotations

from dataclasses import asdict

import typer

from bedplate.cli.migrate.status import table_of
from bedplate.cli.opening import Opened, opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output
from bedplate.operations.migrate import LineStatus, Step
from bedplate.operations.migrate import apply_unproven as apply_lines


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Run every pending revision.",
        epilog=examples("bedplate migrate apply", "bedplate migrate apply --json"),
    )(apply)


def apply(context: typer.Context, as_json: Json = False) -> None:
    """Run every pending revision, each in a transaction of its own; repeating it is safe.

    Runs as the owner: DATABASE_OWNER_URL where it is set.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        applied, lines = migrated(project, out)
    said = f"Applied: {', '.join(applied)}." if applied else "Nothing was pending."
    out.result(
        {"applied": applied, "modules": [asdict(line) for line in lines]},
        f"{said}\n\n{table_of(lines)}",
    )


def migrated(project: Opened, out: Output) -> tuple[list[str], tuple[LineStatus, ...]]:
    """Apply every line, telling each step; return the steps and where the lines stand now."""
    applied: list[str] = []

    def tell(step: Step) -> None:
        applied.append(f"{step.line.name} {step.revision}")
        out.note(f"Migrating {applied[-1]}")

    with out.working("Bringing schemas to their newest revision"):
        lines = apply_lines(
            project.registry,
            owner_url=project.owner_url,
            app_url=project.app_url,
            bindings=project.settings.bind,
            on_step=tell,
        )
    return applied, lines
