"""Keep running: answer health probes, watch the server, and leave in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bedplate.cli import running
from bedplate.cli.opening import Opened
from bedplate.cli.output import Output
from bedplate.cli.running import Up
from bedplate.cli.work import connections_of
from bedplate.integrations.health import HealthServer
from bedplate.kernel import embedded
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.errors import EmbeddedError, PortTaken
from bedplate.operations.health import Component, Health
from bedplate.operations.work import Worker, WorkOptions

HOST = "127.0.0.1"
BACKLOG = 128
WATCH_S = 0.5
"""How often the server is looked at; a crashed one is started again within about this."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class HealthPort:
    """Where health is served: on a socket of ours, or by another `up` of this project."""

    number: int
    listening: socket.socket | None = None
    server: Up | None = None

    @property
    def url(self) -> str:
        """The address of /health."""
        return f"http://{HOST}:{self.number}/health"


def reserve(folder: Path, port: int) -> HealthPort:
    """Listen on the port (0: any free one), before anything else is done.

    Returns whose port it is where another `up` of this project serves there; raises PortTaken
    where it is a stranger's.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Connections of an `up` that just ended do not hold the port; a listener still does.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        for up in running.find(folder):
            if up.port == port:
                return HealthPort(port, server=up)
        raise PortTaken(
            f"Health cannot be served on {HOST}:{port}: {error.strerror}.",
            "Choose another with --port (0: any free one), or set health_port.",
        ) from None
    return HealthPort(int(listening.getsockname()[1]), listening)


async def serve(
    project: Opened,
    health_port: HealthPort,
    out: Output,
    *,
    detached: bool,
    working: bool,
    ready: Callable[[], None],
) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP, or until `bedplate down`; then leave in order.

    One worker runs beside, if `working`.
    `ready` is called once that is so: whoever waits to be told may signal at once.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    port = health_port.number if health_port.listening is not None else None
    async with AsyncExitStack() as stack:
        if project.attachment is not None:
            # In here, where a second Ctrl-C does nothing any more: no stop is left half done.
            stack.push_async_callback(asyncio.to_thread, project.attachment.detach)
        if project.attachment is not None or detached:
            # Behind DATABASE_URL the folder may be read-only, and nobody needs to find us there.
            up = Up(os.getpid(), port, detached)
            stack.enter_context(running.announced(project.settings.folder, up))
        db = project.database()
        await db.open()
        stack.push_async_callback(db.close)
        worker = await _worker(project, out, stack) if working else None
        async with asyncio.TaskGroup() as tasks:
            if worker is not None:
                tasks.create_task(worker.run(stopping))
            if health_port.listening is not None:
                components = _components(project, worker)
                health = Health(db, project.registry, components=components)
                server = HealthServer(health, health_port.listening)
                tasks.create_task(_answer(server, stopping))
            if project.attachment is not None:
                tasks.create_task(_watch(project.attachment, stopping, out))
            ready()
            await stopping.wait()


async def _answer(server: HealthServer, stopping: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        await stopping.wait()
        server.stop()


async def _worker(project: Opened, out: Output, stack: AsyncExitStack) -> Worker:
    """Return a worker on connections of its own, so that no job keeps a probe waiting."""
    options = WorkOptions.of(project.settings)
    db = project.database(connections_of(options))
    await db.open()
    stack.push_async_callback(db.close)
    return Worker(db, project.registry, options, note=out.note)


def _components(project: Opened, worker: Worker | None) -> Mapping[str, Component]:
    components: dict[str, Component] = {} if worker is None else {"work": worker.statistics}
    if project.attachment is None:
        return components

    def component() -> Mapping[str, object]:
        found = embedded.status(project.settings.folder)
        return {
            "running": found.running,
            "port": found.port,
            "major": found.major,
            "attached": len(found.attached),
        }

    return {"embedded": component, **components}


async def _watch(attachment: Attachment, stopping: asyncio.Event, out: Output) -> None:
    """Start the server again whenever it crashed, for as long as nobody stopped it on purpose."""
    said = ""
    while not stopping.is_set():
        try:
            restarted = await asyncio.to_thread(attachment.ensure_running)
        except EmbeddedError as error:
            # It is tried again and again, but said once.
            if str(error) != said:
                said = str(error)
                out.note(f"PostgreSQL crashed and cannot be started again: {said}")
        else:
            said = ""
            if restarted:
                out.note("PostgreSQL had crashed; it was started again, nothing committed is lost.")
            if attachment.stopped:
                out.note("The server was stopped by `bedplate down`.")
                stopping.set()
        await _pause(stopping)


async def _pause(stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(WATCH_S):
            await stopping.wait()
    except TimeoutError:
        pass
