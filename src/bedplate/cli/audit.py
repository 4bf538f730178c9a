"""`bedplate audit`: who changed what, when and from where."""

from __future__ import annotations

import asyncio
import csv
import enum
import inspect
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, astuple, fields
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from bedplate.cli.opening import Opened, opened, settings_of
from bedplate.cli.options import Json, examples, group
from bedplate.cli.output import Output, table
from bedplate.kernel import audit
from bedplate.kernel.audit import Counts, Entry, Wanted
from bedplate.kernel.database import Database
from bedplate.kernel.errors import UsageError
from bedplate.kernel.versions import versions

app = group(
    "Read the audit log of every enabled module: who changed what, when and from where.",
    short="Who changed what.",
    epilog=examples("bedplate audit show --entity users --id ID", "bedplate audit export > log"),
)

SHOWN_CHARACTERS_MAX = 100
"""How much of what changed `show` prints in its table; --json and `export` have all of it."""


class Format(enum.StrEnum):
    """How entries are written."""

    JSONL = "jsonl"
    CSV = "csv"


Limit = Annotated[
    int, typer.Option("--limit", min=1, max=audit.ENTRIES_MAX, help="How many, the newest first.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="One entry a line, as what.")]

CHOICES = {
    "entity": ("entity_type", "Of this kind: a table's name, such as users."),
    "id": ("entity_id", "Of the row with this key."),
    "actor": ("actor", "By this user."),
    "action": ("action", "Of this action, such as ROW_UPDATED."),
    "since": ("since", "From this moment on: 2030-01-31, or with a time; UTC unless it says."),
    "until": ("until", "Before this moment."),
}
"""The options that say which entries: for each its field of Wanted, and its help."""


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each of CHOICES, and hand it the one Wanted they make."""

    def run(**given: Any) -> None:
        chosen = {field: given.pop(name) for name, (field, _) in CHOICES.items()}
        for moment in ("since", "until"):
            chosen[moment] = _moment(moment, chosen[moment])
        command(wanted=Wanted(**chosen), **given)

    own = inspect.signature(command, eval_str=True).parameters
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=typer.Option(None, f"--{name}", help=text),
            annotation=str | None,
        )
        for name, (_, text) in CHOICES.items()
    ]
    others = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in own.items()
        if name not in ("context", "wanted")
    ]
    # Typer reads a command's options from its signature.
    vars(run)["__signature__"] = inspect.Signature([own["context"], *options, *others])
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _moment(name: str, said: str | None) -> datetime | None:
    if said is None:
        return None
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise UsageError(
            f"--{name} is not a moment.", "Write 2030-01-31 or 2030-01-31T12:00:00+01:00."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@app.command(
    short_help="Show the newest entries.",
    epilog=examples(
        "bedplate audit show",
        "bedplate audit show --entity users --id 0198c7a2-... --limit 10",
        "bedplate audit show --actor 0198c7a2-... --since 2030-01-31 --json",
    ),
)
@_choosing
def show(context: typer.Context, wanted: Wanted, limit: Limit = 50, as_json: Json = False) -> None:
    """Show who changed what, newest first, and how many entries there are in all.

    SYSTEM stands for changes of which nobody said who acted; how many those are is counted.
    """
    out = Output(as_json)

    async def read(db: Database) -> tuple[list[Entry], Counts]:
        async with db.read() as reader:
            found = await audit.entries(reader, wanted, limit=limit)
            return found, await audit.counts(reader, wanted)

    with opened(settings_of(context), out) as project:
        found, counted = asyncio.run(_with(project, read))
    document = {
        "entries": [asdict(entry) for entry in found],
        "more": counted.entries > len(found),
        "counts": asdict(counted),
    }
    out.result(document, _text(found, counted))


@app.command(
    short_help="Write every entry, oldest first.",
    epilog=examples(
        "bedplate audit export > audit.jsonl",
        "bedplate audit export --since 2030-01-01 --until 2030-02-01 --format csv > january.csv",
    ),
)
@_choosing
def export(context: typer.Context, wanted: Wanted, format_: FormatOption = Format.JSONL) -> None:
    """Write every entry to stdout, oldest first, one a line.

    However long the log, only a thousand entries are held in memory at a time.
    """
    out = Output(False)

    async def write(db: Database) -> int:
        writer = _csv_writer() if format_ is Format.CSV else _jsonl
        count = 0
        async for entry in audit.export(db, wanted):
            writer(entry)
            count += 1
        sys.stdout.flush()
        return count

    with opened(settings_of(context), out) as project:
        try:
            count = asyncio.run(_with(project, write))
        except BrokenPipeError:
            # Who reads has had enough, as `head` does. Python would complain again at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
    out.note(f"{count} entries.")


async def _with(project: Opened, work: Callable[[Database], Awaitable[Any]]) -> Any:
    """Run `work` on the project's database; raises OutdatedLine where it has no such log yet."""
    async with _database(project) as db:
        modules = project.registry
        modules.require_current(await versions(db, [line.schema for line in modules.lines]))
        return await work(db)


@asynccontextmanager
async def _database(project: Opened) -> AsyncGenerator[Database]:
    db = project.database()
    await db.open()
    try:
        yield db
    finally:
        await db.close()


def _jsonl(entry: Entry) -> None:
    sys.stdout.write(msgspec.json.encode(entry).decode() + "\n")


def _csv_writer() -> Callable[[Entry], None]:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([field.name for field in fields(Entry)])

    def write(entry: Entry) -> None:
        writer.writerow(
            [
                msgspec.json.encode(value).decode() if isinstance(value, dict) else value
                for value in astuple(entry)
            ]
        )

    return write


def _text(found: Sequence[Entry], counted: Counts) -> str:
    if not found:
        return "No entries."
    rows: list[tuple[str, ...]] = [("WHEN (UTC)", "WHO", "ACTION", "WHAT", "CHANGE")]
    for entry in found:
        what = f"{entry.entity_type} {entry.entity_id}"
        who = entry.user_id or entry.actor_type
        when = f"{entry.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        rows.append((when, _plain(who), entry.action, _plain(what), _plain(_change(entry))))
    said = f"{len(found)} of {counted.entries} entries; {counted.by_system} in all by SYSTEM."
    return f"{table(rows)}\n{said}"


def _change(entry: Entry) -> str:
    changes = entry.changes or {}
    before: dict[str, Any] | None = changes.get("before")
    after: dict[str, Any] | None = changes.get("after")
    if not before or not after:
        return entry.description
    parts = [
        f"{name}: {msgspec.json.encode(before.get(name)).decode()}"
        f" -> {msgspec.json.encode(value).decode()}"
        for name, value in after.items()
        if before.get(name) != value or value == audit.REDACTED
    ]
    return ", ".join(parts) or entry.description


def _plain(text: str) -> str:
    """Cut a text to one line that cannot steer the terminal: others may have chosen it."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= SHOWN_CHARACTERS_MAX else f"{shown[:SHOWN_CHARACTERS_MAX]}..."
