from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from bedplate.kernel.backfills import Backfill, Restored
from bedplate.kernel.errors import BackfillFailed, DefinitionDiffers, MigrationFailed, UsageError
from bedplate.operations.migrate import backfill, patience
from tests.operations.goods import KEYS, Goods, goods

__all__ = ["goods"]

FILL_BATCH = "_fill_batch"


def given(**changed: Any) -> dict[str, Any]:
    return {"table": "shop.goods", "set": {"cents": "1"}, **changed}


@pytest.mark.parametrize("key", KEYS)
def test_rows_are_filled_and_restored_along_any_key(goods: Goods, key: str) -> None:
    goods.make(key=key)
    before = goods.rows
    (receipt,) = goods.apply()
    assert (receipt.revision, receipt.rows_touched) == ("0004_cents", 44)
    assert goods.found("SELECT count(*) FROM shop.goods WHERE cents = price * 100") == [(44,)]
    assert goods.found("SELECT count(*) FROM shop.goods WHERE cents = -1") == [(1,)]
    assert goods.books == [("filled", 44, 0, 0, 44)]
    goods.undo()
    assert goods.rows == before
    assert goods.books == [("restored", 44, 44, 0, 0)]
    goods.apply()
    assert goods.found("SELECT count(*) FROM shop.goods WHERE cents = price * 100") == [(44,)]


def test_every_type_comes_back_exactly(goods: Goods) -> None:
    goods.make(Backfill(table="shop.goods", set=dict.fromkeys("abcdefgh", "NULL"), batch=7))
    goods.owner.execute(
        "CREATE TYPE shop.mood AS ENUM ('it''s, {ok}');"
        "ALTER TABLE shop.goods ADD a double precision, ADD b timestamptz[], ADD c interval,"
        " ADD d bytea, ADD e jsonb, ADD f shop.mood, ADD g numeric, ADD h text;"
        "UPDATE shop.goods SET a = 1 / 3.0 * id,"
        " b = ARRAY[NULL, '2024-03-31 02:30+01'::timestamptz],"
        " c = '1 mon -2 days 03:04:05.000006', d = '\\x00ff5c27', e = '{\"a\": [1.10, null]}',"
        " f = 'it''s, {ok}', g = CASE WHEN id % 2 = 0 THEN 'NaN' ELSE 1.500 END,"
        " h = CASE id % 3 WHEN 0 THEN 'NULL' WHEN 1 THEN '' END"
    )
    before = goods.rows
    assert goods.apply()[0].rows_touched == 45
    assert goods.rows != before
    goods.undo()
    assert goods.rows == before


def test_the_way_back_leaves_and_names_what_was_changed_since(
    goods: Goods, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    goods.make()
    goods.apply()
    goods.owner.execute("UPDATE shop.goods SET cents = 0 WHERE id = 3")
    goods.owner.execute("UPDATE shop.goods SET cents = NULL WHERE id = -5")
    goods.owner.execute("UPDATE shop.goods SET note = 'the app was here' WHERE id = 4")
    goods.owner.execute("DELETE FROM shop.goods WHERE id = 5")
    outcomes: list[Restored] = []
    original = backfill.BackfillRunner.restore

    def restore(self: backfill.BackfillRunner, given: Backfill) -> Restored:
        outcomes.append(original(self, given))
        return outcomes[-1]

    monkeypatch.setattr(backfill.BackfillRunner, "restore", restore)
    with caplog.at_level("WARNING", "bedplate"):
        goods.undo()
    assert outcomes == [Restored(41, rows_kept=2, rows_gone=1, kept=(("-5",), ("3",)))]
    assert "2 rows were changed since and stay as they are: -5; 3" in caplog.text
    assert goods.found("SELECT id, cents FROM shop.goods WHERE cents IS NOT NULL ORDER BY 1") == [
        (-13, -1),
        (3, 0),
    ]
    assert goods.found("SELECT note FROM shop.goods WHERE id = 4") == [("the app was here",)]
    assert goods.found("SELECT key, before FROM bedplate.before_images ORDER BY 1") == [
        (["-5"], [None]),
        (["3"], [None]),
    ]


@pytest.mark.parametrize(("way", "batches"), [("fill", 0), ("fill", 3), ("restore", 2)])
def test_a_run_that_was_cut_off_goes_on_where_it_stopped(
    goods: Goods, monkeypatch: pytest.MonkeyPatch, way: str, batches: int
) -> None:
    # An expression that would show if a row were changed twice, and no WHERE to hide it.
    goods.make(Backfill(table="shop.goods", set={"price": "price + 1000"}, batch=10))
    before = goods.rows
    if way == "restore":
        goods.apply()
    step = getattr(backfill.BackfillRunner, f"_{way}_batch")
    left = iter(range(batches))

    def cut_off(*given: object) -> object:
        done = step(*given)
        # The last batch's transaction is open: it is lost with the process.
        if next(left, None) is None:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(backfill.BackfillRunner, f"_{way}_batch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        goods.apply() if way == "fill" else goods.undo()
    monkeypatch.undo()
    if way == "fill":
        assert goods.books == [("filling", 10 * batches, 0, 0, 10 * batches)]
        assert goods.apply()[0].rows_touched == 45
        assert goods.found("SELECT min(price)::text, max(price)::text FROM shop.goods") == [
            ("1001.11", "1049.95")
        ]
    else:
        assert goods.books == [("restoring", 45, 10 * batches, 0, 45 - 10 * batches)]
    goods.undo()
    assert goods.rows == before


def test_what_the_app_changes_meanwhile_is_not_lost(goods: Goods) -> None:
    goods.make()
    with psycopg.connect(goods.database.app_url) as app:
        app.execute("UPDATE shop.goods SET cents = 5 WHERE id = 0")
        app.execute("UPDATE shop.goods SET price = 50, note = 'new' WHERE id = 1")
        app.execute("DELETE FROM shop.goods WHERE id = 2")
        timer = threading.Timer(0.7, app.commit)
        timer.start()
        goods.apply()
        timer.join()
    assert goods.found("SELECT cents, note FROM shop.goods WHERE id IN (0, 1) ORDER BY id") == [
        (5, "n20"),
        (5000, "new"),
    ]
    assert goods.books == [("filled", 42, 0, 0, 42)]
    goods.undo()
    assert goods.found("SELECT cents FROM shop.goods WHERE id IN (0, 1) ORDER BY id") == [
        (5,),
        (None,),
    ]


def test_rows_that_come_behind_the_walk_are_filled_on_the_next(
    goods: Goods, monkeypatch: pytest.MonkeyPatch
) -> None:
    goods.make()
    step = getattr(backfill.BackfillRunner, FILL_BATCH)
    walked: list[bool] = []

    def meanwhile(self: backfill.BackfillRunner, *given: object) -> bool:
        walked.append(step(self, *given))
        if len(walked) == 3:
            goods.owner.execute("INSERT INTO shop.goods VALUES (-100, 1), (-99, 2)")
            # A row that was filled and then emptied by the app is the app's.
            goods.owner.execute("UPDATE shop.goods SET cents = NULL WHERE id = -18")
        return walked[-1]

    monkeypatch.setattr(backfill.BackfillRunner, FILL_BATCH, meanwhile)
    goods.apply()
    assert goods.found("SELECT id, cents FROM shop.goods WHERE id < -18 ORDER BY id") == [
        (-100, 100),
        (-99, 200),
        (-19, 111),
    ]
    assert goods.found("SELECT cents FROM shop.goods WHERE id = -18") == [(None,)]


def test_a_row_that_stays_locked_ends_it_in_bounded_time_and_keeps_what_was_done(
    goods: Goods, monkeypatch: pytest.MonkeyPatch
) -> None:
    goods.make()
    monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (50, 50))
    with psycopg.connect(goods.database.app_url) as app:
        app.execute("SELECT FROM shop.goods WHERE id = 20 FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(MigrationFailed, match=r"55P03 .* backfill shop.goods \(cents\)"):
            goods.apply()
        assert time.monotonic() - began < 10
    assert goods.books == [("filling", 30, 0, 0, 30)]
    goods.apply()
    assert goods.books == [("filled", 44, 0, 0, 44)]


def test_batches_are_small_transactions_with_pauses(goods: Goods) -> None:
    goods.make(Backfill(table="shop.goods", set={"cents": "0"}, batch=9, pause_ms=40))
    began = time.monotonic()
    goods.apply()
    assert time.monotonic() - began > 5 * 0.04
    assert goods.found("SELECT count(DISTINCT xmin::text) FROM shop.goods") == [(5,)]


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"table": "shop.wares"}, "does not say that it touches shop.wares"),
    ({"set": {"colour": "1"}}, "cannot set colour"),
    ({"set": {"id": "1"}}, "cannot set id"),
    ({"set": {"twice": "1"}}, "cannot set twice"),
    ({"key": ["price"]}, "no key to walk along"),
    ({"key": ["note"]}, "no key to walk along"),
    ({"set": {"cents": "price * 1e20"}}, "22003 (NumericValueOutOfRange), at: backfill"),
    ({"set": {"cents": "1; DROP TABLE shop.goods"}}, "42601"),
)


def test_what_cannot_be_filled_is_refused_and_nothing_is_changed(goods: Goods) -> None:
    goods.make()
    goods.owner.execute(
        "ALTER TABLE shop.goods ADD twice int GENERATED ALWAYS AS (id * 2) STORED;"
        "CREATE UNIQUE INDEX ON shop.goods (note)"
    )
    before = goods.rows
    for change, message in IMPOSSIBLE:
        goods.write(Backfill(**given(**change)))
        with pytest.raises(MigrationFailed) as failure:
            goods.apply()
        assert message in str(failure.value)
        assert goods.rows == before
        if goods.found("SELECT to_regclass('bedplate.backfills') IS NOT NULL") == [(True,)]:
            goods.owner.execute("DELETE FROM bedplate.backfills")


def test_another_unique_key_may_be_named(goods: Goods) -> None:
    goods.make(Backfill(table="shop.goods", set={"cents": "1"}, key=["note"], batch=10))
    goods.owner.execute(
        "CREATE UNIQUE INDEX ON shop.goods (note); ALTER TABLE shop.goods ALTER note SET NOT NULL"
    )
    assert goods.apply()[0].rows_touched == 45


def test_an_edited_backfill_does_not_go_on_as_another(goods: Goods) -> None:
    goods.make(Backfill(table="shop.goods", set={"cents": "1 / (20 - id)"}, batch=10))
    with pytest.raises(MigrationFailed, match="22012"):
        goods.apply()
    goods.write(Backfill(table="shop.goods", set={"cents": "2"}, batch=10))
    with pytest.raises(DefinitionDiffers, match="began as another"):
        goods.apply()


def test_the_way_back_needs_its_before_images(goods: Goods) -> None:
    goods.make()
    goods.apply()
    goods.owner.execute("DELETE FROM bedplate.before_images WHERE key = '{3}'")
    before = goods.rows
    with pytest.raises(BackfillFailed, match=r"44 rows are to be restored, but .* 43"):
        goods.undo()
    assert goods.rows == before


def test_a_trigger_that_bends_old_values_is_noticed(goods: Goods) -> None:
    goods.make()
    goods.apply()
    goods.owner.execute(
        "CREATE FUNCTION shop.bend() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.cents = coalesce(NEW.cents, 0); RETURN NEW; END $$;"
        "CREATE TRIGGER bend BEFORE UPDATE ON shop.goods FOR EACH ROW EXECUTE FUNCTION shop.bend()"
    )
    before = goods.rows
    with pytest.raises(BackfillFailed, match="do not take the old values"):
        goods.undo()
    assert goods.rows == before


def test_the_app_and_the_reader_see_no_before_images(goods: Goods) -> None:
    goods.make()
    goods.apply()
    for url in (goods.database.app_url, goods.database.reader_url):
        with (
            psycopg.connect(url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("SELECT FROM bedplate.before_images")


def test_inside_of_a_transaction_a_backfill_says_what_to_write(goods: Goods) -> None:
    goods.make()
    path = goods.module.line / "0004_cents.py"
    path.write_text(path.read_text().replace("transactional = False", ""))
    with pytest.raises(UsageError, match="Write transactional = False"):
        goods.apply()


@pytest.mark.parametrize(
    "wrong",
    [
        {"table": "goods"},
        {"set": {}},
        {"set": {"id": "1"}, "key": ["id"]},
        {"batch": 0},
        {"batch": 10**6},
        {"pause_ms": -1},
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Backfill(**given(**wrong))
