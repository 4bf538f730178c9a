"""How far a long piece of work is, said in the log once a second; of short work nothing is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread

import psycopg

from bedplate.catalog import Connection, connect
from bedplate.kernel.errors import ConnectionFailed
from bedplate.kernel.telemetry import logger

TELL_EVERY_S = 1.0


class Telling:
    """Leaves out what comes less than TELL_EVERY_S after the beginning or what was said last."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def tell(self, message: str) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            logger.info("%s", message)


@contextmanager
def watched(url: str, look: Callable[[Connection], str]) -> Generator[None]:
    """Say every TELL_EVERY_S what `look` finds, while a statement or a program of others works.

    It looks from a thread of its own, over a connection of its own in autocommit, which is made
    only once it is time. Where nothing can be seen, nothing is said.
    """
    over = Event()

    def watch() -> None:
        if over.wait(TELL_EVERY_S):
            return
        try:
            with connect(url, autocommit=True, purpose="progress") as connection:
                while True:
                    logger.info("%s", look(connection))
                    if over.wait(TELL_EVERY_S):
                        return
        except (psycopg.Error, ConnectionFailed):
            return

    watcher = Thread(target=watch, name="migrate-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
