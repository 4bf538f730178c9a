"""`bedplate down`: stop what runs for this project, and delete it where that is asked."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from bedplate.cli import running
from bedplate.cli.opening import settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output
from bedplate.kernel import embedded, processes
from bedplate.kernel.errors import EmbeddedError, UsageError

# An `up` that is told to end stops the server in order, which may take a while.
END_STEPS = ((signal.SIGTERM, 45.0), (signal.SIGKILL, 5.0))

Purge = Annotated[
    bool,
    typer.Option(
        "--purge", help="Delete the data too, after the project's name is typed; backups stay."
    ),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="With --purge: do not ask for the name (for scripts).")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Stop; with --purge, delete.",
        epilog=examples("bedplate down", "bedplate down --purge", "bedplate down --purge --yes"),
    )(down)


def down(
    context: typer.Context, purge: Purge = False, yes: Yes = False, as_json: Json = False
) -> None:
    """Stop the project's server and every `bedplate up` of it; nothing is deleted.

    A server behind DATABASE_URL is never touched.
    """
    out = Output(as_json)
    settings = settings_of(context)
    folder = settings.folder
    if yes and not purge:
        raise UsageError("--yes answers what only --purge asks.", "Leave it out.")
    name = embedded.status(folder).database or folder.name
    if purge and not yes:
        _confirm(name, out)
    ended = [up.pid for up in running.find(folder)]
    with out.working("Stopping"):
        for pid in ended:
            if not processes.terminate(pid, END_STEPS):
                raise EmbeddedError(f"Process {pid} does not end.", "End it by hand.")
        stopped = embedded.stop(folder)
        if purge:
            embedded.purge(folder)
    was_running = bool(stopped or ended)
    said = "Stopped." if was_running else "Nothing was running."
    out.result(
        {"project": name, "stopped": was_running, "ended": ended, "purged": purge},
        f"{said} The data of {name} is deleted.{_kept(settings.backups)}" if purge else said,
    )


def _kept(backups: Path) -> str:
    return f" Its backups stay in {backups}." if backups.is_dir() and any(backups.iterdir()) else ""


def _confirm(name: str, out: Output) -> None:
    out.note(f"This deletes the database {name} and all its data for good. Type {name} to do it:")
    if sys.stdin.readline().strip() != name:
        raise UsageError(f"The name typed is not {name}.", "Nothing was stopped or deleted.")
