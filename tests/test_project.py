"""The door: a project opens on a database that fits its code, or says what to do and lets go."""

from __future__ import annotations

import time
from dataclasses import replace

import psycopg
import pytest

from bedplate import Binding, ModuleManifest, Project, errors
from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel.registry import Registry, load
from bedplate.testing import Clone
from tests.world import World


def change_version(clone: Clone, statement: str) -> None:
    with psycopg.connect(clone.owner_url) as owner:
        assert owner.execute(statement.encode()).rowcount == 1


def reopen(world: World, *, check_versions: bool = True) -> None:
    """Open the world's project once more, and close it."""
    if world.mode == "sync":
        project = open_project(settings=world.clone.settings, check_versions=check_versions)
        wait(project.close())
        return

    async def body() -> None:
        settings = world.clone.settings
        async with await Project.open(settings=settings, check_versions=check_versions):
            pass

    world.run(body())


@pytest.mark.parametrize("schema", ["bedplate", "auth", "shop"])
def test_a_database_behind_the_code_is_refused_with_the_command(world: World, schema: str) -> None:
    reopen(world)
    change_version(world.clone, f"DELETE FROM {schema}.schema_version")
    with pytest.raises(errors.OutdatedLine) as refused:
        reopen(world)
    lines = load(["auth", "tests.shop"]).lines
    head = next(line.head for line in lines if line.schema == schema)
    assert str(refused.value) == (
        f"The database's {schema} is at nothing; the code needs {head}. "
        "Run `bedplate migrate apply`."
    )
    # What mends it must be able to open it.
    reopen(world, check_versions=False)


def test_a_database_ahead_of_the_code_is_refused_too(world: World) -> None:
    change_version(world.clone, "UPDATE auth.schema_version SET version_num = '9999_future'")
    with pytest.raises(errors.OutdatedLine, match=r"auth is at 9999_future.*install the version"):
        reopen(world)


def test_a_module_that_was_never_applied_is_missed_by_those_who_enable_it(
    bedplate_clone: Clone,
) -> None:
    with psycopg.connect(bedplate_clone.owner_url) as owner:
        owner.execute("DROP SCHEMA shop CASCADE")
    with pytest.raises(errors.OutdatedLine, match="shop is at nothing"):
        open_project(settings=bedplate_clone.settings)
    wait(open_project(settings=replace(bedplate_clone.settings, modules=("auth",))).close())


def test_a_binding_that_no_module_offers_is_refused(bedplate_clone: Clone) -> None:
    bind = {"customers": Binding("public.customers")}
    with pytest.raises(errors.SettingsError, match=r"\[bind\.customers\].*Bind one of: users"):
        open_project(settings=replace(bedplate_clone.settings, bind=bind))


def test_a_manifest_that_names_no_package_is_told_as_one() -> None:
    lost = ModuleManifest(name="lost", package="nowhere.at.all", models=())
    with pytest.raises(errors.ModuleNotFound, match=r"no migrations folder in nowhere\.at\.all"):
        _ = Registry([lost]).lines


def test_a_project_that_was_refused_leaves_no_connection_behind(bedplate_clone: Clone) -> None:
    change_version(bedplate_clone, "DELETE FROM auth.schema_version")
    with pytest.raises(errors.OutdatedLine):
        open_project(settings=bedplate_clone.settings)
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(bedplate_clone.owner_url, autocommit=True) as owner:
        deadline = time.monotonic() + 30
        # The server notices a moment later that a connection was closed.
        while owner.execute(query).fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
