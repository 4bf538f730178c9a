from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel.errors import (
    DefinitionDiffers,
    MigrationFailed,
    StepNotAllowed,
    UndeclaredTouch,
)
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import patience
from tests.databases import TestDatabase
from tests.operations.fake_module import FakeModule, shop

STEPS = """
from bedplate.kernel.footprint import Footprint

transactional = False
touches = Footprint(shape={shape})

def upgrade():
{up}

def downgrade():
{down}
"""


class Steps:
    """The shop, and one more revision whose statements commit one by one."""

    def __init__(self, database: TestDatabase, folder: Path) -> None:
        self.database = database
        self.module: FakeModule = shop(folder)
        self.registry = Registry([self.module.manifest()])
        self.apply()
        self.owner = psycopg.connect(database.owner_url, autocommit=True)
        self.owner.execute(
            "INSERT INTO shop.shelves VALUES (gen_random_uuid(), 'a'), (gen_random_uuid(), 'b')"
        )

    def write(self, *up: str, down: tuple[str, ...] = (), shape: tuple[str, ...] = ()) -> None:
        """Write the third revision; texts are statements, or Python where they begin with op."""
        (self.module.line / "0003_steps.py").unlink(missing_ok=True)
        self.module.before = "0002_items"
        bodies = {"up": self._body(up), "down": self._body(down)}
        self.module.add("0003_steps", STEPS.format(shape=shape, **bodies))

    def _body(self, texts: tuple[str, ...]) -> str:
        calls = [text if text.startswith("op.") else f"op.execute({text!r})" for text in texts]
        return "\n".join(f"    {call}" for call in (*calls, "pass"))

    def apply(self, **options: object) -> None:
        migrate.apply_unproven(
            self.registry,
            owner_url=self.database.owner_url,
            app_url=self.database.app_url,
            **options,  # type: ignore[arg-type]
        )

    def undo(self) -> None:
        migrate.undo(self.registry, "shop", to="0002_items", owner_url=self.database.owner_url)

    @property
    def version(self) -> object:
        (found,) = self.owner.execute("SELECT version_num FROM shop.schema_version").fetchall()
        return found[0]

    def indexes(self) -> dict[str, tuple[bool, str]]:
        return {
            name: (valid, definition)
            for name, valid, definition in self.owner.execute(
                "SELECT indexrelid::regclass::text, indisvalid, pg_get_indexdef(indexrelid)"
                " FROM pg_index JOIN pg_class c ON c.oid = indrelid"
                " WHERE c.relnamespace = 'shop'::regnamespace"
            ).fetchall()
        }

    def is_validated(self, constraint: str) -> bool:
        query = f"SELECT convalidated FROM pg_constraint WHERE conname = '{constraint}'"
        return self.found(query) == [(True,)]

    def once_dropping(self, then: Callable[[], object]) -> None:
        """Do something once an index is dropped, or it has not been for a long while."""
        dropping = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'active' AND query LIKE 'DROP INDEX CONCURRENTLY%'"
        )
        with psycopg.connect(self.database.owner_url, autocommit=True) as watching:
            deadline = time.monotonic() + 60
            while not watching.execute(dropping.encode()).fetchall():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
        then()

    def found(self, query: str) -> list[tuple[object, ...]]:
        return self.owner.execute(query.encode()).fetchall()


@pytest.fixture
def steps(shop_database: TestDatabase, tmp_path: Path) -> Iterator[Steps]:
    made = Steps(shop_database, tmp_path)
    yield made
    made.owner.close()


CIC = "CREATE INDEX CONCURRENTLY ix_items_price ON shop.items (price) WHERE price > 10"
DIC = "DROP INDEX CONCURRENTLY shop.ix_items_price"


def test_an_index_is_made_beside_the_traffic_and_taken_away_again(steps: Steps) -> None:
    steps.write(CIC, down=(DIC,))
    receipts: list[migrate.Receipt] = []
    steps.apply(on_receipt=receipts.append)
    assert steps.version == "0003_steps"
    assert steps.indexes()["shop.ix_items_price"][0]
    (lock,) = receipts[-1].locks
    assert (lock.table, lock.mode) == ("shop.items", "ShareUpdateExclusiveLock")
    steps.undo()
    assert steps.version == "0002_items"
    assert "shop.ix_items_price" not in steps.indexes()


def test_alembics_own_operations_work(steps: Steps) -> None:
    steps.write(
        'op.create_index("ix_items_price", "items", ["price"], unique=True, schema="shop",'
        ' postgresql_concurrently=True, postgresql_where=sa.text("price % 2 = 0"))',
        'op.create_check_constraint("ck_items_dear", "items", "price < 1000", schema="shop",'
        " postgresql_not_valid=True)",
        "ALTER TABLE shop.items VALIDATE CONSTRAINT ck_items_dear",
        down=('op.drop_index("ix_items_price", schema="shop", postgresql_concurrently=True)',),
    )
    steps.apply()
    assert "% (2)" in steps.indexes()["shop.ix_items_price"][1]
    assert steps.found(
        "SELECT convalidated FROM pg_constraint WHERE conname = 'ck_items_dear'"
    ) == [(True,)]
    steps.undo()


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_a_run_that_was_cut_off_is_taken_up_where_it_stopped(steps: Steps, kept: int) -> None:
    statements = (
        CIC,
        "ALTER TABLE shop.items ADD CONSTRAINT ck_items_cheap CHECK (price < 1000) NOT VALID",
        "ALTER TABLE shop.items VALIDATE CONSTRAINT ck_items_cheap",
        "ALTER TYPE shop.size ADD VALUE 'MEDIUM' BEFORE 'LARGE'",
    )
    for statement in statements[:kept]:
        steps.owner.execute(statement.encode())
    steps.write(*statements, shape=("shop.size",))
    steps.apply()
    assert steps.version == "0003_steps"
    assert all(valid for valid, _ in steps.indexes().values())
    assert steps.found("SELECT enum_range(NULL::shop.size)::text") == [("{SMALL,MEDIUM,LARGE}",)]
    assert steps.found(
        "SELECT convalidated FROM pg_constraint WHERE conname = 'ck_items_cheap'"
    ) == [(True,)]


def test_an_invalid_index_is_dropped_and_made_again(steps: Steps) -> None:
    steps.owner.execute("INSERT INTO shop.items VALUES (gen_random_uuid(), NULL, 7)")
    steps.owner.execute("INSERT INTO shop.items VALUES (gen_random_uuid(), NULL, 7)")
    unique = "CREATE UNIQUE INDEX CONCURRENTLY ix_items_price ON shop.items (price)"
    with pytest.raises(psycopg.errors.UniqueViolation):
        steps.owner.execute(unique.encode())
    assert not steps.indexes()["shop.ix_items_price"][0]
    steps.write(unique)
    with pytest.raises(MigrationFailed, match=r"0003_steps stopped with 23505 .*, at: CREATE U"):
        steps.apply()
    assert "shop.ix_items_price" not in steps.indexes()
    assert steps.version == "0002_items"
    steps.owner.execute("DELETE FROM shop.items")
    steps.apply()
    assert steps.indexes()["shop.ix_items_price"][0]


DIFFERENT = (
    (
        "CREATE INDEX ix ON shop.items (price)",
        "CREATE INDEX CONCURRENTLY ix ON shop.items (id)",
    ),
    (
        "CREATE INDEX ix ON shop.items (price)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix ON shop.items (price)",
    ),
    (
        "CREATE INDEX ix ON shop.items (price) WHERE price > 1",
        "CREATE INDEX CONCURRENTLY ix ON shop.items (price) WHERE price > 2",
    ),
    (
        "CREATE INDEX ix ON shop.shelves (label)",
        "CREATE INDEX CONCURRENTLY ix ON shop.items (price)",
    ),
    (
        "ALTER TABLE shop.items ADD CONSTRAINT ck CHECK (price < 5)",
        "ALTER TABLE shop.items ADD CONSTRAINT ck CHECK (price < 6) NOT VALID",
    ),
    (
        "ALTER TABLE shop.items ADD CONSTRAINT fk FOREIGN KEY (shelf_id)"
        " REFERENCES shop.shelves (id)",
        "ALTER TABLE shop.items ADD CONSTRAINT fk FOREIGN KEY (shelf_id)"
        " REFERENCES shop.shelves (id) ON DELETE CASCADE NOT VALID",
    ),
    (
        "ALTER TABLE shop.items ADD CONSTRAINT ck CHECK (price < 5)",
        "ALTER TABLE shop.items ADD CONSTRAINT ck UNIQUE USING INDEX ck",
    ),
    (
        "ALTER TYPE shop.size ADD VALUE 'HUGE'",
        "ALTER TYPE shop.size ADD VALUE IF NOT EXISTS 'HUGE' BEFORE 'SMALL'",
    ),
)
TAKEN_AWAY = (
    "DROP INDEX IF EXISTS shop.ix",
    "ALTER TABLE shop.items DROP CONSTRAINT IF EXISTS ck, DROP CONSTRAINT IF EXISTS fk",
)


def test_another_definition_under_the_name_is_refused_loudly(steps: Steps) -> None:
    for existing, wanted in DIFFERENT:
        steps.owner.execute(existing.encode())
        steps.write(wanted)
        before = steps.indexes()
        with pytest.raises(DefinitionDiffers, match="already"):
            steps.apply()
        assert steps.indexes() == before
        assert steps.version == "0002_items"
        assert steps.found("SELECT to_regclass('shop.bedplate_probe')") == [(None,)]
        for statement in TAKEN_AWAY:
            steps.owner.execute(statement.encode())


def test_a_table_of_the_name_is_refused_too(steps: Steps) -> None:
    steps.owner.execute("CREATE TABLE shop.ix ()")
    steps.write("CREATE INDEX CONCURRENTLY ix ON shop.items (price)")
    with pytest.raises(DefinitionDiffers, match=r"no index of shop\.items"):
        steps.apply()


def test_the_same_definition_is_recognised_however_it_is_written(steps: Steps) -> None:
    steps.owner.execute(
        "CREATE UNIQUE INDEX ix ON shop.items USING btree (lower(id::text), price DESC)"
        " INCLUDE (shelf_id) NULLS NOT DISTINCT WHERE (price > 1)"
    )
    steps.owner.execute(
        "ALTER TABLE shop.items ADD CONSTRAINT fk FOREIGN KEY (shelf_id)"
        " REFERENCES shop.shelves (id) ON UPDATE CASCADE"
    )
    steps.write(
        'CREATE  UNIQUE INDEX /* one */ CONCURRENTLY "ix" ON "shop".items (LOWER(CAST(id AS text)),'
        " price desc nulls first) include (shelf_id) NULLS NOT DISTINCT where price>1 -- end",
        "ALTER TABLE shop.items ADD CONSTRAINT fk FOREIGN KEY (shelf_id)"
        " REFERENCES shop.shelves ON UPDATE CASCADE NOT VALID",
    )
    steps.apply()
    assert steps.version == "0003_steps"


def test_an_index_waits_for_older_transactions_however_short_the_lock_timeout(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (50,))
    steps.write(CIC)
    with psycopg.connect(steps.database.owner_url) as older:
        older.execute("SELECT FROM shop.items")
        timer = threading.Timer(0.5, older.rollback)
        timer.start()
        steps.apply()
        timer.join()
    assert steps.indexes()["shop.ix_items_price"][0]


def test_an_index_gives_up_at_its_limit_and_leaves_nothing_invalid(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "STATEMENT_TIMEOUT_S", 1)
    steps.write(CIC)
    with psycopg.connect(steps.database.owner_url) as older:
        older.execute("INSERT INTO shop.items VALUES (gen_random_uuid(), NULL, 7)")
        releasing = threading.Thread(target=steps.once_dropping, args=(older.rollback,))
        releasing.start()
        with pytest.raises(MigrationFailed, match="57014"):
            steps.apply()
        releasing.join()
    assert all(valid for valid, _ in steps.indexes().values())


def test_a_constraint_gives_way_and_fails_in_bounded_time(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (50,) * 2)
    steps.write("ALTER TABLE shop.items ADD CONSTRAINT ck_x CHECK (price < 5) NOT VALID")
    with psycopg.connect(steps.database.owner_url) as busy:
        busy.execute("SELECT FROM shop.items")
        with pytest.raises(MigrationFailed, match="55P03"):
            steps.apply()
        monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (50,) * 50)
        timer = threading.Timer(0.5, busy.rollback)
        timer.start()
        steps.apply()
        timer.join()
    assert steps.version == "0003_steps"


THEIRS = (
    "CREATE TABLE public.theirs (id int)",
    "ALTER TABLE public.theirs ADD CONSTRAINT ck CHECK (id > 0) NOT VALID",
    "CREATE TABLE public.days (day int) PARTITION BY RANGE (day)",
    "CREATE TABLE public.day_1 PARTITION OF public.days FOR VALUES FROM (1) TO (2)",
)


@pytest.mark.parametrize(
    ("statement", "touched"),
    [
        ("ALTER TYPE shop.size ADD VALUE 'HUGE'", "shape: enum shop.size"),
        ("DROP INDEX CONCURRENTLY shop.ix_items_shelf_id", "shape: index shop.ix_items_shelf_id"),
        ("CREATE INDEX CONCURRENTLY ix ON public.theirs (id)", "additive: index public.ix"),
        ("ALTER TABLE public.theirs VALIDATE CONSTRAINT ck", "additive: validity public.theirs.ck"),
        (
            "ALTER TABLE shop.items DROP CONSTRAINT ck_items_price",
            "shape: constraint shop.items.ck_items_price",
        ),
        ("ALTER TABLE shop.items ALTER price DROP NOT NULL", "shape: not null shop.items.price"),
        (
            "ALTER TABLE public.days DETACH PARTITION public.day_1 CONCURRENTLY",
            "shape: table public.day_1; shape: child public.days",
        ),
    ],
)
def test_what_is_not_declared_is_not_sent(steps: Steps, statement: str, touched: str) -> None:
    for text in THEIRS:
        steps.owner.execute(text.encode())
    before = steps.indexes()
    steps.write(statement)
    with pytest.raises(UndeclaredTouch) as refusal:
        steps.apply()
    for part in (touched, "Nothing of it was sent", "touches = Footprint(shape=["):
        assert part in str(refusal.value)
    assert steps.indexes() == before
    assert steps.found("SELECT enum_range(NULL::shop.size)::text") == [("{SMALL,LARGE}",)]
    assert not steps.is_validated("ck")
    assert steps.found("SELECT count(*) FROM pg_inherits WHERE NOT inhdetachpending") == [(1,)]


def test_a_statement_off_the_list_stops_the_revision(steps: Steps) -> None:
    steps.write(CIC, "DELETE FROM shop.shelves")
    with pytest.raises(StepNotAllowed, match="DELETE FROM"):
        steps.apply()
    assert steps.version == "0002_items"
    assert steps.found("SELECT count(*) FROM shop.shelves") == [(2,)]


def test_a_transaction_that_should_be_none_is_answered_with_the_line_to_write(
    steps: Steps,
) -> None:
    steps.module.add("0003_index", f'def upgrade():\n    op.execute("{CIC}")\n')
    with pytest.raises(MigrationFailed, match="transactional = False"):
        steps.apply()


def test_a_lines_first_revision_has_a_transaction(database: TestDatabase, tmp_path: Path) -> None:
    module = FakeModule(tmp_path)
    module.add("0001_first", STEPS.format(up="    pass", down="    pass", shape=()))
    with pytest.raises(MigrationFailed, match="first revision"):
        migrate.apply_unproven(Registry([module.manifest()]), owner_url=database.owner_url)
