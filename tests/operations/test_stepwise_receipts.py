"""The receipts of revisions that commit one by one, undisturbed and taken up again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.kernel.errors import MigrationFailed, UndeclaredTouch
from bedplate.operations import migrate
from tests.databases import TestDatabase
from tests.operations.test_stepwise import CIC, DIC, Steps


@pytest.fixture
def steps(shop_database: TestDatabase, tmp_path: Path) -> Iterator[Steps]:
    made = Steps(shop_database, tmp_path)
    yield made
    made.owner.close()


def test_the_receipt_says_what_was_added_and_the_way_back_may_take_just_that(
    steps: Steps,
) -> None:
    steps.owner.execute("CREATE INDEX ix_items_old ON shop.items (price)")
    check = "ALTER TABLE shop.items ADD CONSTRAINT ck_items_cheap CHECK (price < 1000) NOT VALID"
    validate = "ALTER TABLE shop.items VALIDATE CONSTRAINT ck_items_cheap"
    steps.write(CIC, check, validate, down=(DIC, "DROP INDEX CONCURRENTLY shop.ix_items_old"))
    receipts: list[migrate.Receipt] = []
    steps.apply(on_receipt=receipts.append)
    assert (receipts[-1].shape_changes, receipts[-1].rows_touched) == ((), 0)
    assert [lock.mode for lock in receipts[-1].locks] == [
        "ShareUpdateExclusiveLock",
        "AccessExclusiveLock",
        "ShareUpdateExclusiveLock",
    ]
    (document,) = steps.found(
        "SELECT document -> 'added' FROM bedplate.receipts ORDER BY number DESC LIMIT 1"
    )
    assert document == (
        [
            ["index", "shop.ix_items_price"],
            ["constraint", "shop.items.ck_items_cheap"],
            ["validity", "shop.items.ck_items_cheap"],
        ],
    )
    with pytest.raises(UndeclaredTouch, match=r"shape: index shop.ix_items_old. Nothing of it"):
        steps.undo()
    assert set(steps.indexes()) & {"shop.ix_items_price", "shop.ix_items_old"} == {
        "shop.ix_items_old"
    }


def test_the_receipt_of_a_run_taken_up_again_says_what_an_undisturbed_one_says(
    steps: Steps,
) -> None:
    unique = "CREATE UNIQUE INDEX CONCURRENTLY ix_items_once ON shop.items (price)"
    steps.write(
        "DROP INDEX CONCURRENTLY shop.ix_items_shelf_id",
        "ALTER TYPE shop.size ADD VALUE 'HUGE'",
        CIC,
        unique,
        shape=("shop.items", "shop.size"),
    )
    steps.owner.execute(
        "INSERT INTO shop.items SELECT gen_random_uuid(), NULL, 7 FROM (VALUES (1), (2)) v"
    )
    with pytest.raises(MigrationFailed, match="23505"):
        steps.apply()
    steps.owner.execute("DELETE FROM shop.items")
    receipts: list[migrate.Receipt] = []
    steps.apply(on_receipt=receipts.append)
    (receipt,) = receipts
    assert receipt.shape_changes == ("shop.ix_items_shelf_id", "shop.size")
    assert [(lock.statement[:11], lock.table, lock.mode) for lock in receipt.locks] == [
        ("DROP INDEX ", "shop.items", "ShareUpdateExclusiveLock"),
        ("CREATE INDE", "shop.items", "ShareUpdateExclusiveLock"),
        ("CREATE UNIQ", "shop.items", "ShareUpdateExclusiveLock"),
    ]
    assert all(lock.held_ms > 0 for lock in receipt.locks)
    assert steps.found("SELECT count(*) FROM bedplate.steps") == [(0,)]


def test_the_receipt_names_every_lock_by_the_tables_full_name(steps: Steps) -> None:
    steps.owner.execute("CREATE TABLE shop.days (day int) PARTITION BY RANGE (day)")
    steps.owner.execute("CREATE TABLE shop.day_1 PARTITION OF shop.days FOR VALUES FROM (1) TO (2)")
    steps.owner.execute("ALTER TABLE shop.items DROP CONSTRAINT fk_items_shelf_id_shelves")
    role = (
        "DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I"
        " SET search_path = shop', current_database()); END $$"
    )
    steps.owner.execute(role.encode())
    steps.write(
        "CREATE INDEX CONCURRENTLY ix_items_price ON items (price)",
        "REINDEX INDEX CONCURRENTLY ix_items_price",
        "REINDEX TABLE CONCURRENTLY items",
        "DROP INDEX CONCURRENTLY ix_items_price",
        "ALTER TABLE items ADD CONSTRAINT ck_items_cheap CHECK (price < 1000) NOT VALID",
        "ALTER TABLE items ADD CONSTRAINT fk FOREIGN KEY (shelf_id) REFERENCES shelves NOT VALID",
        "ALTER TABLE items VALIDATE CONSTRAINT fk",
        "ALTER TABLE days DETACH PARTITION day_1 CONCURRENTLY",
        shape=("shop.days", "shop.items"),
    )
    receipts: list[migrate.Receipt] = []
    steps.apply(on_receipt=receipts.append)
    assert [(lock.table, lock.mode) for lock in receipts[-1].locks] == [
        *[("shop.items", "ShareUpdateExclusiveLock")] * 4,
        ("shop.items", "AccessExclusiveLock"),
        ("shop.items", "ShareRowExclusiveLock"),
        ("shop.shelves", "ShareRowExclusiveLock"),
        ("shop.items", "ShareUpdateExclusiveLock"),
        ("shop.shelves", "RowShareLock"),
        ("shop.days", "ShareUpdateExclusiveLock"),
        ("shop.day_1", "AccessExclusiveLock"),
    ]
