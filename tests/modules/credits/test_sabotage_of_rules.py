"""Each rule and trigger of the tables matters: with it a harm is refused by name, without it taken.

The harms are statements of the owner, whom no privilege stops. What the catalog has and nobody here
or in test_sabotage.py takes away is found, so that no rule goes without a harm of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
import pytest

from bedplate import Database
from bedplate.modules.credits import (
    Charge,
    Deducted,
    GrantTerms,
    Held,
    capture,
    deduct,
    grant,
    refund,
    reserve,
)
from bedplate.testing import Clone
from tests.asking import as_owner, ask
from tests.modules.credits.accounts import CHAT, assert_lawful, new_account, new_user
from tests.modules.credits.test_sabotage import GUARDS
from tests.world import World

NOBODY = "gen_random_uuid()"
NOW = "bedplate.now()"
BARE = "(SELECT id FROM auth.users WHERE name = 'bare')"
SPARE = "(SELECT id FROM credits.credit_grants WHERE key = 'spare')"


@dataclass(frozen=True)
class Rule:
    """A rule of a table, and a harm: a statement, or a copy of one of its rows with other values.

    `beside` are the rules that stand behind this one, and are taken away before it is tried.
    """

    table: str
    harm: str = ""
    where: str = "true"
    values: dict[str, str] = field(default_factory=dict[str, str])
    beside: tuple[str, ...] = ()

    def statement(self, clone: Clone) -> str:
        """The harm in SQL; a copy gets an id of its own unless it is given one."""
        if self.harm:
            return f"UPDATE credits.{self.table} SET {self.harm}"
        columns = [
            str(name)
            for (name,) in ask(
                clone,
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::text::regclass"
                " AND attnum > 0 AND attgenerated = ''",
                f"credits.{self.table}",
            )
        ]
        own = {"id": NOBODY} if "id" in columns else {}
        values = {name: f'"{name}"' for name in columns} | own | self.values
        return (
            f"INSERT INTO credits.{self.table} ({', '.join(map(quoted, values))})"
            f" SELECT {', '.join(values.values())} FROM credits.{self.table}"
            f" WHERE {self.where} LIMIT 1"
        )


def quoted(name: str) -> str:
    return f'"{name}"'


def copies(table: str, rules: dict[str, dict[str, str]], where: str = "true") -> dict[str, Rule]:
    """Rules that a copy of one row breaks, each with the values that break it."""
    return {name: Rule(table, where=where, values=values) for name, values in rules.items()}


def append_only(table: str, harm: str) -> dict[str, Rule]:
    return {f"tr_{table}_append_only": Rule(table, harm)}


ACCOUNT = {"clerk_user_id": "NULL", "credits_remaining": "0", "credits_held": "0"}
X = {"key": "'x'"}
OVER = {**X, "ended_at": NOW, "usage_id": "NULL"}
RULES: dict[str, Rule] = {
    "ck_admin_settings_singleton": Rule("admin_settings", "id = 'b'"),
    "pk_admin_settings": Rule("admin_settings", values={"id": "id"}),
    "pk_features": Rule("features", values={"id": "id"}),
    **copies(
        "audit_logs",
        {
            "pk_audit_logs": {"id": "id"},
            "ck_audit_logs_actor": {"actor_type": "'ROBOT'"},
            "fk_audit_logs_user_id_users": {"actor_type": "'USER'", "user_id": NOBODY},
        },
    ),
    **append_only("audit_logs", "description = ''"),
    "ck_credit_balances_held": Rule("credit_balances", "credits_held = -1"),
    "ck_credit_balances_remaining": Rule(
        "credit_balances", "credits_remaining = -1", beside=("ck_credit_balances_held",)
    ),
    "fk_credit_balances_user_id_clerk_user_id_users": Rule(
        "credit_balances", "clerk_user_id = user_id::text"
    ),
    "uq_credit_balances_clerk_user_id": Rule(
        "credit_balances",
        "clerk_user_id = 'c'",
        beside=("fk_credit_balances_user_id_clerk_user_id_users",),
    ),
    "uq_credit_balances_id_user_id": Rule(
        "credit_balances",
        values={**ACCOUNT, "id": "id"},
        beside=("pk_credit_balances", "uq_credit_balances_user_id"),
    ),
    **copies(
        "credit_balances",
        {
            "pk_credit_balances": {**ACCOUNT, "id": "id", "user_id": BARE},
            "uq_credit_balances_user_id": ACCOUNT,
            "fk_credit_balances_user_id_users": {**ACCOUNT, "user_id": NOBODY},
        },
    ),
    **copies(
        "credit_grants",
        {
            "pk_credit_grants": {**X, "id": "id"},
            "uq_credit_grants_credit_balance_id_key": {},
            "ck_credit_grants_amount": {**X, "amount": "0", "remaining": "0", "held": "0"},
            "ck_credit_grants_held": {**X, "held": "-1"},
            "ck_credit_grants_key": {"key": "''"},
            "ck_credit_grants_remaining": {**X, "remaining": "amount + 1"},
            "fk_credit_grants_credit_balance_id_credit_balances": {
                **X,
                "credit_balance_id": NOBODY,
            },
        },
    ),
    **copies(
        "credit_expirations",
        {
            "pk_credit_expirations": {"id": "id"},
            "ck_credit_expirations_amount": {"amount": "0"},
            "fk_credit_expirations_grant_id_credit_grants": {"grant_id": NOBODY},
            "fk_credit_expirations_credit_balance_id_credit_balances": {
                "credit_balance_id": NOBODY
            },
        },
    ),
    **append_only("credit_expirations", "amount = amount + 1"),
    **copies(
        "credit_holds",
        {
            "pk_credit_holds": {**X, "id": "id"},
            "uq_credit_holds_credit_balance_id_key": {},
            "ck_credit_holds_amount": {**X, "amount": "-1"},
            "ck_credit_holds_captured": {**OVER, "state": "'CAPTURED'"},
            "ck_credit_holds_ended": {**X, "ended_at": NOW},
            "ck_credit_holds_key": {"key": "''"},
            "ck_credit_holds_state": {**OVER, "state": "'LOST'"},
            "fk_credit_holds_credit_balance_id_credit_balances": {**X, "credit_balance_id": NOBODY},
            "fk_credit_holds_usage_id_usage_history": {
                **OVER,
                "state": "'CAPTURED'",
                "usage_id": NOBODY,
            },
        },
        where="state = 'OPEN'",
    ),
    **copies(
        "hold_allocations",
        {
            "pk_hold_allocations": {},
            "ck_hold_allocations_amount": {"grant_id": SPARE, "amount": "0"},
            "fk_hold_allocations_grant_id_credit_grants": {"grant_id": NOBODY},
            "fk_hold_allocations_hold_id_credit_holds": {"hold_id": NOBODY},
        },
    ),
    **append_only("hold_allocations", "amount = amount + 1"),
    **copies(
        "usage_allocations",
        {
            "pk_usage_allocations": {},
            "ck_usage_allocations_amount": {"grant_id": SPARE, "amount": "0"},
            "fk_usage_allocations_grant_id_credit_grants": {"grant_id": NOBODY},
            "fk_usage_allocations_usage_id_usage_history": {"usage_id": NOBODY},
        },
    ),
    **append_only("usage_allocations", "amount = amount * 2"),
    **copies(
        "usage_history",
        {
            "pk_usage_history": {**X, "id": "id"},
            "uq_usage_history_credit_balance_id_key": {},
            "ck_usage_history_action": {**X, "action": "'gift'"},
            "ck_usage_history_balance_after": {**X, "available_after": "balance_after + 1"},
            "ck_usage_history_key": {"key": "''"},
            "ck_usage_history_sign": {**X, "credits_used": "-5"},
            "fk_usage_history_credit_balance_id_user_id_credit_balances": {**X, "user_id": BARE},
            "fk_usage_history_grant_id_credit_grants": {**X, "grant_id": NOBODY},
            "fk_usage_history_refund_of_usage_history": {
                **X,
                "action": "'refund'",
                "credits_used": "-1",
                "refund_of": NOBODY,
            },
        },
        where="action = 'deduct'",
    ),
    **append_only("usage_history", "details = '{}'"),
}
ELSEWHERE = {
    "schema_version_pkey": "the migration runner's own table",
    **{
        f"tr_{table}_capture_{kind}": "the kernel's: tests/kernel/test_audit_capture.py"
        for table in ("admin_settings", "credit_balances", "credit_grants", "features")
        for kind in ("insert", "update", "delete", "truncate")
    },
}
CATALOG = """
SELECT conname::text FROM pg_constraint
WHERE connamespace = 'credits'::regnamespace AND contype <> 'n'
UNION SELECT t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'credits'::regnamespace AND NOT t.tgisinternal
UNION SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'credits'::regnamespace AND i.indisunique
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
"""


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the rules are the server's."""
    return world


async def lived(world: World, db: Database) -> None:
    """A row in every table: two accounts, and whatever can happen to one of them."""
    soon = world.clock.freeze() + timedelta(days=1)
    user = await new_account(db, 100)
    await grant(db, user, 20, key="g", terms=GrantTerms(expires_at=soon))
    charged = await deduct(db, user, CHAT, key="both", amount=105)
    assert isinstance(charged, Deducted)
    await refund(db, charged.usage_id, key="r", amount=100)
    await deduct(db, user, CHAT, key="one", amount=1)
    held = await reserve(db, Charge(user_id=user, operation=CHAT, key="captured", amount=5))
    assert isinstance(held, Held)
    await capture(db, held.hold_id)
    world.clock.advance(days=2)
    await reserve(db, Charge(user_id=user, operation=CHAT, key="open", amount=5))
    await grant(db, await new_account(db, 0), 7, key="spare")
    await new_user(db)
    as_owner(
        world.clone,
        "UPDATE auth.users SET name = 'bare' WHERE id NOT IN"
        " (SELECT user_id FROM credits.credit_balances);"
        "INSERT INTO credits.features (id, name) VALUES (gen_random_uuid(), 'chat')",
    )


def met(owner: psycopg.Connection, dropped: Iterable[str], harm: str) -> str | None:
    """The name of what refuses the harm once so much is dropped; None where it is taken."""
    for statement in dropped:
        owner.execute(statement.encode())
    try:
        taken = owner.execute(harm.encode()).rowcount
    except psycopg.errors.IntegrityError as refused:
        return refused.diag.constraint_name
    except psycopg.DatabaseError as refused:
        return refused.sqlstate
    finally:
        owner.rollback()
    assert taken > 0, harm
    return None


def test_with_the_rule_its_harm_is_refused_and_without_it_taken(world: World) -> None:
    world.run(lived(world, world.db))
    assert_lawful(world)
    found: dict[str, tuple[str | None, str | None]] = {}
    with psycopg.connect(world.clone.owner_url) as owner:
        for name, rule in RULES.items():
            drops = [taken_away(rule.table, each) for each in rule.beside]
            harm = rule.statement(world.clone)
            found[name] = (
                met(owner, drops, harm),
                met(owner, [*drops, taken_away(rule.table, name)], harm),
            )
    wanted = {name: "BP001" if name.startswith("tr_") else name for name in RULES}
    assert found == {name: (refusal, None) for name, refusal in wanted.items()}


def taken_away(table: str, name: str) -> str:
    if name.startswith("tr_"):
        return f"DROP TRIGGER {name} ON credits.{table}"
    return f"ALTER TABLE credits.{table} DROP CONSTRAINT {name} CASCADE"


def test_no_rule_or_trigger_of_the_catalog_is_without_its_harm(world: World) -> None:
    there = {str(name) for (name,) in ask(world.clone, CATALOG)}
    taken = " ".join(guard.statement for guard in GUARDS.values())
    assert there - RULES.keys() - ELSEWHERE.keys() - {n for n in there if n in taken} == set()
    assert (RULES.keys() | ELSEWHERE.keys()) - there == set()
