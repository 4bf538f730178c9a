"""Drift is named object by object, and a revision brings it back; other databases it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.catalog import connect
from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import MigrationFailed, SettingsError
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import Target
from tests.databases import Server, TestDatabase, new_database
from tests.operations.drifts import CLASSES, SCHEMA
from tests.operations.fake_module import FakeModule

STATEMENTS = SCHEMA.split("COMMENT ON SCHEMA shop IS 'A shop.';")[1]
LINE = f'''
def upgrade():
    lines.current().execute("""{STATEMENTS}""")

def downgrade():
    op.execute("DROP TABLE shop.items, shop.shelves, shop.events CASCADE")
    op.execute("DROP FUNCTION shop.vat(numeric)")
    op.execute("DROP FUNCTION shop.touch()")
    op.execute("DROP SEQUENCE shop.numbers")
    op.execute("DROP DOMAIN shop.weight")
    op.execute("DROP TYPE shop.size")
'''


@pytest.fixture
def module(tmp_path: Path) -> FakeModule:
    made = FakeModule(tmp_path)
    made.add("0001_shop", LINE)
    return made


@pytest.fixture
def database(kernel_database: TestDatabase) -> TestDatabase:
    return kernel_database


@pytest.fixture
def target(module: FakeModule, database: TestDatabase, tmp_path: Path) -> Target:
    made = _target(database, module, tmp_path)
    _apply(made)
    return made


@pytest.fixture
def other(server: Server) -> Iterator[TestDatabase]:
    with new_database(server) as made:
        yield made


def _target(database: TestDatabase, module: FakeModule, folder: Path) -> Target:
    return Target(
        registry=Registry([module.manifest()]),
        owner_url=database.owner_url,
        folder=folder,
        app_url=database.app_url,
        admin_url=database.admin_url,
    )


def _apply(target: Target) -> None:
    migrate.apply_unproven(
        target.registry,
        owner_url=target.owner_url,
        app_url=target.app_url,
        bindings=target.bindings,
    )


def _by_hand(target: Target, *statements: str) -> None:
    with connect(target.owner_url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_all_fourteen_classes_are_named_and_repaired_and_other_databases_left_alone(
    target: Target, module: FakeModule, other: TestDatabase
) -> None:
    assert migrate.diff(target, {}).clean
    _by_hand(target, *(drift.sql for drift in CLASSES))
    found = migrate.diff(target, {})
    named = {change.name for change in found.drift}
    assert [drift.what for drift in CLASSES if drift.named not in named] == []
    (repair,) = migrate.repairs(target, found)
    assert repair.is_revision
    assert repair.path == module.line / "0002_repair.py"
    _apply(target)
    assert [change.sentence for change in migrate.diff(target, {}).drift] == []

    clean = _target(other, module, target.folder)
    _apply(clean)
    assert migrate.diff(clean, {}).clean


def test_a_repair_for_another_drift_is_refused_and_nothing_changes(
    target: Target, module: FakeModule
) -> None:
    _by_hand(target, "COMMENT ON TABLE shop.items IS 'Other.'")
    migrate.repairs(target, migrate.diff(target, {}))
    _by_hand(target, "COMMENT ON TABLE shop.items IS 'Yet another.'")
    with pytest.raises(MigrationFailed, match="drafted for another drift"):
        _apply(target)
    assert [change.after for change in migrate.diff(target, {}).drift] == ["'Yet another.'"]


def test_a_database_behind_its_code_is_compared_with_what_it_is_at(
    target: Target, module: FakeModule
) -> None:
    module.add(
        "0002_more",
        "def upgrade():\n    op.execute('CREATE TABLE shop.more (id int)')\n"
        "def downgrade():\n    op.execute('DROP TABLE shop.more')\n",
    )
    assert migrate.diff(target, {}).clean


def test_what_others_add_to_a_tolerated_table_is_listed_and_left(target: Target) -> None:
    _by_hand(
        target,
        "ALTER TABLE shop.items ADD COLUMN theirs text",
        "CREATE INDEX ix_theirs ON shop.items (theirs)",
        "CREATE TABLE shop.theirs (id int)",
        "ALTER TABLE shop.items ALTER shelf_id DROP NOT NULL",
    )
    assert len(migrate.diff(target, {}).drift) == 4
    policies = {"shop.items": "tolerated", "shop.theirs": "tolerated"}
    found = migrate.diff(target, policies)  # type: ignore[arg-type]
    assert [change.name for change in found.drift] == ["shop.items.shelf_id"]
    assert [change.name for change in found.tolerated] == [
        "shop.items.ix_theirs",
        "shop.items.theirs",
        "shop.theirs",
    ]
    (repair,) = migrate.repairs(target, found)
    assert not any("theirs" in statement for statement in repair.statements)
    _apply(target)
    left = migrate.diff(target, policies)  # type: ignore[arg-type]
    assert left.clean
    assert len(left.tolerated) == 3


def test_an_observed_table_is_told_against_what_was_remembered(target: Target) -> None:
    _by_hand(target, "CREATE TABLE public.miners (id bigint PRIMARY KEY, name text)")
    assert migrate.diff(target, {"public.miners": "observed"}).observed == ()
    migrate.remember(target, {"public.miners": "observed"})
    _by_hand(target, "ALTER TABLE public.miners ADD COLUMN joined date")
    found = migrate.diff(target, {"public.miners": "observed"})
    assert [change.sentence for change in found.observed] == [
        "column public.miners.joined was added"
    ]
    assert found.clean
    migrate.remember(target, {"public.miners": "observed"})
    assert migrate.diff(target, {"public.miners": "observed"}).observed == ()


def test_of_an_external_table_only_what_is_bound_is_looked_at(
    target: Target, database: TestDatabase
) -> None:
    _by_hand(target, "CREATE TABLE public.people (id bigint PRIMARY KEY, mail text)")
    binding = Binding("public.people", "id", "bigint", {"email": "mail"})
    bound = Target(
        registry=target.registry,
        owner_url=target.owner_url,
        folder=target.folder,
        app_url=target.app_url,
        admin_url=target.admin_url,
        bindings={"users": binding},
    )
    assert migrate.diff(bound, {}).clean
    _by_hand(target, "ALTER TABLE public.people ADD COLUMN theirs text")
    assert migrate.diff(bound, {}).clean
    _by_hand(target, "ALTER TABLE public.people RENAME COLUMN mail TO email")
    assert migrate.diff(bound, {}).external == (
        "public.people has no column mail, which is bound as users.",
    )
    with pytest.raises(SettingsError, match="cannot be managed"):
        migrate.diff(bound, {"public.people": "managed"})
