"""One migration at a time per database: a session lock on a connection of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from bedplate.catalog import Connection, connect
from bedplate.kernel.errors import MigrationFailed
from bedplate.kernel.telemetry import logger

LOCK_KEY = 0x6265_6470_6C61_7465
"""The advisory lock's key ("bedplate"); PostgreSQL keeps such locks apart by database."""

TURN_KEY = LOCK_KEY + 1
"""The key of the turn to rehearse and then migrate, which is taken before the lock."""

ASK_AGAIN_S = (0.05, 0.15)
TELL_EVERY_S = 30.0

# A holder whose machine is gone lets go within a minute: without these, after two hours.
SETTINGS = """
SET idle_session_timeout = 0;
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3
"""
HOLDER = """
SELECT l.pid, a.usename::text, a.client_addr::text
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND a.datname = pg_catalog.current_database()
    AND (l.classid::bigint << 32 | l.objid::bigint) = %s AND l.objsubid = 1
"""


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
    """Hold the lock while the block runs, waiting as long as another migration holds it.

    How long that is nobody can say: it may rehearse and backfill for hours. So who holds it is
    told at once and every TELL_EVERY_S; it lets go when its process ends, however that ends.

    The connection is in autocommit: an open transaction here would make CREATE INDEX CONCURRENTLY
    wait for us for ever. So would a statement that waits for the lock, which holds a snapshot as
    long as it waits: the lock is asked for again and again instead. A session lock, because such
    statements end transactions.
    """
    with connect(url, autocommit=True, purpose="migrate lock") as connection:
        connection.execute(SETTINGS)
        began = time.monotonic()
        tell_at = 0.0
        while not _taken(connection, key):
            waited_s = time.monotonic() - began
            if waited_s >= tell_at:
                _tell(connection, key, waited_s)
                tell_at = waited_s + TELL_EVERY_S
            time.sleep(random.uniform(*ASK_AGAIN_S))
        yield MigrationLock(connection)


def _taken(connection: Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", [key]).fetchone()
    return row is not None and bool(row[0])


def _tell(connection: Connection, key: int, waited_s: float) -> None:
    holder = connection.execute(HOLDER, [key]).fetchone()
    # Whoever held it has let go a moment ago.
    if holder is None:
        return
    pid, role, address = holder
    logger.info(
        "Waiting for another migration, for %.0f s now: session %s of %s%s holds the lock. If it"
        " hangs, end its process, or: SELECT pg_terminate_backend(%s)",
        *(waited_s, pid, role, f" from {address}" if address else "", pid),
    )
