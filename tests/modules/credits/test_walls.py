"""What stands in the database itself: raw SQL breaks no rule, and what it breaks, `check` names."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate import Database
from bedplate.modules.credits import Charge, Deducted, Held, deduct, grant, refund, reserve
from bedplate.operations import checks
from tests.asking import as_owner, ask
from tests.modules.credits.accounts import CHAT, LEDGER, assert_lawful, broken, counted, new_account
from tests.world import World

MONEY = [table for table in LEDGER if table.startswith("credits.")]
HISTORY = [
    "credits.usage_history",
    "credits.usage_allocations",
    "credits.credit_expirations",
    "credits.hold_allocations",
    "credits.audit_logs",
]


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: what is tried here is what the server does."""
    return world


@pytest.fixture
def lived(world: World) -> UUID:
    """The user of an account with a grant, a charge, a refund and an open hold."""

    async def body(db: Database) -> UUID:
        user = await new_account(db, 100)
        await grant(db, user, 50, key="g")
        done = await deduct(db, user, CHAT, key="k", amount=30)
        assert isinstance(done, Deducted)
        await refund(db, done.usage_id, key="r", amount=10)
        held = await reserve(db, Charge(user_id=user, operation=CHAT, key="h", amount=20))
        assert isinstance(held, Held)
        return user

    return world.run(body(world.db))


def rows(world: World) -> list[list[tuple[Any, ...]]]:
    """Every row of the ledger, as text."""
    return [
        sorted(ask(world.clone, f"SELECT row_to_json(t)::text FROM {table} AS t"))
        for table in LEDGER
    ]


@pytest.mark.parametrize("table", MONEY)
def test_the_app_s_role_writes_no_table_of_the_ledger(
    world: World, lived: UUID, table: str
) -> None:
    before = rows(world)
    (column,) = ask(
        world.clone,
        "SELECT a.attname FROM pg_attribute a JOIN pg_index i ON i.indrelid = a.attrelid"
        " AND i.indisprimary AND a.attnum = i.indkey[0] WHERE a.attrelid = %s::text::regclass",
        table,
    )[0]
    statements = [
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"DROP TABLE {table} CASCADE",
        f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE",
        f"INSERT INTO {table} DEFAULT VALUES",
    ]
    for statement in statements:
        with (
            psycopg.connect(world.clone.url) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute(statement.encode())
    assert rows(world) == before
    assert_lawful(world)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE credits.credit_balances DROP CONSTRAINT ck_credit_balances_remaining",
        "DROP TRIGGER tr_usage_history_append_only ON credits.usage_history",
        "DROP FUNCTION credits.deduct",
        "ALTER FUNCTION credits.deduct SECURITY INVOKER",
        "CREATE FUNCTION credits.mint() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE credits.mine (id int)",
        "SET session_replication_role = replica",
        "SELECT credits.record('CREDITS_GRANTED', 'CreditBalance', gen_random_uuid(), 0, 1, '')",
        "SELECT credits.expire_grant(gen_random_uuid(), -5, now())",
        "SELECT credits.free_hold(gen_random_uuid())",
        "SELECT credits.end_hold(gen_random_uuid(), 'RELEASED', now())",
        "SELECT credits.settle(gen_random_uuid(), now())",
        "SELECT credits.burn(gen_random_uuid(), gen_random_uuid(), 1, now())",
        "SELECT credits.parts(gen_random_uuid(), 1, now())",
        "SELECT credits.plan_expiry(gen_random_uuid())",
        "SELECT credits.act(NULL)",
        "SELECT credits.enter()",
        "SELECT credits.leave()",
    ],
)
def test_the_app_s_role_goes_round_no_guard(world: World, statement: str) -> None:
    with (
        psycopg.connect(world.clone.url) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute(statement.encode())


def test_every_function_the_app_may_call_is_a_verb(world: World) -> None:
    callable_by_app = ask(
        world.clone,
        "SELECT p.proname::text, p.prosecdef FROM pg_proc p"
        " WHERE p.pronamespace = 'credits'::regnamespace AND p.prorettype <> 'trigger'::regtype"
        " AND has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1",
    )
    verbs = (
        "capture deduct deduct_many expire_due grant_credits open_account refund release reserve"
        " set_feature_costs"
    )
    assert callable_by_app == [(verb, True) for verb in verbs.split()]


@pytest.mark.parametrize(
    "call",
    [
        "credits.deduct(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT', 'n', -5, NULL, 1, NULL)",
        "credits.deduct(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT', 'n', 0, NULL, 1, NULL)",
        "credits.deduct(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT', '', 5, NULL, 1, NULL)",
        "credits.deduct(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT', NULL, 5, NULL, 1, NULL)",
        "credits.deduct(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT', 'n', NULL, NULL, -1, NULL)",
        "credits.deduct(NULL, %(user)s, 'AI_TEXT_CHAT', 'n', 5, NULL, 1, NULL)",
        "credits.deduct(gen_random_uuid(), %(user)s, NULL, 'n', 5, NULL, 1, NULL)",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[%(user)s::uuid],"
        " '{AI_TEXT_CHAT}', '{n}', '{-5}', NULL, '{}', NULL, NULL)",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[%(user)s::uuid],"
        " '{AI_TEXT_CHAT}', '{n}', '{NULL}', NULL, '{\"AI_TEXT_CHAT\": -5}', NULL, NULL)",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[%(user)s::uuid],"
        " '{AI_TEXT_CHAT}', '{n,m}', '{5,5}', NULL, '{}', NULL, NULL)",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[%(user)s::uuid],"
        " '{AI_TEXT_CHAT}', '{}', '{5}', NULL, '{}', NULL, NULL)",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[%(user)s::uuid, %(user)s::uuid],"
        " '{AI_TEXT_CHAT,AI_TEXT_CHAT}', '{n,m}', '{5,5}', NULL, '{}', NULL, NULL)",
        "credits.deduct_many('{NULL}', ARRAY[%(user)s::uuid],"
        " '{AI_TEXT_CHAT}', '{n}', '{5}', NULL, '{}', NULL, NULL)",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[%(user)s::uuid],"
        " '{AI_TEXT_CHAT}', '{n}', '{-5}', NULL, '{}', NULL, '[]')",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[%(user)s::uuid],"
        " '{AI_TEXT_CHAT}', '{n}', '{5}', NULL, '{}', NULL, '[{\"actor\": \"somebody\"}]')",
        "credits.deduct_many(ARRAY[gen_random_uuid()], ARRAY[gen_random_uuid()],"
        " '{AI_TEXT_CHAT}', '{n}', '{5}', NULL, '{}', NULL, '7')",
        "credits.reserve(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT', 'n', -5, NULL, 1, '1h',"
        " NULL)",
        "credits.refund(gen_random_uuid(), (SELECT id FROM credits.usage_history"
        " WHERE refund_of IS NULL), 'n', -5, NULL, NULL)",
        "credits.refund(gen_random_uuid(), (SELECT id FROM credits.usage_history"
        " WHERE refund_of IS NULL), 'n', 21, NULL, NULL)",
        "credits.capture(gen_random_uuid(), (SELECT id FROM credits.credit_holds), 21, NULL)",
        "credits.capture(gen_random_uuid(), (SELECT id FROM credits.credit_holds), -1, NULL)",
        "credits.grant_credits(gen_random_uuid(), %(user)s, -5, 'n',"
        ' \'{"source": "s", "priority": 0}\', NULL, NULL)',
        "credits.grant_credits(gen_random_uuid(), %(user)s, 5, '',"
        ' \'{"source": "s", "priority": 0}\', NULL, NULL)',
        "credits.open_account(gen_random_uuid(), (SELECT id FROM auth.users"
        " WHERE email LIKE 'bare%%'), -5, NULL)",
    ],
)
def test_a_verb_called_by_raw_sql_with_nonsense_moves_no_credit(
    world: World, lived: UUID, call: str
) -> None:
    as_owner(
        world.clone, "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'bare@x.com')"
    )
    before = rows(world)
    with psycopg.connect(world.clone.url, autocommit=True) as app:
        try:
            answer = app.execute(f"SELECT outcome FROM {call}", {"user": lived}).fetchone()
        except (psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation):
            answer = ("refused",)
        assert answer is not None
        assert answer[0] not in {"DEDUCTED", "REFUNDED", "HELD", "GRANTED", "OPENED"}
    assert rows(world) == before
    assert_lawful(world)


@pytest.mark.parametrize("table", HISTORY)
def test_not_even_the_owner_rewrites_history(world: World, lived: UUID, table: str) -> None:
    before = rows(world)
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with (
            psycopg.connect(world.clone.owner_url) as owner,
            pytest.raises(psycopg.Error) as refused,
        ):
            owner.execute(statement.encode())
        assert refused.value.sqlstate == "BP001"
    assert rows(world) == before


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE credits.usage_history SET credits_used = 1", None),
        ("UPDATE credits.usage_allocations SET amount = 1", None),
        ("UPDATE credits.audit_logs SET description = ''", None),
        (
            "UPDATE credits.credit_balances SET credits_remaining = -1, credits_held = 0",
            "credit_balances",
        ),
        ("UPDATE credits.credit_balances SET credits_held = -1", "ck_credit_balances_held"),
        ("UPDATE credits.credit_balances SET credits_held = 1000", "ck_credit_balances_held"),
        ("UPDATE credits.credit_grants SET remaining = -1, held = 0", "credit_grants"),
        ("UPDATE credits.credit_grants SET remaining = amount + 1", "ck_credit_grants_remaining"),
        ("UPDATE credits.credit_grants SET held = remaining + 1", "ck_credit_grants_held"),
        ("UPDATE credits.credit_grants SET key = 'same'", "uq_credit_grants_credit_balance_id_key"),
        ("UPDATE credits.credit_holds SET amount = -1", "ck_credit_holds_amount"),
        ("INSERT INTO credits.admin_settings DEFAULT VALUES", "pk_admin_settings"),
        ("INSERT INTO credits.admin_settings (id) VALUES ('b')", "ck_admin_settings_singleton"),
        ("UPDATE credits.credit_holds SET state = 'CAPTURED'", "credit_holds"),
        (
            "INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type,"
            " credits_used, action, key, balance_after, available_after)"
            " SELECT gen_random_uuid(), user_id, credit_balance_id, operation_type, credits_used,"
            " action, key, 1, 1 FROM credits.usage_history WHERE action = 'deduct'",
            "uq_usage_history_credit_balance_id_key",
        ),
        (
            "INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type,"
            " credits_used, action, key, balance_after, available_after)"
            " SELECT gen_random_uuid(), user_id, credit_balance_id, operation_type, -5,"
            " 'deduct', 'minted', 1, 1 FROM credits.usage_history WHERE action = 'deduct'",
            "ck_usage_history_sign",
        ),
        (
            "INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type,"
            " credits_used, action, key, balance_after, available_after, refund_of)"
            " SELECT gen_random_uuid(), user_id, credit_balance_id, operation_type, -21,"
            " 'refund', 'more', 1, 1, id FROM credits.usage_history WHERE action = 'deduct'",
            "refundable",
        ),
        (
            "INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type,"
            " credits_used, action, key, balance_after, available_after, refund_of)"
            " SELECT gen_random_uuid(), user_id, credit_balance_id, operation_type, -1,"
            " 'refund', 'more', 1, 1, id FROM credits.usage_history WHERE action = 'refund'",
            "refundable",
        ),
    ],
)
def test_the_owner_meets_the_rules_too(
    world: World, lived: UUID, statement: str, rule: str | None
) -> None:
    before = rows(world)
    with (
        psycopg.connect(world.clone.owner_url) as owner,
        pytest.raises(psycopg.Error) as refused,
    ):
        owner.execute(statement.encode())
    if rule is None:
        assert refused.value.sqlstate == "BP001"
    else:
        assert isinstance(refused.value, psycopg.errors.IntegrityError)
        assert rule in str(refused.value.diag.constraint_name)
    assert rows(world) == before


CHARGE = (
    "INSERT INTO credits.usage_history (id, user_id, credit_balance_id, operation_type,"
    " credits_used, action, key, balance_after, available_after{more})"
    " SELECT gen_random_uuid(), {user}, credit_balance_id, operation_type, {used}, '{action}',"
    " 'forged', 1, 1{value} FROM credits.usage_history WHERE action = 'deduct'"
)
LAWS: dict[str, tuple[str, str]] = {
    "credits.E001": (
        "UPDATE credits.credit_balances SET credits_remaining = credits_remaining + 1",
        "SELECT 'credit_balance_id', id::text FROM credits.credit_balances",
    ),
    "credits.E002": (
        "UPDATE credits.credit_balances SET credits_held = credits_held - 1",
        "SELECT 'credit_balance_id', id::text FROM credits.credit_balances",
    ),
    "credits.E003": (
        "UPDATE credits.credit_grants SET remaining = remaining - 1 WHERE key = 'g'",
        "SELECT 'credit_grant_id', id::text FROM credits.credit_grants WHERE key = 'g'",
    ),
    "credits.E004": (
        "UPDATE credits.credit_grants SET held = held + 1 WHERE key = 'g'",
        "SELECT 'credit_grant_id', id::text FROM credits.credit_grants WHERE key = 'g'",
    ),
    "credits.E005": (
        CHARGE.format(user="user_id", used=7, action="deduct", more="", value=""),
        "SELECT 'usage_id', id::text FROM credits.usage_history WHERE key = 'forged'",
    ),
    "credits.E006": (
        "ALTER TABLE credits.usage_history DISABLE TRIGGER tr_usage_history_refundable;"
        + CHARGE.format(
            user="user_id", used=-21, action="refund", more=", refund_of", value=", id"
        ),
        "SELECT 'usage_id', id::text FROM credits.usage_history WHERE action = 'deduct'",
    ),
    "credits.E007": (
        "ALTER TABLE credits.usage_history"
        " DROP CONSTRAINT fk_usage_history_credit_balance_id_user_id_credit_balances;"
        "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'eve@example.com');"
        + CHARGE.format(
            user="(SELECT id FROM auth.users WHERE email = 'eve@example.com')",
            used=0,
            action="deduct",
            more="",
            value="",
        ),
        "SELECT 'usage_id', id::text FROM credits.usage_history WHERE key = 'forged'",
    ),
    "credits.E009": (
        "INSERT INTO credits.credit_holds (id, credit_balance_id, operation_type, key, amount,"
        " expires_at, available_after) SELECT gen_random_uuid(), id, 'AI_TEXT_CHAT', 'forged', 3,"
        " bedplate.now() + interval '1 hour', 0 FROM credits.credit_balances LIMIT 1",
        "SELECT 'credit_hold_id', id::text FROM credits.credit_holds WHERE key = 'forged'",
    ),
    "credits.E008": (
        "UPDATE credits.admin_settings SET feature_costs = '{\"AI_TEXT_CHAT\": -1}'",
        "SELECT 'problem', 'AI_TEXT_CHAT costs -1'",
    ),
    "credits.E010": (
        "ALTER TABLE auth.users DISABLE TRIGGER tr_users_follow_clerk_id;"
        "UPDATE auth.users SET clerk_id = 'late' WHERE id IN (SELECT user_id FROM"
        " credits.credit_balances)",
        "SELECT 'credit_balance_id', id::text FROM credits.credit_balances",
    ),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_law_that_the_owner_breaks_is_named_with_its_row(
    world: World, lived: UUID, law: str
) -> None:
    assert_lawful(world)
    statement, offender = LAWS[law]
    as_owner(world.clone, statement)
    (place,) = ask(world.clone, offender)
    found = broken(world.clone, world)
    assert law in found
    assert [place] == [(place[0], row[place[0]]) for row in found[law]]


def test_every_law_is_broken_by_one_of_these(world: World) -> None:
    (manifest,) = [each for each in world.project.registry.ordered if each.name == "credits"]
    assert {check.id for check in manifest.checks} == set(LAWS)


@pytest.mark.parametrize(
    "costs", ['{"AI_TEXT_CHAT": -1}', '{"AI_TEXT_CHAT": "no"}', '{"NO_SUCH": 1}', "[]"]
)
def test_a_cost_written_by_raw_sql_mints_nothing_and_is_named(
    world: World, lived: UUID, costs: str
) -> None:
    """The settings are the app's own to write; what is wrong in them is refused when it is used."""
    with psycopg.connect(world.clone.url) as app:
        app.execute("UPDATE credits.admin_settings SET feature_costs = %s", [costs])
    before = counted(world.clone)
    call = (
        "SELECT outcome FROM credits.deduct(gen_random_uuid(), %s, 'AI_TEXT_CHAT', 'n', NULL,"
        " NULL, NULL, NULL)"
    )
    with psycopg.connect(world.clone.url) as app:
        try:
            answer = app.execute(call, [lived]).fetchone()
        except (psycopg.errors.CheckViolation, psycopg.errors.InvalidTextRepresentation):
            answer = ("NO_COST",)
        assert answer == ("NO_COST",)
    assert counted(world.clone) == before
    outcomes = checks.run(world.project.registry, world.clone.url)
    failed = [each.id for each in outcomes if each.id.startswith("credits.") and not each.ok]
    assert failed == ["credits.E008"]
