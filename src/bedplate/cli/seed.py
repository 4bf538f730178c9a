"""`bedplate seed`: sample rows, for a first look."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from bedplate.cli.opening import Opened, opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output
from bedplate.kernel.errors import UsageError
from bedplate.kernel.versions import versions
from bedplate.operations.seed import Seeded, load

Samples = Annotated[
    bool, typer.Option("--samples", help="Yes, also into the database behind DATABASE_URL.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Load sample rows.",
        epilog=examples("bedplate seed", "DATABASE_URL=... bedplate seed --samples --json"),
    )(seed)


def seed(context: typer.Context, samples: Samples = False, as_json: Json = False) -> None:
    """Load the sample rows of every enabled module; run twice it changes nothing.

    Into the project's own server. The database behind a DATABASE_URL may be one that matters, so
    there --samples must say it again.
    """
    out = Output(as_json)
    settings = settings_of(context)
    if settings.database_url is not None and not samples:
        raise UsageError(
            "The database is the one behind DATABASE_URL, and samples do not belong in production.",
            "Add --samples to load them all the same.",
        )
    with opened(settings, out) as project:
        loaded = load_samples(project, out)
    out.result({"samples": [asdict(each) for each in loaded]}, said(loaded))


def load_samples(project: Opened, out: Output) -> tuple[Seeded, ...]:
    """Load the samples; raises OutdatedLine where the database is not at the code's revision."""
    with out.working("Loading samples"):
        return asyncio.run(_load(project))


def said(loaded: tuple[Seeded, ...]) -> str:
    """Say what was loaded: 8 rows (auth 8)."""
    parts = ", ".join(f"{each.module} {each.rows}" for each in loaded)
    return f"{sum(each.rows for each in loaded)} rows ({parts or 'no module has samples'})"


async def _load(project: Opened) -> tuple[Seeded, ...]:
    db = project.database()
    await db.open()
    try:
        modules = project.registry
        modules.require_current(await versions(db, [line.schema for line in modules.lines]))
        return await load(db, modules)
    finally:
        await db.close()
