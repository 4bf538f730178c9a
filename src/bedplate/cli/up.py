"""`bedplate up`: the one command of a fresh machine."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from bedplate.cli import running
from bedplate.cli.migrate import migrated
from bedplate.cli.opening import Opened, address, opened, settings_of, shown
from bedplate.cli.options import Json, examples, with_options
from bedplate.cli.output import Output, fields
from bedplate.cli.seed import load_samples, said
from bedplate.cli.serving import HealthPort, reserve, serve
from bedplate.kernel import processes
from bedplate.kernel.errors import EmbeddedError, UsageError
from bedplate.operations.migrate import LineStatus
from bedplate.operations.seed import Seeded

DETACHED_LIMIT_S = 30.0
POLL_S = 0.05
LOG = "up.log"
GUARD = "up.lock"
BACKGROUND = "serve-in-background"

Detach = Annotated[bool, typer.Option("--detach", help="Keep running in the background.")]
Exit = Annotated[
    bool, typer.Option("--exit", help="Do everything, then stop what was started, and exit.")
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65_535, help="Where to serve health; 0: any free port. [default: health_port]"
    ),
]
Samples = Annotated[
    bool | None,
    typer.Option(
        "--samples/--no-samples", help="Load sample rows. [default: into a new database only]"
    ),
]


Work = Annotated[bool, typer.Option("--work/--no-work", help="Run the modules' jobs beside.")]


@dataclass(frozen=True)
class Options:
    """How to come up, and what to run then."""

    detach: Detach = False
    exit_: Exit = False
    port: Port = None
    samples: Samples = None
    work: Work = True
    as_json: Json = False


@dataclass(frozen=True, slots=True)
class Ready:
    """What `up` brought about."""

    applied: list[str]
    lines: tuple[LineStatus, ...]
    samples: tuple[Seeded, ...]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Bring everything up, and keep running.",
        epilog=examples(
            "bedplate up",
            "bedplate up --detach && bedplate psql",
            "bedplate up --exit --json",
            "DATABASE_URL=postgresql://app@db/shop bedplate up --port 8080",
            "bedplate up --no-work",
        ),
    )(with_options(up, Options))
    # What `up --detach` starts; people have no use for it.
    app.command(BACKGROUND, hidden=True)(background)


def up(context: typer.Context, options: Options) -> None:
    """Bring everything up: PostgreSQL, every schema, samples in a new database; and keep running.

    Serves /live, /ready and /health on 127.0.0.1, runs the modules' jobs, and starts PostgreSQL
    again after a crash. Ctrl-C and SIGTERM stop in order (exit code 0); the server stops with the
    last that uses it. A second `up` attaches to it. With DATABASE_URL no server is started.
    """
    out = Output(options.as_json)
    if options.detach and options.exit_:
        raise UsageError("--detach stays and --exit leaves.", "Give one of the two.")
    settings = settings_of(context)
    number = settings.health_port if options.port is None else options.port
    health = None if options.exit_ else reserve(settings.folder, number)
    with opened(settings, out) as project:
        ready = _bring_up(project, out, options.samples)
        if options.detach and health is not None:
            health = _into_background(project, health, number, work=options.work)
            if project.attachment is not None:
                # Only now: had it failed, the server would be stopped with us.
                project.attachment.keep_running()
        document, text = _said(project, ready, health)
        if health is None or options.detach:
            out.result(document, text)
            return

        def tell() -> None:
            out.result(document, text)
            out.note("Ctrl-C stops it.")

        serving = serve(project, health, out, detached=False, working=options.work, ready=tell)
        asyncio.run(serving)


def background(context: typer.Context, port: Port = None, work: Work = True) -> None:
    """Serve health, work and watch the server, as the process that `up --detach` leaves behind."""
    out = Output(as_json=False)
    settings = settings_of(context)
    health = reserve(settings.folder, settings.health_port if port is None else port)
    with opened(settings, out) as project:
        # Its pid is in the folder by then, which is what the waiting `up` looks for.
        serving = serve(project, health, out, detached=True, working=work, ready=lambda: None)
        asyncio.run(serving)


def _bring_up(project: Opened, out: Output, samples: bool | None) -> Ready:
    receipts, lines = migrated(project, out)
    applied = [f"{each.module} {each.revision}" for each in receipts]
    if samples is None:
        # Only what this very run created is certain to be nobody's data.
        samples = project.attachment is not None and project.attachment.created_database
    return Ready(applied, lines, load_samples(project, out) if samples else ())


def _into_background(project: Opened, health: HealthPort, number: int, *, work: bool) -> HealthPort:
    """Start `up` as a process of its own and wait until it serves; raises EmbeddedError."""
    folder = project.settings.folder
    others = [health.server] if health.server else running.find(folder)
    if health.listening is not None:
        health.listening.close()
    for other in others:
        if other.port is not None and (other.detached or health.server):
            return HealthPort(other.port, server=other)
    running.prepare(folder)
    place = folder / running.FOLDER
    log = place / LOG
    command = [sys.executable, "-P", "-m", "bedplate.cli.main", "--folder", str(folder)]
    command += [BACKGROUND, "--port", str(number), "--work" if work else "--no-work"]
    pid = processes.start(command, log=log, guard=place / GUARD)
    deadline = time.monotonic() + DETACHED_LIMIT_S
    while processes.alive(pid) and time.monotonic() < deadline:
        for found in running.find(folder):
            if found.pid == pid and found.port is not None:
                return HealthPort(found.port, server=found)
        time.sleep(POLL_S)
    raise EmbeddedError("The background process did not come up.", f"Read {log}.")


def _said(project: Opened, ready: Ready, health: HealthPort | None) -> tuple[Any, str]:
    """Return the result as a document and as text."""
    attachment = project.attachment
    created = attachment is not None and attachment.created_database
    document = {
        "folder": str(project.settings.folder),
        "database": {
            "source": "DATABASE_URL" if attachment is None else "embedded",
            "created": created,
            "url": shown(project.app_url),
            **address(project.app_url),
        },
        "applied": ready.applied,
        "modules": {line.name: line.current for line in ready.lines},
        "samples": {each.module: each.rows for each in ready.samples},
        "health": None if health is None else health.url,
        "health_process": health.server.pid if health and health.server else None,
    }
    return document, _text(document, ready, health)


def _text(document: dict[str, Any], ready: Ready, health: HealthPort | None) -> str:
    database = document["database"]
    server = f" (served by process {health.server.pid})" if health and health.server else ""
    facts = fields(
        {
            "database": f"{database.get('database')}{' (new)' if database['created'] else ''}",
            "address": f"{database['url']}   with password: bedplate url",
            "modules": ", ".join(f"{line.name} {line.current}" for line in ready.lines),
            "samples": said(ready.samples) if ready.samples else None,
            "health": None if health is None else f"{health.url}{server}",
        }
    )
    look = " -- -c 'SELECT name, email, role FROM auth.users'" if ready.samples else ""
    tries = (
        f"  bedplate psql{look}\n"
        "  bedplate module new shop.invoices\n"
        "  bedplate docs build\n"
        "  bedplate check"
    )
    title = "Bedplate is up." if health else "All is in place; `bedplate up` keeps it running."
    return f"{title}\n\n{facts}\n\nTry next\n{tries}"
