"""`bedplate migrate lint`: hazards in revisions, and the safe way to do the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bedplate.cli.opening import modules_of, opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import ExitCode, Output
from bedplate.kernel.errors import UsageError
from bedplate.kernel.lines import Line
from bedplate.operations.migrate import Finding, Linter, squawk_program, status

What = Annotated[
    str | None,
    typer.Argument(metavar="[FILE|MODULE]", help="A revision, a .sql file, or a module's line."),
]
NoSquawk = Annotated[bool, typer.Option("--no-squawk", help="Ask our own rules only.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Find hazards in revisions before they run.",
        epilog=examples(
            "bedplate migrate lint",
            "bedplate migrate lint shop",
            "bedplate migrate lint shop/migrations/0003_prices.py",
            "bedplate migrate lint change.sql --json",
        ),
    )(lint)


def lint(
    context: typer.Context,
    what: What = None,
    no_squawk: NoSquawk = False,
    as_json: Json = False,
) -> int:
    """Find hazards: what would stop others, lose data or hide what happens.

    Without FILE or MODULE: in the pending revisions, as apply would run them. A line or a file
    needs no database. Where squawk is installed (pip install bedplate[lint]) its rules are asked
    too. Exits with 1 when an error was found.
    """
    out = Output(as_json)
    settings = settings_of(context)
    squawk_at = None if no_squawk else squawk_program()
    linter = Linter(registry=modules_of(settings), bindings=settings.bind, squawk_at=squawk_at)
    if what is not None and what.endswith(".sql"):
        found = linter.sql(_read(Path(what)))
    elif what is not None:
        found = _named(linter, what)
    else:
        found = tuple(_pending(linter, context, out))
    errors = sum(finding.severity == "error" for finding in found)
    document = {"errors": errors, "findings": [asdict(finding) for finding in found]}
    out.result(document, text_of(found))
    return ExitCode.FOUND if errors else ExitCode.OK


def text_of(found: Sequence[Finding]) -> str:
    """Return findings for people."""
    if not found:
        return "No hazard was found."
    return "\n\n".join(
        f"{finding.severity}: {finding.rule}"
        f"{f' in {finding.revision}' if finding.revision else ''}"
        f"{'' if finding.origin == 'bedplate' else f' ({finding.origin})'}\n"
        f"  {' '.join(finding.statement.split())}\n"
        f"  Why:    {finding.reason}\n"
        f"  Safely: {finding.recipe}"
        for finding in found
    )


def _named(linter: Linter, what: str) -> tuple[Finding, ...]:
    lines = {line.name: line for line in linter.registry.lines}
    if what in lines:
        return linter.alone(lines[what])
    file = Path(what).resolve()
    for line in lines.values():
        if file.parent == line.folder.resolve() and file.stem in line.revisions:
            return linter.together(line, [file.stem])
    raise UsageError(
        f"{what} is neither an enabled module nor a revision of one.",
        f"Name one of {', '.join(lines)}, a file of its migrations folder, or a .sql file.",
    )


def _pending(linter: Linter, context: typer.Context, out: Output) -> Iterator[Finding]:
    with opened(settings_of(context), out) as project:
        found = status(linter.registry, project.app_url)
    lines: dict[str, Line] = {line.name: line for line in linter.registry.lines}
    for each in found:
        yield from linter.together(lines[each.name], each.pending)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", "Name a text file of SQL.") from None
