"""Lines as plain SQL: psql makes of an empty database what the runner makes, and takes it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.catalog import Snapshot, connect, difference, read, user_schemas
from bedplate.kernel import registry
from bedplate.kernel.errors import BackfillFailed, ModuleNotFound, UsageError
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Part, Target
from bedplate.operations.migrate.made import read_lines
from tests.databases import Server, TestDatabase, new_database
from tests.operations.fake_module import shop
from tests.psql import run_script

CHEAP = """
from bedplate.kernel.backfills import Backfill
from bedplate.kernel.footprint import Footprint

transactional = False
touches = Footprint(rows=["shop.items"])
PRICES = Backfill(table="shop.items", set={"price": "1"}, where="price <> 1")

def upgrade():
    PRICES.run()

def downgrade():
    PRICES.undo()
"""
NOTE = """
def upgrade():
    op.execute("ALTER TABLE shop.items ADD note text")

def downgrade():
    op.execute("ALTER TABLE shop.items DROP note")
"""


@pytest.fixture
def other(server: Server) -> Iterator[TestDatabase]:
    with new_database(server) as made:
        yield made


def _target(database: TestDatabase, modules: Registry, folder: Path) -> Target:
    return Target(
        registry=modules,
        owner_url=database.owner_url,
        folder=folder,
        app_url=database.app_url,
        admin_url=database.admin_url,
    )


def _told(before: Snapshot, after: Snapshot) -> list[str]:
    # The runner keeps its books in the schema of the kernel; the script has no receipts to keep.
    changes = difference(before, after)
    return [each.sentence for each in changes if "refuse_in_books" not in each.name]


def test_psql_makes_what_the_runner_makes_and_status_knows_of_it(
    database: TestDatabase, other: TestDatabase, tmp_path: Path
) -> None:
    modules = registry.load(["auth", "credits"])
    target = _target(database, modules, tmp_path)
    script = migrate.as_sql(target, Part())
    run_script(other.owner_url, script, tmp_path)
    plain = _target(other, modules, tmp_path)
    assert {line.state for line in migrate.status(modules, other.owner_url)} == {"current"}

    migrate.apply_unproven(modules, owner_url=target.owner_url, app_url=target.app_url, bindings={})
    made = read_lines(target, target.owner_url)
    assert _told(made, read_lines(plain, plain.owner_url)) == []

    run_script(other.owner_url, migrate.as_sql(target, Part(down=True)), tmp_path)
    with connect(other.owner_url) as connection:
        assert user_schemas(connection) == ["public"]


def test_a_part_of_one_line_leads_on_from_where_it_begins(
    database: TestDatabase, other: TestDatabase, tmp_path: Path
) -> None:
    modules = Registry([shop(tmp_path).manifest()])
    target = _target(database, modules, tmp_path)
    run_script(other.owner_url, migrate.as_sql(target, Part(module="bedplate")), tmp_path)
    first = migrate.as_sql(target, Part(module="shop", to="0001_shelves"))
    assert "shop.items" not in first
    run_script(other.owner_url, first, tmp_path)
    run_script(
        other.owner_url, migrate.as_sql(target, Part(module="shop", since="0001_shelves")), tmp_path
    )
    (_, line) = migrate.status(modules, other.owner_url)
    assert line.current == "0002_items"
    back = migrate.as_sql(target, Part(module="shop", to="0001_shelves", down=True))
    run_script(other.owner_url, back, tmp_path)
    with connect(other.owner_url) as connection:
        found = read(connection, ["shop"])
    assert [table.name for table in found.tables] == ["schema_version", "shelves"]


def test_a_backfill_is_refused_and_the_parts_around_it_meet_the_runner(
    database: TestDatabase, other: TestDatabase, tmp_path: Path
) -> None:
    module = shop(tmp_path)
    module.add("0003_cheap", CHEAP)
    module.add("0004_note", NOTE)
    modules = Registry([module.manifest()])
    target = _target(database, modules, tmp_path)
    for part, way in (
        (Part(), r"--to 0002_items.*migrate apply.*--from 0003_cheap"),
        (Part(down=True), r"--down --to 0003_cheap.*migrate undo shop --to 0002_items"),
    ):
        with pytest.raises(
            BackfillFailed, match=r"0003_cheap runs the backfill shop\.items \(price"
        ):
            migrate.as_sql(target, part)
        with pytest.raises(BackfillFailed, match=way):
            migrate.as_sql(target, part)

    # What it says to do leads all the way up and back.
    run_script(other.owner_url, migrate.as_sql(target, Part(module="bedplate")), tmp_path)
    until = migrate.as_sql(target, Part(module="shop", to="0002_items"))
    run_script(other.owner_url, until, tmp_path)
    migrate.apply_unproven(modules, owner_url=other.owner_url, app_url=other.app_url, bindings={})
    back = migrate.as_sql(target, Part(module="shop", down=True, to="0003_cheap"))
    run_script(other.owner_url, back, tmp_path)
    migrate.undo(modules, "shop", to="0002_items", owner_url=other.owner_url)
    migrate.apply_unproven(modules, owner_url=other.owner_url, app_url=other.app_url, bindings={})
    run_script(other.owner_url, back, tmp_path)
    after = migrate.as_sql(target, Part(module="shop", since="0003_cheap"))
    run_script(other.owner_url, after, tmp_path)
    assert {line.state for line in migrate.status(modules, other.owner_url)} == {"current"}


def test_what_no_line_has_is_refused(database: TestDatabase, tmp_path: Path) -> None:
    target = _target(database, Registry([shop(tmp_path).manifest()]), tmp_path)
    with pytest.raises(ModuleNotFound, match="Module shp is not enabled"):
        migrate.as_sql(target, Part(module="shp"))
    with pytest.raises(UsageError, match="0009_gone"):
        migrate.as_sql(target, Part(module="shop", to="0009_gone"))
    with pytest.raises(UsageError, match="Name the module too"):
        migrate.as_sql(target, Part(to="0002_items"))
