"""`bedplate migrate reset`: empty a database for development, and make it anew."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from bedplate.cli.migrate.progress import told_by
from bedplate.cli.migrate.status import table_of
from bedplate.cli.opening import address, opened, settings_of
from bedplate.cli.options import Json, examples, with_options
from bedplate.cli.output import Output
from bedplate.cli.seed import load_samples, said
from bedplate.kernel.errors import ResetRefused, UsageError
from bedplate.operations.migrate import Step, mark
from bedplate.operations.migrate import reset as reset_lines

Mark = Annotated[bool, typer.Option("--mark", help="Mark the database as disposable, and stop.")]
Unmark = Annotated[bool, typer.Option("--unmark", help="Take the mark off, and stop.")]
Name = Annotated[
    str | None,
    typer.Option("--yes-delete", metavar="NAME", help="The database's name, for scripts."),
]
Samples = Annotated[bool, typer.Option("--samples/--no-samples", help="Load sample rows then.")]


@dataclass(frozen=True)
class Options:
    """What to reset."""

    mark: Mark = False
    unmark: Unmark = False
    yes_delete: Name = None
    samples: Samples = True
    as_json: Json = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Empty a database for development.",
        epilog=examples(
            "bedplate migrate reset --mark",
            "bedplate migrate reset",
            "bedplate migrate reset --yes-delete shop --no-samples",
        ),
    )(with_options(reset, Options))


def reset(context: typer.Context, options: Options) -> None:
    """Drop Bedplate's schemas with all their rows, run every line anew, load samples.

    For development only: the database must have been marked with --mark, once, and its name is
    typed each time. The mark is a line of that very database's comment: no dump, clone or file
    carries it to another. What is not Bedplate's stays. Drift is no reason to reset: see
    `bedplate migrate diff --repair`.
    """
    out = Output(options.as_json)
    if options.mark and options.unmark:
        raise UsageError("--mark and --unmark are opposites.", "Give one of the two.")
    with opened(settings_of(context), out) as project:
        if options.mark or options.unmark:
            name = mark(project.target, disposable=options.mark)
            state = "may be reset now" if options.mark else "can no longer be reset"
            out.result({"database": name, "disposable": options.mark}, f"{name} {state}.")
            return
        name = options.yes_delete or _typed(address(project.owner_url).get("database", ""), out)

        def tell(step: Step) -> None:
            out.note(f"Migrating {step.line.name} {step.revision}")

        with told_by(out):
            lines = reset_lines(project.target, name, on_step=tell)
        loaded = load_samples(project, out) if options.samples else ()
    samples = f" Samples: {said(loaded)}." if options.samples else ""
    out.result(
        {
            "database": name,
            "modules": [asdict(line) for line in lines],
            "samples": [asdict(each) for each in loaded],
        },
        f"{name} is as new.{samples}\n\n{table_of(lines)}",
    )


def _typed(name: str, out: Output) -> str:
    if not sys.stdin.isatty():
        raise ResetRefused(
            "Nobody is there to type the database's name.", "Give it: --yes-delete NAME."
        )
    out.note(f"This deletes all rows of Bedplate's schemas in {name}. Type {name} to do it:")
    return sys.stdin.readline().strip()
