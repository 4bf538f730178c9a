"""`bedplate docs`: the data dictionary and the diagrams, from the live database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bedplate.cli.opening import opened, settings_of
from bedplate.cli.options import Json, examples, group
from bedplate.cli.output import Output
from bedplate.kernel.settings import Settings
from bedplate.operations import document

app = group(
    "Write the data dictionary and the diagrams, or see whether they are stale.",
    short="Data dictionary and ER diagrams.",
    epilog=examples("bedplate docs build", "bedplate docs check"),
)

FOLDER = Path("docs", "database")
To = Annotated[
    Path | None, typer.Option("--to", help=f"The pages' folder. [default: {FOLDER} of the project]")
]


@app.command(
    short_help="Write the pages.",
    epilog=examples("bedplate docs build", "bedplate docs build --to handbook/data"),
)
def build(context: typer.Context, to: To = None, as_json: Json = False) -> None:
    """Write a page per module: tables, columns, their comments, and an ER diagram (Mermaid).

    The same database always gives the same bytes; files that Bedplate did not write stay.
    """
    out = Output(as_json)
    settings = settings_of(context)
    folder = _folder(settings, to)
    with opened(settings, out) as project, out.working("Reading the catalog"):
        changed = document.build(project.registry, project.app_url, folder)
    names = [path.name for path in changed]
    said = f"Written to {folder}: {', '.join(names)}" if names else f"{folder} is up to date."
    out.result({"folder": str(folder), "changed": names}, said)


@app.command(
    short_help="See whether the pages are stale.",
    epilog=examples("bedplate docs check", "bedplate docs check --json"),
)
def check(context: typer.Context, to: To = None, as_json: Json = False) -> None:
    """Exit with 1 when a page is stale, or a table or column has no comment."""
    out = Output(as_json)
    settings = settings_of(context)
    folder = _folder(settings, to)
    with opened(settings, out) as project, out.working("Reading the catalog"):
        document.check(project.registry, project.app_url, folder)
    out.result({"folder": str(folder), "current": True}, f"{folder} is up to date.")


def _folder(settings: Settings, to: Path | None) -> Path:
    return settings.folder / FOLDER if to is None else to
