from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel import registry as registries
from bedplate.kernel.checks import Check
from bedplate.kernel.errors import DatabaseUnreachable
from bedplate.kernel.registry import Registry
from bedplate.operations import checks, migrate
from bedplate.operations.checks import CheckOutcome
from tests.databases import Server, TestDatabase, new_database
from tests.operations.fake_module import shop


@pytest.fixture
def database(shop_database: TestDatabase) -> TestDatabase:
    return shop_database


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry([shop(tmp_path).manifest()])


def failed(outcomes: tuple[CheckOutcome, ...]) -> dict[str, tuple[dict[str, str | None], ...]]:
    return {each.id: each.rows for each in outcomes if not each.ok}


def with_law(registry: Registry, query: str) -> Registry:
    law = Check(id="shop.E001", title="A law", query=query, next_step="Mend it.")
    return Registry([replace(registry.ordered[0], checks=(law,))])


def test_a_shipped_database_as_apply_leaves_it_passes_every_check(server: Server) -> None:
    registry = registries.load(["auth"])
    with new_database(server) as database:
        migrate.apply_unproven(registry, owner_url=database.owner_url, app_url=database.app_url)
        outcomes = checks.run(registry, database.app_url)
    assert failed(outcomes) == {}
    assert [each.id for each in outcomes][:5] == [
        "bedplate.E001",
        "bedplate.W002",
        "bedplate.E003",
        "bedplate.E004",
        "bedplate.E005",
    ]
    assert len({each.id for each in outcomes}) == len(outcomes)


def test_a_line_behind_the_code_is_found(registry: Registry, database: TestDatabase) -> None:
    migrate.undo(registry, "shop", to="0001_shelves", owner_url=database.owner_url)
    assert failed(checks.run(registry, database.app_url)) == {
        "bedplate.E001": ({"module": "shop", "database": "0001_shelves", "code": "0002_items"},)
    }


def test_a_missing_wall_is_a_warning_that_names_it(
    registry: Registry, database: TestDatabase
) -> None:
    outcomes = checks.run(registry, database.owner_url)
    (walls,) = [each for each in outcomes if not each.ok]
    assert walls.is_warning
    assert {"wall": "the role may truncate the table", "object": "shop.items"} in walls.rows
    assert "DATABASE_OWNER_URL" in walls.next_step
    admin = checks.run(registry, database.admin_url)
    assert any(row["wall"] == "the role is a superuser" for row in failed(admin)["bedplate.W002"])


def test_a_foreign_key_without_an_index_and_a_bare_table_are_found(
    registry: Registry, database: TestDatabase
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("DROP INDEX shop.ix_items_shelf_id; CREATE TABLE shop.bare (x int)")
    assert failed(checks.run(registry, database.app_url)) == {
        "bedplate.E003": ({"table": "shop.items", "foreign_key": "fk_items_shelf_id_shelves"},),
        "bedplate.E004": ({"object": "shop.bare"}, {"object": "shop.bare.x"}),
    }


def test_an_index_on_a_composite_key_in_any_order_serves(
    registry: Registry, database: TestDatabase
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            "CREATE TABLE shop.a (x int, y int, PRIMARY KEY (x, y));"
            "CREATE TABLE shop.b (x int, y int, z int, FOREIGN KEY (x, y) REFERENCES shop.a);"
            "CREATE INDEX wrong ON shop.b (z, x, y)"
        )
    assert "bedplate.E003" in failed(checks.run(registry, database.app_url))
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("CREATE INDEX good ON shop.b (y, x, z)")
    assert "bedplate.E003" not in failed(checks.run(registry, database.app_url))


def test_of_a_composite_key_the_column_that_is_a_key_by_itself_serves(
    registry: Registry, database: TestDatabase
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            "CREATE TABLE shop.a (x int PRIMARY KEY, y int, UNIQUE (x, y));"
            "CREATE TABLE shop.b (x int, y int, z int,"
            " FOREIGN KEY (x, y) REFERENCES shop.a (x, y));"
            "CREATE INDEX wrong ON shop.b (y, z)"
        )
    assert "bedplate.E003" in failed(checks.run(registry, database.app_url))
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("CREATE INDEX good ON shop.b (x, z)")
    assert "bedplate.E003" not in failed(checks.run(registry, database.app_url))


def test_a_module_s_law_is_tried_and_its_rows_sampled(
    registry: Registry, database: TestDatabase
) -> None:
    made = with_law(registry, "SELECT n AS number, NULL AS nothing FROM generate_series(1, 25) n")
    heard: list[CheckOutcome] = []
    outcomes = checks.run(made, database.app_url, on_check=heard.append)
    assert tuple(heard) == outcomes
    outcome = outcomes[-1]
    assert (outcome.ok, outcome.more, len(outcome.rows)) == (False, True, 20)
    assert outcome.rows[0] == {"number": "1", "nothing": None}


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("SELECT FROM shop.nowhere", "shop.nowhere"),
        ("DELETE FROM shop.shelves RETURNING id", "read"),
        ("SELECT 'secret'::int", "22P02"),
    ],
)
def test_a_law_that_cannot_be_tried_is_an_outcome(
    registry: Registry, database: TestDatabase, query: str, part: str
) -> None:
    *others, outcome = checks.run(with_law(registry, query), database.app_url)
    assert all(each.ok for each in others)
    assert not outcome.ok
    assert outcome.problem is not None
    assert part in outcome.problem
    assert "secret" not in outcome.problem


def test_an_unreachable_database_is_a_typed_error() -> None:
    with pytest.raises(DatabaseUnreachable):
        checks.run(Registry([]), "postgresql://somebody@127.0.0.1:1/nothing")
