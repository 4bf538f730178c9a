"""A verb reads a handful of rows, however long the history, also with plans of empty tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.asking import as_owner, ask
from tests.modules.credits.accounts import new_account
from tests.world import World

FILL = 3_000
READ_MAX = 60
"""Of any one table; a verb that reads a table whole reads FILL and more."""

CALLS = {
    "grant": "SELECT grant_id FROM credits.grant_credits(gen_random_uuid(), %(user)s, 10, %(key)s,"
    ' \'{"source": "s", "priority": 0}\', NULL, NULL)',
    "deduct": "SELECT usage_id FROM credits.deduct(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT',"
    " %(key)s, 7, NULL, 1, NULL)",
    "deduct together": "SELECT max(usage_id::text) FROM credits.deduct_many("
    "ARRAY[gen_random_uuid(), gen_random_uuid()], ARRAY[%(user)s::uuid, %(user)s],"
    " '{AI_TEXT_CHAT,AI_TEXT_CHAT}', ARRAY[%(key)s || 'a', %(key)s || 'b'], '{7,7}', NULL, '{}',"
    " NULL, '[null, null]')",
    "refund": "SELECT usage_id FROM credits.refund(gen_random_uuid(), %(deduct)s, %(key)s, 2, NULL,"
    " NULL)",
    "refund again": "SELECT usage_id FROM credits.refund(gen_random_uuid(), %(deduct)s, %(key)s,"
    " NULL, NULL, NULL)",
    "reserve": "SELECT hold_id FROM credits.reserve(gen_random_uuid(), %(user)s, 'AI_TEXT_CHAT',"
    " %(key)s, 7, NULL, 1, '1h', NULL)",
    "capture": "SELECT usage_id FROM credits.capture(gen_random_uuid(), %(reserve)s, 5, NULL)",
    "reserve again": "SELECT hold_id FROM credits.reserve(gen_random_uuid(), %(user)s,"
    " 'AI_TEXT_CHAT', %(key)s, 7, NULL, 1, '1h', NULL)",
    "release": "SELECT outcome FROM credits.release(%(reserve again)s, NULL)",
}
MANY = """
SELECT count(*) FROM (
    SELECT array_agg(gen_random_uuid()) AS ids, array_agg(%s::uuid) AS users,
           array_agg('AI_TEXT_CHAT'::credits.operation_type) AS operations,
           array_agg('many ' || n) AS keys, array_agg(1) AS amounts
    FROM generate_series(1, %s) AS n
) AS c, credits.deduct_many(c.ids, c.users, c.operations, c.keys, c.amounts, NULL, '{}', NULL, NULL)
"""
HOLDS = """
SELECT count(*) FROM generate_series(1, %s) AS n, credits.reserve(
    gen_random_uuid(), %s, 'AI_TEXT_CHAT', 'hold ' || n, 1, NULL, 1, '1h', NULL)
"""
READ = """
SELECT relname::text, (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int
FROM pg_stat_xact_user_tables WHERE schemaname = 'credits'
"""


# A plan that is dear because it may not scan would be compiled, for each charge, under its lock.
COMPILED = """
SELECT oid::regprocedure::text FROM pg_proc
WHERE 'enable_seqscan=off' = ANY (proconfig) AND NOT 'jit=off' = ANY (proconfig)
"""


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the plans are the server's."""
    return world


def called(app: psycopg.Connection[Any], user: UUID, keys: str) -> dict[str, dict[str, int]]:
    """Call each verb once, in a transaction of its own; return the rows it read, by table."""
    known: dict[str, Any] = {"user": user}
    read = {}
    for verb, statement in CALLS.items():
        with app.transaction():
            before = dict(app.execute(READ).fetchall())
            found = app.execute(
                statement.encode(), known | {"key": f"{keys} {verb}"}, prepare=True
            ).fetchall()
            after = dict(app.execute(READ).fetchall())
        ((known[verb],),) = found
        assert known[verb] is not None, verb
        read[verb] = {table: rows - before.get(table, 0) for table, rows in after.items()}
    return read


# Statistics are taken when the server finds the time, which a test cannot wait for.
ALONE = """
SELECT format('ALTER TABLE %s SET (autovacuum_enabled = false)', oid::regclass) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'credits'::regnamespace
"""


@pytest.mark.parametrize("analyzed", ["never", "while empty", "while small"])
def test_a_verb_reads_by_keys_whatever_the_tables_were_when_it_was_planned(
    world: World, analyzed: str
) -> None:
    user = world.run(new_account(world.db, 100_000))
    for (statement,) in ask(world.clone, ALONE):
        as_owner(world.clone, statement)
    with psycopg.connect(world.clone.url, autocommit=True) as app:
        if analyzed == "while empty":
            as_owner(world.clone, "ANALYZE")
        for time in range(7):
            called(app, user, f"empty {time}")
        if analyzed == "while small":
            as_owner(world.clone, "ANALYZE")
        for time in range(7):
            called(app, user, f"small {time}")
        app.execute(MANY, [user, FILL])
        app.execute(HOLDS, [FILL // 10, user])
        read = called(app, user, "full")
    much = {
        (verb, table): rows
        for verb, tables in read.items()
        for table, rows in tables.items()
        if rows > READ_MAX
    }
    assert much == {}
    assert any(rows for tables in read.values() for rows in tables.values())


def test_what_forbids_scans_forbids_compiling(world: World) -> None:
    forbidding = COMPILED.partition(" AND NOT")[0]
    assert len(ask(world.clone, forbidding)) >= 9
    assert ask(world.clone, COMPILED) == []
