"""A database that was made by other means is taken over only where it is what the lines make."""

from __future__ import annotations

from pathlib import Path

import pytest

from bedplate.catalog import connect
from bedplate.kernel.errors import BaselineDiffers, ModuleNotFound, UsageError
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Part, Target
from tests.databases import TestDatabase
from tests.operations.fake_module import shop


@pytest.fixture
def target(database: TestDatabase, tmp_path: Path) -> Target:
    """A database that a host's tool made from the plain SQL, without the version rows."""
    made = Target(
        registry=Registry([shop(tmp_path).manifest()]),
        owner_url=database.owner_url,
        folder=tmp_path,
        app_url=database.app_url,
        admin_url=database.admin_url,
    )
    _run(made, *migrate.as_sql(made, Part()).split(";\n"))
    for schema in ("bedplate", "shop"):
        _run(
            made,
            f"DROP TABLE {schema}.schema_version",
            f"COMMENT ON SCHEMA {schema} IS NULL",
        )
    return made


def _run(target: Target, *statements: str) -> None:
    with connect(target.owner_url, autocommit=True) as connection:
        connection.execute(";\n".join(statements).encode())


def test_schemas_that_equal_their_lines_are_recorded_and_journalled(target: Target) -> None:
    assert {line.state for line in migrate.status(target.registry, target.owner_url)} == {"foreign"}
    taken = migrate.baseline(target)
    assert [(each.module, each.revision) for each in taken] == [
        ("bedplate", target.registry.lines[0].head),
        ("shop", "0002_items"),
    ]
    assert {line.state for line in migrate.status(target.registry, target.app_url or "")} == {
        "current"
    }
    assert [(each.what, each.module) for each in migrate.history(target)] == [
        ("baseline", "bedplate"),
        ("baseline", "shop"),
    ]
    assert migrate.diff(target, {}).clean
    assert migrate.baseline(target) == ()


def test_one_difference_and_nothing_is_recorded(target: Target) -> None:
    _run(target, "ALTER TABLE shop.items ALTER price TYPE numeric(14, 2)")
    with pytest.raises(BaselineDiffers, match=r"shop\.items\.price was changed: numeric\(12,2\)"):
        migrate.baseline(target)
    assert {line.state for line in migrate.status(target.registry, target.owner_url)} == {"foreign"}


def test_the_revision_that_is_named_is_compared_with(target: Target) -> None:
    with pytest.raises(BaselineDiffers, match=r"table shop\.items was added"):
        migrate.baseline(target, {"shop": "0001_shelves"})
    _run(target, "DROP TABLE shop.items")
    migrate.baseline(target, {"shop": "0001_shelves"})
    (_, line) = migrate.status(target.registry, target.owner_url)
    assert (line.current, line.pending) == ("0001_shelves", ("0002_items",))
    migrate.apply_unproven(
        target.registry, owner_url=target.owner_url, app_url=target.app_url, bindings={}
    )
    assert migrate.diff(target, {}).clean


def test_what_no_line_or_database_has_is_refused(target: Target) -> None:
    with pytest.raises(ModuleNotFound, match="shp"):
        migrate.baseline(target, {"shp": "0001_shelves"})
    with pytest.raises(UsageError, match="0009_gone"):
        migrate.baseline(target, {"shop": "0009_gone"})
    _run(target, "DROP SCHEMA shop CASCADE")
    with pytest.raises(BaselineDiffers, match="no schema of shop"):
        migrate.baseline(target, {"shop": "0002_items"})
