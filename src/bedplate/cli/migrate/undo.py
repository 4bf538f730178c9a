"""`bedplate migrate undo`: take a module's newest revisions back."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from bedplate.cli.migrate.progress import told_by
from bedplate.cli.migrate.status import table_of
from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples, with_options
from bedplate.cli.output import Output
from bedplate.kernel.errors import UsageError
from bedplate.operations.migrate import Loss, Step, Target, losses, status
from bedplate.operations.migrate import undo as undo_line

Module = Annotated[str, typer.Argument(help="The module's name.")]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="REVISION", help="Keep this one. [default: the one before last]"),
]
All = Annotated[bool, typer.Option("--all", help="Take the whole schema away.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask (for scripts).")]


@dataclass(frozen=True)
class Options:
    """What to undo."""

    module: Module
    to: To = None
    all_: All = False
    yes: Yes = False
    as_json: Json = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Take a module's newest revisions back.",
        epilog=examples(
            "bedplate migrate undo invoices",
            "bedplate migrate undo invoices --to 0001_invoices --yes",
            "bedplate migrate undo invoices --all",
        ),
    )(with_options(undo, Options))


def undo(context: typer.Context, options: Options) -> None:
    """Run the way back of a module's newest revision, or of all after --to.

    Says first which rows would go with it, and asks. A revision whose rows a backfill changed
    gets them back as they were, except those that were changed since: they stay and are named.
    What has no way back is refused before anything happens.
    """
    out = Output(options.as_json)
    if options.to is not None and options.all_:
        raise UsageError("--to keeps a revision and --all keeps none.", "Give one of the two.")
    undone: list[str] = []

    def tell(step: Step) -> None:
        undone.append(step.revision)
        out.note(f"Undoing {step.line.name} {step.revision}")

    with opened(settings_of(context), out) as project:
        to = None if options.all_ else options.to or _before_last(project.target, options.module)
        lost = losses(project.target, options.module, to)
        if not options.yes:
            _confirm(options.module, to, lost, out)
        with told_by(out):
            done = undo_line(
                project.registry,
                options.module,
                to=to,
                owner_url=project.owner_url,
                bindings=project.settings.bind,
                on_step=tell,
            )
    document = {
        "undone": undone,
        "lost": [asdict(each) for each in lost],
        "kept": [asdict(each) for each in done.kept],
        "module": asdict(done.line),
    }
    out.result(document, f"Undone: {', '.join(undone) or 'nothing'}.\n\n{table_of([done.line])}")


def _before_last(target: Target, module: str) -> str | None:
    """The revision that stays where the newest one goes; None before the first."""
    for line in status(target.registry, target.owner_url):
        if line.name == module and line.current is not None:
            (revisions,) = (each.revisions for each in target.registry.lines if each.name == module)
            place = revisions.index(line.current) if line.current in revisions else 0
            return revisions[place - 1] if place else None
    return None


def _confirm(module: str, to: str | None, lost: tuple[Loss, ...], out: Output) -> None:
    goes = ", ".join(f"{each.name} ({each.rows} rows)" for each in lost) or "no row"
    out.note(f"Going back to {to or 'before the first revision'} of {module} loses: {goes}.")
    if not sys.stdin.isatty():
        raise UsageError("Nobody is there to say yes.", "Add --yes if that is meant.")
    if not typer.confirm("Go back?", default=False, err=True):
        raise UsageError("Nothing was undone.", "Run it again when it is meant.")
