"""`bedplate migrate make`: draft a module's next revision from its models."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples, with_options
from bedplate.cli.output import Output
from bedplate.kernel.errors import UsageError
from bedplate.operations.migrate import Draft, Question, Wish
from bedplate.operations.migrate import make as draft_of

Module = Annotated[str, typer.Argument(help="The module's name, such as invoices.")]
Message = Annotated[
    str | None, typer.Option("--message", "-m", help="What changes, in a few words.")
]
Renames = Annotated[
    list[str] | None,
    typer.Option("--rename", metavar="OLD=NEW", help="Renamed; OLD= where OLD is to be dropped."),
]
Drops = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="TABLE", help="Drop a table that has no model any longer."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Write the file without asking.")]
Empty = Annotated[bool, typer.Option("--empty", help="Draft a revision that does nothing yet.")]


@dataclass(frozen=True)
class Options:
    """What to draft."""

    module: Module
    message: Message = None
    rename: Renames = None
    drop: Drops = None
    yes: Yes = False
    empty: Empty = False
    as_json: Json = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Draft a module's next revision.",
        epilog=examples(
            "bedplate migrate make invoices",
            "bedplate migrate make invoices -m 'invoices have a due date'",
            "bedplate migrate make invoices --rename invoices.sum=total",
            "bedplate migrate make invoices --empty -m 'fill the totals'",
        ),
    )(with_options(make, Options))


def make(context: typer.Context, options: Options) -> None:
    """Draft a module's next revision from what its models and its line disagree about.

    What went and what came is asked about: renamed, or one gone and one new? Tables without a
    model, and partitions, stay. The database is not changed; read the file, then apply.
    """
    out = Output(options.as_json)
    can_ask = sys.stdin.isatty() and not options.as_json
    wish = Wish(
        message=options.message,
        renames=_renames(options.rename or ()),
        ask=_ask(out) if can_ask else None,
        drop=options.drop or (),
        empty=options.empty,
    )
    with opened(settings_of(context), out) as project:
        with out.working("Comparing models and line"):
            draft = draft_of(project.target, options.module, wish)
        if draft is None:
            out.result(
                {"module": options.module, "revision": None, "file": None},
                f"The models of {options.module} and its line agree: there is nothing to draft.",
            )
            return
        if can_ask and not options.yes:
            out.note(draft.text)
            if not typer.confirm(f"Write {draft.path}?", default=True, err=True):
                raise UsageError("Nothing was written.", "Run it again when the models are right.")
        draft.write()
    out.result(_document(draft), _text(draft))


def _renames(given: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for each in given:
        old, equals, new = each.partition("=")
        if not equals or not old:
            raise UsageError(f"--rename {each} is not OLD=NEW.", "Write --rename price=cost.")
        found[old] = new
    return found


def _ask(out: Output) -> Any:
    def ask(question: Question) -> str | None:
        out.note(question.sentence)
        for candidate in question.candidates:
            if typer.confirm(f"Is {candidate} what {question.old} was?", default=False, err=True):
                return candidate
        return None

    return ask


def _document(draft: Draft) -> dict[str, Any]:
    return {
        "module": draft.line.name,
        "revision": draft.name,
        "file": str(draft.path),
        "up": draft.up,
        "down": draft.down,
        "touches": asdict(draft.touches),
        "notes": draft.notes,
    }


def _text(draft: Draft) -> str:
    notes = "".join(f"\nLook at this: {note}" for note in draft.notes)
    return f"Wrote {draft.path}.{notes}\n\nRead it, then run `bedplate migrate apply`."
