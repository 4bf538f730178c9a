"""Whoever opens the database with another tool is told there what everything is."""

from __future__ import annotations

import psycopg

from bedplate.testing import Clone
from tests.asking import SILENT, ask


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
