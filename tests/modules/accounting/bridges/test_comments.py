"""Whoever opens the database with another tool is told there what everything is."""

from __future__ import annotations

import psycopg

from bedplate.testing import Clone
from tests.asking import ask

SILENT = """
WITH ours AS (
    SELECT n.oid, n.nspname FROM pg_namespace n WHERE n.nspname IN ('accounting', 'delivery')
)
SELECT o.nspname || '.' || p.proname FROM ours o JOIN pg_proc p ON p.pronamespace = o.oid
WHERE obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT t.oid::regtype::text FROM ours o JOIN pg_type t ON t.typnamespace = o.oid
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE (t.typtype IN ('e', 'd') OR c.relkind = 'c') AND obj_description(t.oid, 'pg_type') IS NULL
UNION ALL
SELECT c.oid::regclass::text FROM ours o JOIN pg_class c ON c.relnamespace = o.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND obj_description(c.oid, 'pg_class') IS NULL
UNION ALL
SELECT c.oid::regclass || '.' || a.attname FROM ours o
JOIN pg_class c ON c.relnamespace = o.oid AND c.relkind IN ('r', 'p', 'v', 'm')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE col_description(c.oid, a.attnum) IS NULL
"""


def test_everything_has_a_comment(bedplate_clone: Clone) -> None:
    assert ask(bedplate_clone, SILENT) == []
    for statement, named in (
        ("COMMENT ON FUNCTION delivery.keep_mail() IS NULL", "delivery.keep_mail"),
        ("COMMENT ON TYPE accounting.billed IS NULL", "accounting.billed"),
        ("COMMENT ON TABLE accounting.invoices IS NULL", "accounting.invoices"),
        ("COMMENT ON COLUMN accounting.invoices.status IS NULL", "accounting.invoices.status"),
    ):
        with psycopg.connect(bedplate_clone.owner_url) as owner:
            owner.execute(statement.encode())
            assert owner.execute(SILENT.encode()).fetchall() == [(named,)]
            owner.rollback()
