"""`bedplate migrate`: bring schemas to the code's revision, and see where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from bedplate.cli.opening import Opened, opened, settings_of
from bedplate.cli.options import Json, examples, group
from bedplate.cli.output import ExitCode, Output, table
from bedplate.operations.migrate import LineStatus, Step
from bedplate.operations.migrate import apply as apply_lines
from bedplate.operations.migrate import status as line_status

app = group(
    "Bring every module's schema to its newest revision, or see where each stands.",
    short="Bring schemas to their newest revision.",
    epilog=examples("bedplate migrate status", "bedplate migrate apply"),
)

Check = Annotated[bool, typer.Option("--check", help="Exit with 1 unless every line is current.")]


@app.command(
    short_help="Run every pending revision.",
    epilog=examples("bedplate migrate apply", "bedplate migrate apply --json"),
)
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
        f"{said}\n\n{_text(lines)}",
    )


@app.command(
    short_help="Tell where each line stands.",
    epilog=examples("bedplate migrate status", "bedplate migrate status --check --json"),
)
def status(context: typer.Context, check: Check = False, as_json: Json = False) -> int:
    """Tell each line's revision in the database, the code's, and what is pending."""
    out = Output(as_json)
    with opened(settings_of(context), out) as project:
        lines = line_status(project.registry, project.app_url)
    current = all(line.state == "current" for line in lines)
    document = {"current": current, "modules": [asdict(line) for line in lines]}
    out.result(document, _text(lines))
    return ExitCode.FOUND if check and not current else ExitCode.OK


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


def _text(lines: Sequence[LineStatus]) -> str:
    rows = [
        (line.name, line.current, line.head, line.state, ", ".join(line.pending)) for line in lines
    ]
    return table([("module", "database", "code", "state", "pending"), *rows])
