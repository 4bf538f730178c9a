"""Bare psycopg 3: what a careful person writes by hand for exactly these works.

One prepared statement per work on a pooled autocommit connection, binary results,
tuples as rows. Relations are one statement with `json_agg`, and what JSON leaves as
text (keys, money, times) becomes what it is by hand, as all other contestants give it.
What that costs is shown by a variant that leaves the JSON as psycopg decodes it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool

from bench.contestant import LAST_ENTRIES, PAGE_ROWS, Family, Mark
from bench.keys import time_ordered_key

_COLUMNS = "id, email, name, is_active, kind, balance, created_at, updated_at"
_ACCOUNT = _COLUMNS.replace("kind", "kind::text")
_GET = f"SELECT {_ACCOUNT} FROM bench.account WHERE id = %s".encode()
_RELATIONS = f"""
    SELECT {_ACCOUNT},
        (SELECT json_build_object('id', id, 'account_id', account_id, 'bio', bio,
                                  'locale', locale, 'settings', settings)
         FROM bench.profile WHERE account_id = account.id),
        (SELECT json_agg(last) FROM (
            SELECT id, account_id, amount::text, note, created_at
            FROM bench.entry WHERE account_id = account.id
            ORDER BY created_at DESC, id DESC LIMIT {LAST_ENTRIES}) AS last)
    FROM bench.account WHERE id = %s
""".encode()
_PAGE = f"""
    SELECT id, tenant, occurred_at, payload FROM bench.event
    ORDER BY occurred_at DESC, id DESC LIMIT {PAGE_ROWS}
""".encode()
_PAGE_AFTER = f"""
    SELECT id, tenant, occurred_at, payload FROM bench.event
    WHERE (occurred_at, id) < (%s, %s)
    ORDER BY occurred_at DESC, id DESC LIMIT {PAGE_ROWS}
""".encode()
_CREATE = f"""
    INSERT INTO bench.account ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING {_ACCOUNT}
""".encode()
_COPY = """
    COPY bench.reading (id, account_id, recorded_at, kind, amount, note) FROM STDIN
"""


class BarePsycopg:
    """The driver and its pool, nothing between."""

    blocking = False
    variants: ClassVar[dict[str, tuple[str, str]]] = {
        "relations": ("JSON's values left as text", "relations_as_json")
    }
    _pool: AsyncConnectionPool[psycopg.AsyncConnection]

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Open a pool of autocommit connections that prepare at first use."""
        self._pool = AsyncConnectionPool(
            url,
            min_size=connections,
            max_size=connections,
            kwargs={"autocommit": True, "prepare_threshold": 0},
            open=False,
        )
        await self._pool.open(wait=True)
        return {"psycopg": psycopg.__version__}

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def _rows(self, statement: bytes, *values: Any) -> list[tuple[Any, ...]]:
        # `pool.connection()` would also commit, which an autocommit connection never needs.
        connection = await self._pool.getconn()
        try:
            cursor = await connection.execute(statement, values, binary=True)
            return await cursor.fetchall()
        finally:
            await self._pool.putconn(connection)

    async def get(self, key: UUID) -> tuple[Any, ...]:
        """Read one account."""
        return (await self._rows(_GET, key))[0]

    async def relations(self, key: UUID) -> Family:
        """Read one account with its relations, in one statement."""
        *account, profile, entries = (await self._rows(_RELATIONS, key))[0]
        profile["id"] = UUID(profile["id"])
        profile["account_id"] = UUID(profile["account_id"])
        typed = [
            (
                UUID(entry["id"]),
                UUID(entry["account_id"]),
                Decimal(entry["amount"]),
                entry["note"],
                datetime.fromisoformat(entry["created_at"]),
            )
            for entry in entries
        ]
        return Family(tuple(account), profile, typed)

    async def relations_as_json(self, key: UUID) -> tuple[Any, ...]:
        """Read the same and leave the JSON's values as they came."""
        return (await self._rows(_RELATIONS, key))[0]

    def unfold(self, found: Family) -> Family:
        """Return the family as it is."""
        return found

    async def page_first(self) -> list[tuple[Any, ...]]:
        """Read the newest events."""
        return await self._rows(_PAGE)

    async def page_deep(self, mark: Mark) -> list[tuple[Any, ...]]:
        """Read the events after the mark by row comparison."""
        return await self._rows(_PAGE_AFTER, mark.occurred_at, mark.id)

    async def create(self, fields: dict[str, Any]) -> tuple[Any, ...]:
        """Insert one account and return the stored row."""
        return (await self._rows(_CREATE, time_ordered_key(), *fields.values()))[0]

    def stage(self, readings: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        """Make finished tuples, ids included: COPY is measured at its best."""
        return [(time_ordered_key(), *reading.values()) for reading in readings]

    async def bulk(self, staged: list[tuple[Any, ...]]) -> None:
        """COPY the tuples in one go."""
        async with (
            self._pool.connection() as connection,
            connection.cursor() as cursor,
            cursor.copy(_COPY) as copy,
        ):
            for row in staged:
                await copy.write_row(row)


def contestant() -> BarePsycopg:
    """Return the contestant of this file."""
    return BarePsycopg()
