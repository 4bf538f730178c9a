"""One migration at a time per database: a session lock on a connection of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from bedplate.catalog import Connection, connect
from bedplate.kernel.errors import MigrationFailed

LOCK_KEY = 0x6265_6470_6C61_7465
"""The advisory lock's key ("bedplate"); PostgreSQL keeps such locks apart by database."""

TURN_KEY = LOCK_KEY + 1
"""The key of the turn to rehearse and then migrate, which is taken before the lock."""

WAIT_LIMIT_S = 600
ASK_AGAIN_S = (0.05, 0.15)


class MigrationLock:
    """The lock, held; `connection` is free for reading while it is."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def confirm(self) -> None:
        """Raise MigrationFailed when the connection, and with it the lock, is gone."""
        try:
            self.connection.execute("SELECT 1")
        except psycopg.OperationalError:
            raise MigrationFailed(
                "The connection that held the migration lock broke.",
                "Steps that were applied stay applied; run `bedplate migrate apply` again.",
            ) from None


@contextmanager
def held(url: str, key: int = LOCK_KEY) -> Generator[MigrationLock]:
    """Hold the lock while the block runs, waiting at most WAIT_LIMIT_S for another migration.

    The connection is in autocommit: an open transaction here would make CREATE INDEX CONCURRENTLY
    wait for us for ever. So would a statement that waits for the lock, which holds a snapshot as
    long as it waits: the lock is asked for again and again instead. A session lock, because such
    statements end transactions.
    """
    with connect(url, autocommit=True, purpose="migrate lock") as connection:
        connection.execute("SET idle_session_timeout = 0")
        deadline = time.monotonic() + WAIT_LIMIT_S
        while not _taken(connection, key):
            if time.monotonic() >= deadline:
                raise MigrationFailed(
                    f"Another migration of this database has run for more than {WAIT_LIMIT_S} s.",
                    "Wait for it to end, or end it; then apply again.",
                )
            time.sleep(random.uniform(*ASK_AGAIN_S))
        yield MigrationLock(connection)


def _taken(connection: Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [key]).fetchone()
    return row is not None and bool(row[0])
