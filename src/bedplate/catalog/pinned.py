"""The settings under which PostgreSQL writes values and definitions, the same whoever reads."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from psycopg import sql
from psycopg.pq import TransactionStatus

from bedplate.catalog.connection import Connection

SETTINGS: Mapping[str, str] = {
    # With an empty search_path PostgreSQL writes every name in full.
    "search_path": "",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    # Constants of a default or a partition's bound are written like any value.
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    # A policy that would hide rows then is an error: half of a table must not pass for all of it.
    "row_security": "off",
    # To compile what runs once takes longer than to run it.
    "jit": "off",
}

PIN = sql.SQL("SELECT {}").format(
    sql.SQL(", ").join(
        sql.SQL("pg_catalog.set_config({}, {}, true)").format(name, value)
        for name, value in SETTINGS.items()
    )
)
ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@contextmanager
def pinned(connection: Connection) -> Generator[None]:
    """Pin the session's settings for a block that only reads, and put them back after it.

    Outside of a transaction every statement of the block sees one moment; inside of one of the
    caller's each sees what the caller's own next statement would, uncommitted changes included.
    """
    is_alone = connection.info.transaction_status == TransactionStatus.IDLE
    # Nothing is written, so rolling back only undoes the settings and lets go of the locks.
    with connection.transaction(force_rollback=True):
        if is_alone:
            connection.execute(ONE_MOMENT)
        connection.execute(PIN)
        yield
