"""Many revisions made one: the same schema, up and down; databases inside the range are told."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from bedplate.catalog import connect, difference, user_schemas
from bedplate.kernel import registry
from bedplate.kernel.errors import OutdatedLine, SquashRefused, UndeclaredTouch, UsageError
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Target
from bedplate.operations.migrate.made import read_lines
from tests.databases import Server, TestDatabase, new_database
from tests.operations.fake_module import FakeModule, shop

PRICES = """
from bedplate.kernel.footprint import Footprint

touches = Footprint(behaviour=["shop.items"])

def upgrade():
    op.execute("ALTER TABLE shop.items ADD COLUMN old_price numeric")
    lines.guard("items", "shelf_id")

def downgrade():
    op.execute("DROP POLICY own_rows ON shop.items")
    op.execute("DROP POLICY every_row_app ON shop.items")
    op.execute("DROP POLICY every_row_reader ON shop.items")
    op.execute("ALTER TABLE shop.items DISABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE shop.items DROP COLUMN old_price")
"""
LAST = """
from bedplate.kernel.footprint import Footprint

touches = Footprint(shape=["shop.items"])

def upgrade():
    op.execute("COMMENT ON COLUMN shop.items.old_price IS 'What it was.'")

def downgrade():
    op.execute("COMMENT ON COLUMN shop.items.old_price IS NULL")
"""
ROWS = """
from bedplate.kernel.footprint import Footprint

touches = Footprint(rows=["shop.shelves"])

def upgrade():
    op.execute("INSERT INTO shop.shelves VALUES (bedplate.uuid7(), 'left')")

def downgrade():
    op.execute("DELETE FROM shop.shelves")
"""


@pytest.fixture
def module(tmp_path: Path) -> FakeModule:
    made = shop(tmp_path)
    made.add("0003_prices", PRICES)
    made.add("0004_last", LAST)
    return made


def _target(module: FakeModule, database: TestDatabase, folder: Path) -> Target:
    return Target(
        registry=Registry([module.manifest()]),
        owner_url=database.owner_url,
        folder=folder,
        app_url=database.app_url,
        admin_url=database.admin_url,
    )


def _apply(target: Target) -> None:
    migrate.apply_unproven(
        target.registry, owner_url=target.owner_url, app_url=target.app_url, bindings={}
    )


def test_one_revision_makes_what_three_made_and_later_databases_notice_nothing(
    server: Server, database: TestDatabase, module: FakeModule, tmp_path: Path
) -> None:
    old = _target(module, database, tmp_path)
    _apply(old)
    made = migrate.squash(old, "shop", "0003_prices")
    assert made.replaced == ("0001_shelves", "0002_items")
    (line,) = (each for each in old.registry.lines if each.name == "shop")
    assert line.revisions == ("0003_prices", "0004_last")
    assert json.loads((module.line / "squashed.json").read_text()) == {
        "0001_shelves": "0003_prices",
        "0002_items": "0003_prices",
    }
    assert sorted(path.stem for path in (module.line / "squashed").glob("*.py")) == [
        "0001_shelves",
        "0002_items",
        "0003_prices",
    ]
    _apply(old)
    assert {each.state for each in migrate.status(old.registry, old.owner_url)} == {"current"}
    with new_database(server) as other:
        new = _target(module, other, tmp_path)
        _apply(new)
        found = difference(read_lines(old, old.owner_url), read_lines(new, new.owner_url))
        assert [change.sentence for change in found] == []


def test_a_database_from_before_the_squash_finds_its_way_back_and_up_again(
    database: TestDatabase, module: FakeModule, tmp_path: Path
) -> None:
    target = _target(module, database, tmp_path)
    _apply(target)
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("INSERT INTO shop.shelves VALUES (gen_random_uuid(), 'top')")
    made = read_lines(target, target.owner_url)
    migrate.squash(target, "shop", "0003_prices")
    migrate.squash(target, "shop", "0004_last")
    assert [(loss.name, loss.rows) for loss in migrate.losses(target, "shop", None)] == [
        ("shop.shelves", 1)
    ]
    # The receipts that name what goes are those of the files that are no more.
    migrate.undo(target.registry, "shop", to=None, owner_url=target.owner_url)
    with connect(target.owner_url) as connection:
        assert user_schemas(connection) == ["bedplate", "public"]
    _apply(target)
    found = difference(made, read_lines(target, target.owner_url))
    assert [change.sentence for change in found] == []
    # And this time the one receipt says it all.
    migrate.undo(target.registry, "shop", to=None, owner_url=target.owner_url)


def test_the_way_back_of_a_squash_takes_nothing_that_no_receipt_names(
    database: TestDatabase, module: FakeModule, tmp_path: Path
) -> None:
    target = _target(module, database, tmp_path)
    _apply(target)
    migrate.squash(target, "shop", "0003_prices")
    one = module.line / "0003_prices.py"
    one.write_text(one.read_text() + "    op.execute('DROP TABLE shop.foreign_one')\n")
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("CREATE TABLE shop.foreign_one (id int)")
    with pytest.raises(UndeclaredTouch, match=r"gone: table shop\.foreign_one\. It was"):
        migrate.undo(target.registry, "shop", to=None, owner_url=target.owner_url)


def test_a_database_inside_of_the_range_is_told_what_to_do(
    database: TestDatabase, tmp_path: Path
) -> None:
    module = shop(tmp_path)
    target = _target(module, database, tmp_path)
    _apply(target)
    module.add("0003_prices", PRICES)
    migrate.squash(target, "shop", "0003_prices")
    with pytest.raises(OutdatedLine, match="at 0002_items, which was squashed into 0003_prices"):
        _apply(target)


def test_revisions_that_cannot_be_made_one_stay(
    database: TestDatabase, module: FakeModule, tmp_path: Path
) -> None:
    module.add("0005_rows", ROWS)
    target = _target(module, database, tmp_path)
    with pytest.raises(SquashRefused, match="write rows"):
        migrate.squash(target, "shop", "0005_rows")
    with pytest.raises(SquashRefused, match="first revision"):
        migrate.squash(target, "shop", "0001_shelves")
    with pytest.raises(UsageError, match="0009_gone"):
        migrate.squash(target, "shop", "0009_gone")
    ours = Target(
        registry=registry.load(["auth"]),
        owner_url=database.owner_url,
        folder=tmp_path,
        admin_url=database.admin_url,
    )
    with pytest.raises(SquashRefused, match="not the project's own"):
        migrate.squash(ours, "auth", "0002_audit_logs")
    assert not (module.line / "squashed.json").exists()
    assert len(list(module.line.glob("[0-9]*.py"))) == 5
