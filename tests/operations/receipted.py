"""A module's database with rows, to which a test adds revisions: for what receipts say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.catalog import connect
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Receipt, books
from tests.databases import Server, TestDatabase, new_database
from tests.operations.fake_module import FakeModule, shop

FOOTPRINT = "from bedplate.kernel.footprint import Footprint\n"


class Shop:
    """The module shop, with rows in both tables once migrated; a test adds revisions."""

    def __init__(self, database: TestDatabase, folder: Path) -> None:
        self.database = database
        self.module: FakeModule = shop(folder)

    def migrate(self) -> None:
        self.apply()
        with psycopg.connect(self.database.owner_url) as owner:
            owner.execute("INSERT INTO shop.shelves VALUES (gen_random_uuid(), 'top')")
            owner.execute("INSERT INTO shop.items (id, price) VALUES (gen_random_uuid(), 1)")

    @property
    def registry(self) -> Registry:
        return Registry([self.module.manifest()])

    def apply(self, **options: Any) -> list[Receipt]:
        receipts: list[Receipt] = []
        migrate.apply_unproven(
            self.registry,
            owner_url=options.get("owner_url", self.database.owner_url),
            app_url=self.database.app_url,
            on_receipt=receipts.append,
        )
        return receipts

    def undo(self, to: str | None) -> None:
        migrate.undo(self.registry, "shop", to=to, owner_url=self.database.owner_url)

    def add(self, name: str, up: str, *, down: str = "SELECT 1", touches: str = "") -> None:
        """Add a revision of plain SQL; `touches` is the declaration's line."""
        before = self.module.before if self.module.before != name else "0002_items"
        self.module.before = before
        self.module.add(
            name,
            f"{FOOTPRINT}{touches}\n"
            f"def upgrade():\n    lines.current().execute({up!r})\n"
            f"def downgrade():\n    lines.current().execute({down!r})\n",
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with connect(self.database.admin_url, autocommit=True) as admin:
            return admin.execute(query.encode()).fetchall()

    @property
    def entries(self) -> tuple[books.Entry, ...]:
        with connect(self.database.reader_url, autocommit=True) as reader:
            return books.receipts(reader)

    @property
    def chain(self) -> books.Chain:
        with connect(self.database.app_url, autocommit=True) as app:
            return books.verify_chain(app, self.registry.lines)


@pytest.fixture(scope="module")
def migrated(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database that the tests' own are copies of."""
    with new_database(server) as made:
        Shop(made, tmp_path_factory.mktemp("migrated")).migrate()
        yield made.name


@pytest.fixture
def world(server: Server, migrated: str, tmp_path: Path) -> Iterator[Shop]:
    with new_database(server, migrated) as made:
        # What the server knows of a table's size stays behind when a database is copied.
        with psycopg.connect(made.owner_url) as owner:
            owner.execute("ANALYZE shop.items")
        yield Shop(made, tmp_path)
