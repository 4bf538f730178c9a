from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import registry as registries
from bedplate.kernel.embedded import Attachment
from bedplate.kernel.errors import DocumentStale
from bedplate.kernel.registry import Registry
from bedplate.operations import document, migrate
from tests.databases import TestDatabase, new_database, running_server
from tests.operations.fake_module import shop


@pytest.fixture
def database(shop_database: TestDatabase) -> TestDatabase:
    return shop_database


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry([shop(tmp_path / "code").manifest()])


def test_build_writes_a_page_per_module_once(
    registry: Registry, database: TestDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "docs" / "reference"
    paths = document.build(registry, database.app_url, folder)
    assert [path.name for path in paths] == ["README.md", "bedplate.md", "shop.md"]
    bytes_before = [path.read_bytes() for path in paths]
    assert document.build(registry, database.owner_url, folder) == ()
    assert [path.read_bytes() for path in paths] == bytes_before
    document.check(registry, database.app_url, folder)


def test_a_page_tells_columns_keys_indexes_rules_and_enums(
    registry: Registry, database: TestDatabase, tmp_path: Path
) -> None:
    document.build(registry, database.app_url, tmp_path)
    page = (tmp_path / "shop.md").read_text(encoding="utf-8")
    for line in (
        "Schema `shop` at revision `0002_items`.",
        "| `shelf_id` | `uuid` | yes | | → shop.shelves | Its shelf. |",
        "| `price` | `numeric(12,2)` | | | | In euros. |",
        '| `label` | `text` | | | | What \\| "stands" on it. |',
        "| `ck_items_price` | check | `CHECK ((price >= (0)::numeric))` |",
        "| `ix_items_shelf_id` | | `shelf_id` | |",
        "Values: `SMALL`, `LARGE`.",
    ):
        assert line in page.splitlines()
    overview = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| [shop](shop.md) | `0002_items` | 2 | 5 |" in overview
    assert "| [shop.items](shop.md#items) | What is sold. |" in overview


def test_a_page_draws_its_tables_and_what_points_where(
    registry: Registry, database: TestDatabase, tmp_path: Path
) -> None:
    document.build(registry, database.app_url, tmp_path)
    page = (tmp_path / "shop.md").read_text(encoding="utf-8")
    diagram = page.split("```mermaid\n")[1].split("```")[0].splitlines()
    assert diagram[0] == "erDiagram"
    assert '    shop_items["shop.items"] {' in diagram
    assert '        uuid shelf_id FK "Its shelf."' in diagram
    assert "        text label UK \"What | 'stands' on it.\"" in diagram
    assert diagram[-1] == '    shop_shelves |o--o{ shop_items : "shelf_id"'


def test_stale_names_what_differs_and_writes_nothing(
    registry: Registry, database: TestDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "reference"
    assert len(document.stale(registry, database.app_url, folder)) == 3
    assert not folder.exists()
    document.build(registry, database.app_url, folder)
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("COMMENT ON COLUMN shop.items.price IS 'In dollars.'")
    assert document.stale(registry, database.app_url, folder) == (folder / "shop.md",)
    with pytest.raises(DocumentStale, match=r"shop\.md.*docs build"):
        document.check(registry, database.app_url, folder)


def test_a_page_of_a_disabled_module_goes_and_other_files_stay(
    registry: Registry, database: TestDatabase, tmp_path: Path
) -> None:
    own = tmp_path / "notes.md"
    own.write_bytes(b"mine \xff")
    document.build(registry, database.app_url, tmp_path)
    changed = document.build(Registry([]), database.app_url, tmp_path)
    assert [path.name for path in changed] == ["README.md", "shop.md"]
    assert sorted(path.name for path in tmp_path.glob("*.md")) == [
        "README.md",
        "bedplate.md",
        "notes.md",
    ]
    assert own.read_bytes() == b"mine \xff"


def test_a_table_or_column_without_a_comment_fails_the_check(
    registry: Registry, database: TestDatabase, tmp_path: Path
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("COMMENT ON TABLE shop.items IS NULL; ALTER TABLE shop.items ADD bare int")
    document.build(registry, database.app_url, tmp_path)
    with pytest.raises(DocumentStale, match=r"Without a comment: shop\.items, shop\.items\.bare\."):
        document.check(registry, database.app_url, tmp_path)


def test_every_major_version_gives_the_same_pages(server: Attachment, tmp_path: Path) -> None:
    registry = registries.load(["auth"])
    folder = tmp_path / "reference"
    with running_server(18) as other:
        for each in (server, other):
            with new_database(each) as made:
                migrate.apply_unproven(registry, owner_url=made.owner_url, app_url=made.app_url)
                changed = document.build(registry, made.app_url, folder)
                document.check(registry, made.app_url, folder)
    assert changed == ()
