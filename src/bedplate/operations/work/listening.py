"""Hearing of new work at once, where that is possible; the poll finds it everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg

from bedplate.kernel.database import Database
from bedplate.kernel.jobs import CHANNEL

CONNECT_TIMEOUT_S = 5
AGAIN_S = 1.0


class Listener:
    """Listens on a connection of its own, because LISTEN belongs to a connection.

    Behind a transaction pooler there is none to listen on, and it does nothing.
    """

    def __init__(self, db: Database, heard: Callable[[], None]) -> None:
        self._url = db.url
        self._heard = heard
        self.possible = db.leaf.prepares
        self.listening = False

    async def run(self) -> None:
        """Listen until cancelled, on a new connection whenever one breaks."""
        while self.possible:
            try:
                await self._listen()
            except psycopg.Error:
                self.listening = False
                await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="bedplate work",
        )
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self.listening = True
            # What was said before nobody heard.
            self._heard()
            async for _ in connection.notifies():
                self._heard()
