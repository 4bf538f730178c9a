"""`bedplate.audit_log` shows the logs of the enabled modules, after every apply and undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.kernel import registry as registries
from bedplate.kernel.audit import AuditLogged
from bedplate.kernel.errors import MigrationFailed
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Step, lock
from tests.databases import TestDatabase
from tests.operations.fake_module import FakeModule

LOGGED = """
from bedplate.kernel import audit

def upgrade():
    op.create_table("shelves", sa.Column("id", sa.Integer, primary_key=True), schema="shop")
    lines.grant("shelves")
    audit.create_log(["SHELF_PAINTED"], captures=True)
    audit.capture("shelves")

def downgrade():
    audit.release("shelves")
    audit.drop_log()
    op.drop_table("shelves", schema="shop")
"""


class Log(AuditLogged):
    """Says that the module has a log; no test reads it as a model."""


class Modules:
    """`auth` and a module `shop` with a log, and the registries they make."""

    def __init__(self, folder: Path) -> None:
        module = FakeModule(folder)
        module.add("0001_shelves", LOGGED)
        self.auth = registries.load(("auth",)).by_name["auth"]
        self.shop = ModuleManifest(
            name="shop",
            package=module.package,
            models=(Log,),  # type: ignore[arg-type]
            requires=("auth",),
        )
        self.both = Registry([self.auth, self.shop])
        self.only_auth = Registry([self.auth])


@pytest.fixture
def database(kernel_database: TestDatabase) -> TestDatabase:
    return kernel_database


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    return Modules(tmp_path)


def apply(database: TestDatabase, registry: Registry) -> list[Step]:
    steps: list[Step] = []
    migrate.apply_unproven(
        registry, owner_url=database.owner_url, app_url=database.app_url, on_step=steps.append
    )
    return steps


def query(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def shown(url: str) -> list[Any]:
    return query(url, "SELECT module, action, entity_type FROM bedplate.audit_log ORDER BY module")


def change_both(database: TestDatabase) -> None:
    query(database.app_url, "INSERT INTO auth.users (id) VALUES (gen_random_uuid())")
    query(database.app_url, "INSERT INTO shop.shelves VALUES (1)")


AUTH = ("auth", "ROW_INSERTED", "users")
SHOP = ("shop", "ROW_INSERTED", "shelves")


def test_the_view_shows_every_enabled_modules_log(database: TestDatabase, modules: Modules) -> None:
    apply(database, modules.both)
    change_both(database)
    for url in (database.app_url, database.reader_url, database.owner_url):
        assert shown(url) == [AUTH, SHOP]


def test_it_follows_what_is_enabled_where_nothing_else_is_to_do(
    database: TestDatabase, modules: Modules
) -> None:
    apply(database, modules.both)
    change_both(database)
    assert apply(database, modules.only_auth) == []
    assert shown(database.app_url) == [AUTH]
    assert apply(database, modules.both) == []
    assert shown(database.app_url) == [AUTH, SHOP]


def test_where_nothing_changed_nothing_is_made_anew(
    database: TestDatabase, modules: Modules
) -> None:
    apply(database, modules.both)
    version = query(database.owner_url, "SELECT max(xmin::text::bigint) FROM pg_rewrite")
    # Whoever has nothing to do does not even wait for another migration.
    with lock.held(database.owner_url):
        assert apply(database, modules.both) == []
    assert query(database.owner_url, "SELECT max(xmin::text::bigint) FROM pg_rewrite") == version


def test_without_any_log_it_is_empty_and_of_the_same_shape(
    database: TestDatabase, modules: Modules
) -> None:
    def shape() -> list[Any]:
        return query(
            database.owner_url,
            "SELECT attname, atttypid::regtype::text, col_description(attrelid, attnum) <> ''"
            " FROM pg_attribute WHERE attrelid = 'bedplate.audit_log'::regclass ORDER BY attnum",
        )

    apply(database, Registry([]))
    assert shown(database.app_url) == []
    empty = shape()
    apply(database, modules.both)
    assert shape() == empty
    assert all(commented for _, _, commented in empty)


def test_a_module_goes_out_of_it_before_its_line_goes_back(
    database: TestDatabase, modules: Modules
) -> None:
    apply(database, modules.both)
    change_both(database)
    migrate.undo(modules.both, "shop", to=None, owner_url=database.owner_url)
    assert shown(database.app_url) == [AUTH]
    migrate.undo(modules.both, "auth", to="0001_users", owner_url=database.owner_url)
    assert shown(database.reader_url) == []
    query(database.app_url, "INSERT INTO auth.users (id) VALUES (gen_random_uuid())")
    assert [step.revision for step in apply(database, modules.both)] == [
        *("0002_audit_logs", "0001_shelves"),
    ]
    change_both(database)
    assert shown(database.app_url) == [AUTH, SHOP]


def test_the_kernels_own_line_takes_it_away_and_brings_it_back(
    database: TestDatabase, modules: Modules
) -> None:
    apply(database, modules.both)
    change_both(database)
    for name in ("shop", "auth"):
        migrate.undo(modules.both, name, to=None, owner_url=database.owner_url)
    migrate.undo(modules.both, "bedplate", to="0002_append_only", owner_url=database.owner_url)
    assert query(database.owner_url, "SELECT to_regclass('bedplate.audit_log')") == [(None,)]
    apply(database, modules.both)
    change_both(database)
    assert shown(database.app_url) == [AUTH, SHOP]


def test_an_undo_that_fails_is_mended_by_the_next_apply(
    database: TestDatabase, modules: Modules
) -> None:
    apply(database, modules.both)
    change_both(database)
    query(database.owner_url, "CREATE VIEW public.mine AS SELECT * FROM shop.shelves")
    with pytest.raises(MigrationFailed):
        migrate.undo(modules.both, "shop", to=None, owner_url=database.owner_url)
    assert shown(database.app_url) == [AUTH]
    apply(database, modules.both)
    assert shown(database.app_url) == [AUTH, SHOP]


def test_one_role_serving_for_all_is_enough(database: TestDatabase, modules: Modules) -> None:
    migrate.apply_unproven(modules.both, owner_url=database.owner_url)
    query(database.owner_url, "INSERT INTO shop.shelves VALUES (1)")
    assert shown(database.owner_url) == [SHOP]
