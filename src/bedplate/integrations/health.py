"""/live, /ready and /health: routes for any ASGI app, and the small server that `up` runs.

`/live` runs no SQL: a process that answers it is alive, and restarting it would not help an
unreachable database. `/ready` answers within its limit and says why not. `/health` tells about
each part.
"""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bedplate.operations.health import Health

GRACE_S = 1
"""How long open probes may take once the server is told to stop."""

OK = 200
UNAVAILABLE = 503


def routes(health: Health) -> list[Route]:
    """Return the three routes, to mount in an app of your own; they tell no address, no secret."""

    async def live(request: Request) -> Response:
        return _json({"status": "alive"}, OK)

    async def ready(request: Request) -> Response:
        found = await health.readiness()
        if found.ready:
            return _json({"status": "ready"}, OK)
        return _json({"status": "not_ready", "reason": found.reason}, UNAVAILABLE)

    async def report(request: Request) -> Response:
        found = await health.report()
        document = asdict(found)
        if found.error is None:
            del document["error"]
        return _json(document, OK if found.status == "healthy" else UNAVAILABLE)

    return [Route("/live", live), Route("/ready", ready), Route("/health", report)]


class HealthServer:
    """Serves the three routes on a socket that listens already, until `stop`.

    Signals are left to whoever runs it.
    """

    def __init__(self, health: Health, listening: socket.socket) -> None:
        self._socket = listening
        self._server = _Server(
            uvicorn.Config(
                Starlette(routes=routes(health)),
                access_log=False,
                lifespan="off",
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    async def serve(self) -> None:
        """Answer until `stop` is called."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """End `serve` soon."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # Uvicorn would end itself on Ctrl-C and leave the database's server to nobody.
        yield


def _json(document: object, status: int) -> Response:
    return Response(
        msgspec.json.encode(document),
        status_code=status,
        media_type="application/json",
        # A proxy that remembers "ready" defeats the question.
        headers={"cache-control": "no-store"},
    )
