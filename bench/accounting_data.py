"""Customers with miners, prices and templates, plain copies for the peers, and the recount."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel import registry
from bedplate.operations import migrate
from bench.copies import copy

MODULES = ("auth", "mining", "accounting")
LEDGER = "accounting"
PEERS = "bench_billing"
"""Where a session bills: the tables of a run, and the counter, without triggers."""
UNTRIGGERED = "bench_untriggered"
"""The same again for the shipped statements, to see what the triggers cost."""
MONTHS_BACK = 40
"""How many months there are to bill: each run takes one."""

_COPIED = ("recurring_invoices", "invoices", "invoice_documents", "audit_logs")
_CUSTOMERS = """
    INSERT INTO auth.users (id, email)
    SELECT bedplate.uuid7(), 'billed' || n || '@example.com'
    FROM generate_series(1, %(customers)s) AS n
"""
_MINERS = """
    INSERT INTO mining.miners (id, user_id)
    SELECT bedplate.uuid7(), u.id FROM auth.users u
    CROSS JOIN LATERAL generate_series(1, 1 + length(u.email) %% 3) AS n
    WHERE u.email LIKE 'billed%%'
"""
_FIRST_MONTH = """
    SELECT (date_trunc('month', accounting.billing_day(bedplate.clock())::timestamp)
            - %s * interval '1 month')::date
"""
_PRICES = """
    INSERT INTO accounting.customer_pricing_config
        (id, user_id, default_unit_price, effective_from, created_by)
    SELECT bedplate.uuid7(), id, 20 + length(email) + 0.99, %(first)s, id
    FROM auth.users WHERE email LIKE 'billed%%'
"""
_TEMPLATES = """
    INSERT INTO accounting.recurring_invoices (id, user_id, day_of_month, start_date, created_by)
    SELECT bedplate.uuid7(), id, 1 + (row_number() OVER (ORDER BY id) %% 28)::int, %(first)s, id
    FROM auth.users WHERE email LIKE 'billed%%'
"""
_SHIPPED = """
    SELECT pg_get_functiondef(p.oid) FROM pg_proc p
    WHERE p.pronamespace = 'accounting'::regnamespace AND p.proname = %s
"""
_RUN = ("billing_dates", "foreseen", "run_recurring")
_THEIRS = re.compile(rf"\baccounting\.({'|'.join((*_RUN, 'recurring_invoices', 'invoices'))})\b")
_FILLED = (
    "auth.users",
    "mining.miners",
    "accounting.customer_pricing_config",
    "accounting.recurring_invoices",
    "bench_billing.recurring_invoices",
    "bench_untriggered.recurring_invoices",
)
# Counted again from what is billed: whoever has another amount, a month twice or a number that is
# not the next one is found.
_WRONG = """
    SELECT (SELECT count(*) FROM {0}.invoices i
            WHERE (i.total_miners, i.unit_price) IS DISTINCT FROM (
                (SELECT count(*) FROM mining.miners m WHERE m.user_id = i.user_id),
                (SELECT p.default_unit_price FROM accounting.customer_pricing_config p
                 WHERE p.user_id = i.user_id))
               OR i.total_amount <> i.total_miners * i.unit_price OR i.status <> 'ISSUED')
         + (SELECT count(*) FROM (
                SELECT FROM {0}.invoices i
                GROUP BY i.recurring_invoice_id, date_trunc('month', i.billing_date::timestamp)
                HAVING count(*) > 1) AS twice)
         + (SELECT count(*) FROM (
                SELECT substr(i.invoice_number, 9)::bigint AS serial, row_number() OVER (
                    PARTITION BY left(i.invoice_number, 8)
                    ORDER BY substr(i.invoice_number, 9)::bigint) AS place
                FROM {0}.invoices i) AS numbered
            WHERE numbered.serial <> numbered.place)
"""


@dataclass(frozen=True, slots=True)
class Books:
    """What there is to bill: so many templates, every month from the first on."""

    templates: int
    first_month: date


def load(owner_url: str, app_url: str, templates: int) -> Books:
    """Apply the modules, make a customer with miners and a price for each template, and copies."""
    modules = registry.load(MODULES)
    migrate.apply_unproven(modules, owner_url=owner_url, app_url=app_url)
    role = str(conninfo_to_dict(app_url)["user"])
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        first: date = connection.execute(_FIRST_MONTH, [MONTHS_BACK]).fetchall()[0][0]
        connection.execute(_CUSTOMERS, {"customers": templates})
        connection.execute(_MINERS, {})
        for statement in (_PRICES, _TEMPLATES):
            connection.execute(statement, {"first": first})
        for schema in (PEERS, UNTRIGGERED):
            copy(connection, LEDGER, schema, _COPIED, role)
            copy(connection, "bedplate", schema, ("number_series",), role)
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(schema, "audit_logs")))
        _ship_without_triggers(connection)
        connection.execute(
            sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {} TO {}").format(
                sql.Identifier(UNTRIGGERED), sql.Identifier(role)
            )
        )
        # Otherwise the first of the rounds would share the machine with autovacuum.
        for table in _FILLED:
            connection.execute(f"VACUUM (ANALYZE) {table}".encode())
    return Books(templates, first)


def _ship_without_triggers(connection: psycopg.Connection) -> None:
    """Let the shipped functions, as they are, work on the tables without triggers."""
    for name in _RUN:
        shipped: str = connection.execute(_SHIPPED, [name]).fetchall()[0][0]
        connection.execute(_THEIRS.sub(rf"{UNTRIGGERED}.\1", shipped).encode())


def recount(owner_url: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return, by schema, what is wrong with invoices and numbers, and how many invoices there are.

    Wrong is a total that is not miners times price, a month billed twice, a number after a gap.
    """
    wrong, found = dict[str, int](), dict[str, int]()
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET statement_timeout = 0")
        for schema in (LEDGER, PEERS, UNTRIGGERED):
            place = sql.Identifier(schema)
            wrong[schema] = connection.execute(sql.SQL(_WRONG).format(place)).fetchall()[0][0]
            found[schema] = connection.execute(
                sql.SQL("SELECT count(*) FROM {}.invoices").format(place)
            ).fetchall()[0][0]
    return wrong, found
