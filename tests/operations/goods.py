"""A table of goods whose cents a revision fills, for tests of backfills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel.backfills import Backfill
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from tests.databases import TestDatabase
from tests.operations.fake_module import shop

GOODS = """
def upgrade():
    op.execute("CREATE TABLE shop.goods ({columns}, price numeric(12, 2), cents bigint, note text)")
    lines.grant("goods")

def downgrade():
    op.execute("DROP TABLE shop.goods")
"""
FILL = """
from bedplate.kernel.backfills import Backfill
from bedplate.kernel.footprint import Footprint

transactional = False
touches = Footprint(rows=["shop.goods"])
CENTS = {backfill}

def upgrade():
    CENTS.run()

def downgrade():
    global restored
    restored = CENTS.undo()
"""
CENTS = Backfill(table="shop.goods", set={"cents": "price * 100"}, where="cents IS NULL", batch=10)
KEYS = {
    "uuid": ("id uuid PRIMARY KEY", "md5(n::text)::uuid"),
    "bigint": ("id bigint PRIMARY KEY", "n - 20"),
    "text": ('id text COLLATE "C" PRIMARY KEY', "chr(64 + n) || ', \"\\é{}'"),
    "composite": (
        'b int, "Key %" text, a timestamptz, PRIMARY KEY ("Key %", a, b)',
        "n % 3, chr(65 + n % 2), timestamptz '2024-01-01 00:00+00' + n * interval '1.5 ms'",
    ),
}


class Goods:
    """A table of 45 goods, and a revision that fills their cents."""

    def __init__(self, database: TestDatabase, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.module = shop(folder)
        self.registry = Registry([self.module.manifest()])
        self.owner = psycopg.connect(database.owner_url, autocommit=True)

    def make(self, backfill: Backfill = CENTS, key: str = "bigint") -> None:
        columns, values = KEYS[key]
        self.module.add("0003_goods", GOODS.replace("{columns}", columns.replace('"', '\\"')))
        self.apply()
        self.owner.execute(
            f"INSERT INTO shop.goods SELECT {values}, n * 1.11, CASE WHEN n = 7 THEN -1 END,"
            " 'n' || n FROM generate_series(1, 45) n".encode()
        )
        self.write(backfill)

    def write(self, backfill: Backfill) -> None:
        (self.module.line / "0004_cents.py").unlink(missing_ok=True)
        self.module.before = "0003_goods"
        self.module.add("0004_cents", FILL.replace("{backfill}", repr(backfill)))

    def apply(self) -> list[migrate.Receipt]:
        receipts: list[migrate.Receipt] = []
        migrate.apply_unproven(
            self.registry,
            owner_url=self.database.owner_url,
            app_url=self.database.app_url,
            on_receipt=receipts.append,
        )
        return receipts

    def undo(self) -> None:
        migrate.undo(self.registry, "shop", to="0003_goods", owner_url=self.database.owner_url)

    def found(self, query: str) -> list[tuple[object, ...]]:
        return self.owner.execute(query.encode()).fetchall()

    @property
    def rows(self) -> list[tuple[object, ...]]:
        return self.found("SELECT g::text FROM shop.goods g ORDER BY 1")

    @property
    def books(self) -> list[tuple[object, ...]]:
        return self.found(
            "SELECT state, rows, rows_restored, rows_gone,"
            " (SELECT count(*) FROM bedplate.before_images WHERE backfill = id)"
            " FROM bedplate.backfills ORDER BY id"
        )


@pytest.fixture
def goods(shop_database: TestDatabase, tmp_path: Path) -> Iterator[Goods]:
    made = Goods(shop_database, tmp_path)
    yield made
    made.owner.close()
