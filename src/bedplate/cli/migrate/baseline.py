"""`bedplate migrate baseline`: take over schemas that were made by other means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from bedplate.cli.migrate.progress import told_by
from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output
from bedplate.kernel.errors import UsageError
from bedplate.operations.migrate import baseline as record

At = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODULE=REVISION]...", help="Where a line is. [default: its newest]"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Take over schemas made by other means.",
        epilog=examples(
            "bedplate migrate baseline",
            "bedplate migrate baseline auth=0001_users bedplate=0004_jobs",
        ),
    )(baseline)


def baseline(context: typer.Context, at: At = None, as_json: Json = False) -> None:
    """Record where schemas are that exist already, without running a revision.

    Only where every object is what the lines make at that revision: they are run on an empty
    database beside, and compared. Else the differences are told and nothing is recorded. It is
    written into the journal.
    """
    out = Output(as_json)
    revisions = _revisions(at or ())
    with (
        opened(settings_of(context), out) as project,
        out.working("Comparing the schemas with what the lines make"),
        told_by(out),
    ):
        taken = record(project.target, revisions)
    said = ", ".join(f"{each.module} at {each.revision}" for each in taken)
    out.result(
        {"recorded": [asdict(each) for each in taken]},
        f"Recorded: {said}." if taken else "Every line's revision was recorded already.",
    )


def _revisions(at: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in at:
        module, equals, revision = each.partition("=")
        if not equals or not revision:
            raise UsageError(f"{each} is not MODULE=REVISION.", "Write auth=0002_audit_logs.")
        found[module] = revision
    return found
