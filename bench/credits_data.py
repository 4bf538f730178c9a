"""Accounts of credits for the bench, copies of the ledger for the peers, and the recount."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import registry
from bedplate.operations import migrate
from bench.copies import copy

ACCOUNTS = 10_000
OPENING = 1_000_000
SAMPLE_OPENING = 100
SAMPLES = 20
"""How many of the accounts are for comparing answers; the charges of `deduct` leave them alone."""

LEDGER = "credits"
PEERS = "bench"
APART = "bench_apart"
"""Where statements run that are not the whole job: the ledger's copy for them is not recounted."""

_TABLES = ("credit_balances", "credit_grants", "usage_history", "usage_allocations")
_COPIED = {PEERS: _TABLES, APART: (*_TABLES, "audit_logs")}
_FILLED = (
    "auth.users",
    *(
        f"{schema}.{table}"
        for schema in (LEDGER, PEERS, APART)
        for table in ("credit_balances", "credit_grants")
    ),
)
_USERS = """
    INSERT INTO auth.users (id, email)
    SELECT bedplate.uuid7(), 'charged' || n || '@example.com'
    FROM generate_series(1, %(accounts)s) AS n
"""
# The trigger of the table makes the grant that the opening credits belong to.
_BALANCES = """
    INSERT INTO credits.credit_balances (id, user_id, credits_remaining)
    SELECT bedplate.uuid7(), id,
           CASE WHEN row_number() OVER (ORDER BY id) <= %(samples)s THEN %(sample)s::int
                ELSE %(opening)s::int END
    FROM auth.users
"""
_PICKED = """
    SELECT user_id::text, credits_remaining FROM credits.credit_balances ORDER BY md5(id::text)
"""
_VIOLATIONS = """
    SELECT count(*) FROM {0}.credit_balances b
    LEFT JOIN LATERAL (
        SELECT sum(amount) AS granted, sum(remaining) AS remaining
        FROM {0}.credit_grants WHERE credit_balance_id = b.id) AS g ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(credits_used), 0) AS used
        FROM {0}.usage_history WHERE credit_balance_id = b.id) AS h ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(p.amount), 0) AS paid FROM (
            SELECT credits_used AS amount FROM {0}.usage_history
            WHERE credit_balance_id = b.id AND grant_id IS NOT NULL
            UNION ALL
            SELECT a.amount
            FROM {0}.usage_allocations a JOIN {0}.credit_grants c ON c.id = a.grant_id
            WHERE c.credit_balance_id = b.id) AS p) AS a ON true
    WHERE (b.credits_remaining, g.remaining, a.paid)
        IS DISTINCT FROM (g.granted - h.used, g.granted - h.used, h.used)
"""
_CHARGES = """
    SELECT split_part(key, ':', 1), count(*) FROM (
        SELECT key FROM credits.usage_history UNION ALL SELECT key FROM bench.usage_history
    ) AS charges GROUP BY 1
"""
_NAIVE = """
    SELECT coalesce(sum(h.credits_used), 0)::int, {opening} - b.credits_remaining
    FROM bench_apart.credit_balances b
    LEFT JOIN bench_apart.usage_history h ON h.credit_balance_id = b.id
    WHERE b.user_id = %s GROUP BY b.id
"""


@dataclass(frozen=True, slots=True)
class Holders:
    """Users by what is done to their accounts, as text."""

    spread: list[str]
    samples: list[str]
    hot: str
    lone: str
    """The account of the bare UPDATEs."""
    naive: str


@dataclass(frozen=True, slots=True)
class Lost:
    """What the naive code charged, and what it took from the balance, in credits."""

    charged: int
    deducted: int


def load(owner_url: str, app_url: str, accounts: int = ACCOUNTS) -> Holders:
    """Apply the modules, open the accounts, copy the ledger twice, and say who is who."""
    modules = registry.load(("auth", "credits"))
    migrate.apply_unproven(modules, owner_url=owner_url, app_url=app_url)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        given = {"accounts": accounts, "samples": SAMPLES}
        given |= {"sample": SAMPLE_OPENING, "opening": OPENING}
        connection.execute(_USERS, given)
        connection.execute(_BALANCES, given)
        role = str(conninfo_to_dict(app_url)["user"])
        for schema, tables in _COPIED.items():
            copy(connection, LEDGER, schema, tables, role)
        # Otherwise the first of the rounds would share the machine with autovacuum. Tables that are
        # still empty are left alone: plans made from statistics that say so would outlive it.
        for table in _FILLED:
            connection.execute(f"VACUUM (ANALYZE) {table}".encode())
        picked = connection.execute(_PICKED).fetchall()
    rich = [user for user, credits in picked if credits == OPENING]
    samples = [user for user, credits in picked if credits == SAMPLE_OPENING]
    hot, lone, naive, *spread = rich
    return Holders(spread, samples, hot, lone, naive)


def recount(owner_url: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return the accounts whose figures do not add up, by schema, and the charges by contestant."""
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET statement_timeout = 0")
        wrong = {
            schema: connection.execute(
                sql.SQL(_VIOLATIONS).format(sql.Identifier(schema))
            ).fetchall()[0][0]
            for schema in (LEDGER, PEERS)
        }
        charges = dict(connection.execute(_CHARGES).fetchall())
    return wrong, charges


def lost(owner_url: str, user: str) -> Lost:
    """Return what the naive code charged its account and what it deducted."""
    with psycopg.connect(owner_url) as connection:
        statement = sql.SQL(_NAIVE).format(opening=sql.Literal(OPENING))
        return Lost(*connection.execute(statement, [user]).fetchall()[0])
