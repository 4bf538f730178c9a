"""Bare psycopg 3 calling Bedplate's own SQL function with the parameters Bedplate sends.

Beside it stand statements that do less of the job, each in one round trip: what every guarantee
costs. And the plan's own code, which reads, checks and writes what it has computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from bench.credits_contestant import OPERATION, Charged, Offer
from bench.keys import time_ordered_key

DEFAULT_COST = 1
_DEDUCT = b"""
    SELECT outcome, usage_id, credits, balance, available, at, replayed
    FROM credits.deduct(%s, %s, %s::text::credits.operation_type, %s, %s, %s, %s, %s)
"""
_BARE_UPDATE = b"""
    UPDATE bench_apart.credit_balances SET credits_remaining = credits_remaining - 1
    WHERE user_id = %(user)s AND credits_remaining >= 1
"""
_BALANCE = """
    UPDATE bench_apart.credit_balances b
    SET credits_remaining = b.credits_remaining - 1, last_synced_at = bedplate.clock()
    {source}
    RETURNING b.id, b.user_id, b.credits_remaining, b.credits_held
"""
_USAGE = """
    INSERT INTO bench_apart.usage_history
        (id, user_id, credit_balance_id, operation_type, credits_used, action, key,
         balance_after, available_after, grant_id, "timestamp")
    SELECT %(id)s, user_id, id, 'AI_TEXT_CHAT', 1, 'deduct', %(key)s, credits_remaining,
           credits_remaining - credits_held, {grant}, bedplate.clock()
    FROM balance
    RETURNING id, credit_balance_id, balance_after
"""
_UNLOCKED = "WHERE b.user_id = %(user)s AND b.credits_remaining >= 1"
_LOCKED = """
    SELECT id FROM bench_apart.credit_balances WHERE user_id = %(user)s FOR NO KEY UPDATE
"""
_UNKNOWN = """
    FROM locked WHERE b.id = locked.id AND b.credits_remaining >= 1 AND NOT EXISTS (
        SELECT FROM bench_apart.usage_history h
        WHERE h.credit_balance_id = locked.id AND h.action = 'deduct' AND h.key = %(key)s)
"""
_GRANTED = """
    UPDATE bench_apart.credit_grants SET remaining = remaining - 1 WHERE id = (
        SELECT g.id FROM bench_apart.credit_grants g JOIN balance b ON g.credit_balance_id = b.id
        WHERE g.is_open AND (g.expires_at IS NULL OR g.expires_at > bedplate.clock())
        ORDER BY g.priority, g.expires_at, g.created_at, g.id LIMIT 1)
    RETURNING id
"""
_AUDITED = """
    INSERT INTO bench_apart.audit_logs
        (action, entity_type, entity_id, changes, description, user_id, actor_type, request_id)
    SELECT 'CREDITS_DEDUCTED', 'CreditBalance', credit_balance_id::text,
           jsonb_build_object('before', jsonb_build_object('credits_remaining', balance_after + 1),
                              'after', jsonb_build_object('credits_remaining', balance_after)),
           '1 credits for AI_TEXT_CHAT', {who}
    FROM usage{told}
"""
_NOBODY = _AUDITED.format(who="NULL::uuid, 'SYSTEM', NULL::text", told="")
# What PostgreSQL is told has to be asked for, or it would not be told.
_ACTING = _AUDITED.format(
    who="bedplate.actor_key(NULL::uuid), 'USER', bedplate.context('request_id')",
    told=" CROSS JOIN (SELECT count(said) FROM told) AS known WHERE known.count > 0",
)
_TOLD = """
    SELECT set_config('bedplate.' || name, value, true) AS said
    FROM jsonb_each_text(%(context)s) AS given (name, value)
"""


def _with(**parts: str) -> bytes:
    """Return one statement of many: each part is a step that the later ones may read."""
    steps = ", ".join(f"{name} AS ({text})" for name, text in parts.items())
    return f"WITH {steps} SELECT balance_after FROM usage".encode()


_UNPAID = _USAGE.format(grant="NULL::uuid")
_PAID = _USAGE.format(grant="(SELECT id FROM granted)")
_TAKEN = {"locked": _LOCKED, "balance": _BALANCE.format(source=_UNKNOWN)}
_CHECKED = _TAKEN | {"usage": _UNPAID}
_BURNED = _TAKEN | {"granted": _GRANTED, "usage": _PAID}
STEPS = {
    "cost_update": _BARE_UPDATE,
    "cost_history": _with(balance=_BALANCE.format(source=_UNLOCKED), usage=_UNPAID),
    "cost_key": _with(**_CHECKED),
    "cost_grants": _with(**_BURNED),
    "cost_audit": _with(**_BURNED, audited=_NOBODY),
    "cost_context": _with(**_BURNED, told=_TOLD, audited=_ACTING),
}
_NAIVE_READ = b"""
    SELECT id, credits_remaining FROM bench_apart.credit_balances WHERE user_id = %s
"""
_NAIVE_WRITE = b"""
    UPDATE bench_apart.credit_balances SET credits_remaining = %s, last_synced_at = bedplate.now()
    WHERE user_id = %s
"""
_NAIVE_RECORD = b"""
    INSERT INTO bench_apart.usage_history
        (id, user_id, credit_balance_id, operation_type, credits_used, action, key,
         balance_after, available_after)
    VALUES (%s, %s, %s, 'AI_TEXT_CHAT', 1, 'deduct', %s, %s, %s)
"""


class CreditsPsycopg:
    """The driver and its pool; one statement a charge."""

    blocking = False
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

    async def _execute(self, statement: bytes, values: Any) -> tuple[int, list[tuple[Any, ...]]]:
        # `pool.connection()` would also commit, which an autocommit connection never needs.
        connection = await self._pool.getconn()
        try:
            cursor = await connection.execute(statement, values, binary=True)
            rows = await cursor.fetchall() if cursor.description else []
            return cursor.rowcount, rows
        finally:
            await self._pool.putconn(connection)

    async def deduct(self, user: UUID, key: str, amount: int = 1) -> Charged:
        """Call the function that Bedplate calls."""
        given = _context(user, key)
        values = (time_ordered_key(), user, OPERATION, key, amount, None, DEFAULT_COST, given)
        _, rows = await self._execute(_DEDUCT, values)
        outcome, _, used, balance, *_ = rows[0]
        if outcome == "REFUSED":
            return None
        if outcome != "DEDUCTED":
            raise AssertionError(outcome)
        return used, balance

    async def bare_update(self, user: UUID, key: str) -> None:
        """Lower the balance and do nothing else."""
        changed, _ = await self._execute(_BARE_UPDATE, {"user": user})
        assert changed == 1

    async def naive(self, user: UUID, key: str) -> None:
        """Do what the plan's `deductCredits` does: read, check, write what was computed."""
        async with self._pool.connection() as connection, connection.transaction():
            row = await (await connection.execute(_NAIVE_READ, [user])).fetchone()
            if row is None or row[1] < 1:
                raise AssertionError("Insufficient credits")
            await connection.execute(_NAIVE_WRITE, [row[1] - 1, user])
            recorded = [time_ordered_key(), user, row[0], key, row[1] - 1, row[1] - 1]
            await connection.execute(_NAIVE_RECORD, recorded)

    def further(self) -> Mapping[str, Offer]:
        """Offer the bare UPDATE, the plan's code, and the job step by step."""
        return {
            "bare_update": Offer(self.bare_update, "lone"),
            "naive": Offer(self.naive, "naive"),
            **{work: Offer(self._step(text), "spread") for work, text in STEPS.items()},
        }

    def _step(self, statement: bytes) -> Any:
        async def run(user: UUID, key: str) -> None:
            values: dict[str, Any] = {"user": user, "key": key, "id": time_ordered_key()}
            if b"%(context)s" in statement:
                values["context"] = _context(user, key)
            changed, _ = await self._execute(statement, values)
            assert changed == 1

        return run


def _context(user: UUID, key: str) -> Jsonb:
    return Jsonb({"actor": str(user), "request_id": key})


def contestant() -> CreditsPsycopg:
    """Return the contestant of this file."""
    return CreditsPsycopg()
