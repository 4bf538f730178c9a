"""`bedplate status`: what runs, where, and at which revision; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import typer

from bedplate.cli import running
from bedplate.cli.opening import address, modules_of, opened, settings_of
from bedplate.cli.options import Json, examples
from bedplate.cli.output import Output, fields, table
from bedplate.kernel import embedded
from bedplate.kernel.settings import Settings
from bedplate.operations import migrate
from bedplate.operations.migrate import LineStatus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Tell what runs, and where.",
        epilog=examples("bedplate status", "bedplate status --json"),
    )(status)


def status(context: typer.Context, as_json: Json = False) -> None:
    """Tell what runs for this project, and where each module's schema stands.

    Nothing is started: without a running server the revisions are not known.
    """
    out = Output(as_json)
    settings = settings_of(context)
    modules_of(settings)
    document: dict[str, Any] = {
        "folder": str(settings.folder),
        "database": _database(settings),
        "up": [asdict(up) for up in running.find(settings.folder)],
        "modules": None,
    }
    lines: Sequence[LineStatus] = ()
    if document["database"]["running"] is not False:
        with opened(settings, out) as project:
            lines = migrate.status(project.registry, project.app_url)
        # It answered: only now is that known of a server behind a URL.
        document["database"]["running"] = True
        document["modules"] = [asdict(line) for line in lines]
    out.result(document, _text(document, lines))


def _database(settings: Settings) -> dict[str, object]:
    if settings.database_url is not None:
        return {"source": "DATABASE_URL", "running": None, **address(settings.database_url)}
    found = embedded.status(settings.folder)
    return {
        "source": "embedded",
        "running": found.running,
        "database": found.database,
        "host": "127.0.0.1" if found.port else None,
        "port": found.port,
        "pid": found.pid,
        "major": found.major,
        "data_folder": str(found.data_folder) if found.data_folder else None,
        "attached": list(found.attached),
    }


def _text(document: dict[str, Any], lines: Sequence[LineStatus]) -> str:
    database = document["database"]
    parts = [
        fields(
            {
                "project": document["folder"],
                "server": "running" if database["running"] else "not running; `bedplate up` starts",
                "source": database["source"],
                "database": database.get("database"),
                "port": database.get("port"),
                "process": database.get("pid"),
                "up": ", ".join(_up(up) for up in document["up"]) or None,
            }
        )
    ]
    if lines:
        rows = [(f"  {line.name}", line.current, line.state) for line in lines]
        parts.append(table([("  module", "revision", "state"), *rows]))
    return "\n\n".join(parts)


def _up(up: dict[str, Any]) -> str:
    serves = f", health on port {up['port']}" if up["port"] else ""
    return f"process {up['pid']}{' (detached)' if up['detached'] else ''}{serves}"
