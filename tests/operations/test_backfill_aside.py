"""A backfill locks rows only while it changes them, and finds them without reading the table."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bedplate.operations.migrate import backfill
from tests.operations.goods import CENTS, Goods, goods

__all__ = ["goods"]

RESTORE_BATCH = "_restore_batch"
# No lock is waited for at the gate, so no lock timeout ends it.
GATE = """
CREATE TABLE shop.gates (closed boolean);
INSERT INTO shop.gates VALUES (true);
CREATE FUNCTION shop.gate(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    WHILE id = 20 AND (SELECT closed FROM shop.gates) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN true;
END $$
"""
AT_THE_GATE = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE wait_event = 'PgSleep' AND datname = current_database())
"""


def test_no_row_is_locked_while_the_next_batch_is_looked_for(goods: Goods) -> None:
    goods.make(replace(CENTS, where="cents IS NULL AND shop.gate(id)", batch=100))
    goods.owner.execute(GATE)
    with psycopg.connect(goods.database.admin_url, autocommit=True) as admin:
        # As in a large table, which is read along its key.
        owner, name = goods.database.roles[0], goods.database.name
        admin.execute(f'ALTER ROLE "{owner}" IN DATABASE "{name}" SET enable_sort = off'.encode())
    with psycopg.connect(goods.database.app_url) as app, ThreadPoolExecutor(1) as other:
        applying = other.submit(goods.apply)
        try:
            while goods.found(AT_THE_GATE) == [(False,)] and not applying.done():
                time.sleep(0.01)
            app.execute("SET lock_timeout = '5s'")
            app.execute("UPDATE shop.goods SET note = 'the app was here' WHERE id = -5")
            app.commit()
        finally:
            goods.owner.execute("UPDATE shop.gates SET closed = false")
        assert applying.result(timeout=60)[0].rows_touched == 44


def test_a_way_back_finds_rows_by_their_keys_and_never_reads_the_whole_table(
    goods: Goods, monkeypatch: pytest.MonkeyPatch
) -> None:
    goods.make()
    goods.apply()
    plans: list[str] = []
    original = getattr(backfill.BackfillRunner, RESTORE_BATCH)

    def explained(self: backfill.BackfillRunner, *given: Any) -> None:
        table, _, span = given
        for statement in (backfill.statements.restore(table), backfill.statements.present(table)):
            found = self.connection.execute(b"EXPLAIN " + statement, span).fetchall()
            plans.append("\n".join(line for (line,) in found))
        original(self, *given)

    goods.owner.execute("ANALYZE shop.goods, bedplate.before_images")
    monkeypatch.setattr(backfill.BackfillRunner, RESTORE_BATCH, explained)
    goods.undo()
    assert plans
    assert not [plan for plan in plans if "Seq Scan" in plan or "Hash Join" in plan]
