"""A database is emptied only where it is marked and named, and nobody else hangs on ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bedplate.catalog import connect
from bedplate.kernel.errors import ResetRefused
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Loss, Target
from tests.databases import Server, TestDatabase, new_database
from tests.operations.fake_module import shop

COMMENT = """
SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database
WHERE datname = pg_catalog.current_database()
"""


@pytest.fixture
def database(shop_database: TestDatabase) -> TestDatabase:
    return shop_database


@pytest.fixture
def target(database: TestDatabase, tmp_path: Path) -> Target:
    made = Target(
        registry=Registry([shop(tmp_path).manifest()]),
        owner_url=database.owner_url,
        folder=tmp_path,
        app_url=database.app_url,
        admin_url=database.admin_url,
    )
    _run(made, "INSERT INTO shop.shelves VALUES (bedplate.uuid7(), 'left')")
    return made


def _run(target: Target, statement: str) -> list[tuple[object, ...]]:
    with connect(target.owner_url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_database_without_the_mark_is_refused(target: Target, database: TestDatabase) -> None:
    with pytest.raises(ResetRefused, match="not marked as disposable"):
        migrate.reset(target, database.name)
    assert _run(target, "SELECT label FROM shop.shelves") == [("left",)]


def test_the_name_is_typed_exactly(target: Target) -> None:
    migrate.mark(target, disposable=True)
    with pytest.raises(ResetRefused, match="The name typed is not"):
        migrate.reset(target, "postgres")
    assert _run(target, "SELECT label FROM shop.shelves") == [("left",)]


def test_a_marked_database_is_made_anew_and_what_is_not_ours_stays(
    target: Target, database: TestDatabase
) -> None:
    _run(target, "CREATE TABLE public.theirs AS SELECT 1 AS one")
    migrate.mark(target, disposable=True)
    lines = migrate.reset(target, database.name)
    assert [line.current for line in lines] == [line.head for line in lines]
    assert _run(target, "SELECT count(*) FROM shop.shelves") == [(0,)]
    assert _run(target, "SELECT one FROM public.theirs") == [(1,)]
    (entry,) = [each for each in migrate.history(target) if each.what == "reset"]
    assert entry.facts == {"dropped": ["bedplate", "shop"]}

    migrate.mark(target, disposable=False)
    with pytest.raises(ResetRefused, match="not marked"):
        migrate.reset(target, database.name)


def test_a_mark_that_was_carried_from_another_database_marks_nothing(
    server: Server, target: Target, database: TestDatabase
) -> None:
    _run(target, f"COMMENT ON DATABASE {database.name} IS 'Mine.'")
    migrate.mark(target, disposable=True)
    ((comment,),) = _run(target, COMMENT)
    assert str(comment).startswith("Mine.\n")
    with new_database(server) as other:
        carried = replace(target, owner_url=other.owner_url)
        _run(carried, f"COMMENT ON DATABASE {other.name} IS '{comment}'")
        with pytest.raises(ResetRefused, match="not marked"):
            migrate.reset(carried, other.name)
    migrate.mark(target, disposable=False)
    assert _run(target, COMMENT) == [("Mine.",)]


def test_where_no_mark_can_name_the_database_the_grant_is_told(
    target: Target, database: TestDatabase
) -> None:
    migrate.mark(target, disposable=True)
    with connect(database.admin_url) as admin:
        admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    refused = pytest.raises(ResetRefused, match="GRANT EXECUTE ON FUNCTION pg_control_system")
    with refused:
        migrate.reset(target, database.name)
    assert _run(target, "SELECT label FROM shop.shelves") == [("left",)]


def test_nothing_is_dropped_while_others_objects_hang_on_ours(
    target: Target, database: TestDatabase
) -> None:
    _run(target, "CREATE VIEW public.theirs AS SELECT label FROM shop.shelves")
    migrate.mark(target, disposable=True)
    with pytest.raises(ResetRefused, match=r"public\.theirs"):
        migrate.reset(target, database.name)
    assert _run(target, "SELECT label FROM public.theirs") == [("left",)]


def test_history_tells_each_revision_and_undoing_tells_the_rows_before(target: Target) -> None:
    _run(
        target,
        "INSERT INTO shop.items (id, price) VALUES (bedplate.uuid7(), 1), (bedplate.uuid7(), 2)",
    )
    assert migrate.losses(target, "shop", "0002_items") == ()
    assert migrate.losses(target, "shop", "0001_shelves") == (Loss("shop.items", 2),)
    assert migrate.losses(target, "shop", None) == (Loss("shop.items", 2), Loss("shop.shelves", 1))
    ran = [(each.what, each.revision) for each in migrate.history(target) if each.module == "shop"]
    assert ran == [("up", "0001_shelves"), ("up", "0002_items")]
