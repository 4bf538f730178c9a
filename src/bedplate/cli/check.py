"""`bedplate check`: the auditor, on the live rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import ExitCode, Output
from bedplate.operations import checks
from bedplate.operations.checks import CheckOutcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Try every law on the live rows.",
        epilog=examples(
            "bedplate check", "bedplate check --json", "bedplate check || alert-someone"
        ),
    )(check)


def check(context: typer.Context, as_json: Json = False) -> int:
    """Try every law of the database and of the enabled modules; exits with 1 when one is broken.

    Warnings alone exit with 0. Nothing is changed: each check runs in a read-only transaction.
    """
    out = Output(as_json)
    with opened(settings_of(context), out) as project, out.working("Checking"):
        outcomes = checks.run(project.registry, project.app_url, bindings=project.settings.bind)
    ok = all(outcome.ok or outcome.is_warning for outcome in outcomes)
    document = {"ok": ok, "checks": [asdict(outcome) for outcome in outcomes]}
    out.result(document, _text(outcomes))
    return ExitCode.OK if ok else ExitCode.FOUND


def _text(outcomes: Sequence[CheckOutcome]) -> str:
    lines: list[str] = []
    for outcome in outcomes:
        mark = "ok  " if outcome.ok else "warn" if outcome.is_warning else "FAIL"
        lines.append(f"{mark}  {outcome.id:<14}  {outcome.title}")
        if outcome.ok:
            continue
        if outcome.problem is not None:
            lines.append(f"        it could not run: {outcome.problem}")
        lines += [
            "        " + ", ".join(f"{name} = {value}" for name, value in row.items())
            for row in outcome.rows
        ]
        lines += ["        ..."] if outcome.more else []
        lines.append(f"        {outcome.next_step}")
    return "\n".join(lines)
