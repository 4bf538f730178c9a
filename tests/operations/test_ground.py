"""Databases to rehearse on: like the live one, apart from it, and gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bedplate.catalog import Snapshot, connect, read
from bedplate.kernel import registry as registries
from bedplate.kernel.bindings import Binding
from bedplate.operations import migrate
from bedplate.operations.migrate import expected
from bedplate.operations.migrate.ground import COPY, Ground, grounds
from bedplate.operations.migrate.target import Target
from tests.databases import TestDatabase

HOST = """
CREATE SCHEMA host;
CREATE TYPE host.plan AS ENUM ('FREE', 'PAID');
CREATE TABLE host."User" (_id text PRIMARY KEY, plan host.plan NOT NULL DEFAULT 'FREE');
INSERT INTO host."User" VALUES ('u1'), ('u2');
"""
BOUND = {"users": Binding("host.User", key="_id", key_type="text")}


def target_of(database: TestDatabase, folder: Path, **bindings: Binding) -> Target:
    return Target(
        registry=registries.load(["auth", "credits"]),
        owner_url=database.owner_url,
        app_url=database.app_url,
        admin_url=database.admin_url,
        folder=folder,
        bindings=bindings,
    )


@pytest.fixture
def target(database: TestDatabase, tmp_path: Path) -> Target:
    return target_of(database, tmp_path)


@pytest.fixture
def ground(target: Target) -> Iterator[Ground]:
    with grounds(target) as found:
        yield found


def databases(database: TestDatabase) -> set[str]:
    with psycopg.connect(database.admin_url) as admin:
        return {name for (name,) in admin.execute("SELECT datname FROM pg_database")}


def users(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = 'SELECT _id FROM host."User" ORDER BY _id'
        return [key for (key,) in connection.execute(query)]


@pytest.mark.parametrize("in_use", [False, True], ids=["cloned", "dumped"])
def test_a_copy_has_the_rows_and_the_rights_of_the_live_database_and_is_gone_afterwards(
    target: Target, ground: Ground, database: TestDatabase, in_use: bool
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(HOST)
        owner.execute('GRANT USAGE ON SCHEMA host TO PUBLIC; GRANT SELECT ON host."User" TO PUBLIC')
    before = databases(database)
    busy = psycopg.connect(database.app_url) if in_use else None
    with ground.copy() as copy:
        assert copy.data == "full"
        assert copy.app_url is not None
        assert users(copy.app_url) == ["u1", "u2"]
        with psycopg.connect(copy.owner_url) as owner:
            owner.execute("DELETE FROM host.\"User\" WHERE _id = 'u1'")
        with psycopg.connect(copy.admin_url) as admin:
            query = "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
            assert admin.execute(query).fetchone() == (False,)
    if busy is not None:
        busy.close()
    assert users(database.owner_url) == ["u1", "u2"]
    assert databases(database) == before


def test_what_a_killed_rehearsal_left_is_dropped_by_the_next(
    target: Target, database: TestDatabase
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {COPY}_1_1".encode())
    with grounds(target):
        assert f"{COPY}_1_1" not in databases(database)


def tables(snapshot: Snapshot, schema: str) -> dict[str, dict[str, object]]:
    found = snapshot.schema(schema)
    assert found is not None
    return {
        table.name: {
            **{column.name: column for column in table.columns},
            **{rule.name: rule for rule in table.constraints},
            **{index.name: index for index in table.indexes},
        }
        for table in found.tables
    }


@pytest.mark.parametrize("bindings", [{}, BOUND], ids=["own users", "adopted users"])
def test_the_models_alone_and_the_lines_alone_make_the_same_tables(
    target: Target, database: TestDatabase, bindings: dict[str, Binding]
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(HOST)
    bound = target_of(database, target.folder, **bindings)
    with grounds(bound) as ground:
        lines = expected.from_lines(bound, ground)
        models = expected.from_models(bound, ground)
    for schema in ("auth", "credits"):
        made = tables(lines, schema)
        for name, parts in tables(models, schema).items():
            assert parts == made[name]
    assert ("users" in tables(models, "auth")) is not bool(bindings)
    with connect(database.owner_url) as connection:
        assert read(connection, ["bedplate", "auth", "credits"]).schemas == ()


def test_the_lines_alone_are_what_apply_makes(
    target: Target, ground: Ground, database: TestDatabase
) -> None:
    lines = expected.from_lines(target, ground)
    migrate.apply_unproven(target.registry, owner_url=database.owner_url, app_url=database.app_url)
    with connect(database.owner_url) as connection:
        assert read(connection, ["bedplate", "auth", "credits"]) == lines
