"""Plan D's own `deductCredits`, on its own copy of the tables: read, check, write what was read.

It is written down here as the plan has it, so that anyone can see what it loses when two requests
for one account meet.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Text, Uuid, bindparam, column, text

from bedplate.kernel import ids
from bedplate.kernel.database import Database
from bedplate.kernel.query import Query
from bedplate.modules.credits import OperationType

TABLES = """
CREATE SCHEMA naive;
GRANT USAGE ON SCHEMA naive TO {app};
CREATE TABLE naive.credit_balances (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE,
    credits_remaining integer NOT NULL DEFAULT 100,
    last_synced_at timestamptz NOT NULL DEFAULT bedplate.now()
);
CREATE TABLE naive.usage_history (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    credit_balance_id uuid NOT NULL REFERENCES naive.credit_balances,
    operation_type text NOT NULL,
    credits_used integer NOT NULL,
    "timestamp" timestamptz NOT NULL DEFAULT bedplate.now()
);
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA naive TO {app};
INSERT INTO naive.credit_balances (id, user_id, credits_remaining)
SELECT gen_random_uuid(), user_id, (SELECT sum(amount) FROM credits.credit_grants
    WHERE credit_balance_id = credit_balances.id)
FROM credits.credit_balances;
"""
"""Run by the owner once the real accounts are open: the copy begins with the same credits."""

_READ: Query[Any] = Query(
    text("SELECT id, credits_remaining FROM naive.credit_balances WHERE user_id = :user_id")
    .bindparams(bindparam("user_id", type_=Uuid))
    .columns(column("id", Uuid), column("credits_remaining", Integer))
)
_WRITE: Query[Any] = Query(
    text(
        "UPDATE naive.credit_balances "
        "SET credits_remaining = :remaining, last_synced_at = bedplate.now() "
        "WHERE user_id = :user_id"
    ).bindparams(bindparam("remaining", type_=Integer), bindparam("user_id", type_=Uuid))
)
_RECORD: Query[Any] = Query(
    text(
        "INSERT INTO naive.usage_history "
        "(id, user_id, credit_balance_id, operation_type, credits_used) "
        "VALUES (:id, :user_id, :balance_id, :operation, :credits_used)"
    ).bindparams(
        bindparam("id", type_=Uuid),
        bindparam("user_id", type_=Uuid),
        bindparam("balance_id", type_=Uuid),
        bindparam("operation", type_=Text),
        bindparam("credits_used", type_=Integer),
    )
)


async def deduct_credits(
    db: Database, user_id: UUID, credits_used: int, operation: OperationType
) -> bool:
    """Deduct as plan D does; False where the plan throws 'Insufficient credits'."""
    async with db.transaction() as tx:
        found = await tx.first(_READ, user_id=user_id)
        if found is None or found[1] < credits_used:
            return False
        balance_id, remaining = found
        await tx.run(_WRITE, user_id=user_id, remaining=remaining - credits_used)
        await tx.run(
            _RECORD,
            id=ids.new(),
            user_id=user_id,
            balance_id=balance_id,
            operation=operation.value,
            credits_used=credits_used,
        )
        return True
