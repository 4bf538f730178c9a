from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from bedplate.catalog import Snapshot, connect, read
from bedplate.kernel import registry as registries
from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import (
    AuthenticationFailed,
    DatabaseUnreachable,
    MigrationFailed,
    OutdatedLine,
    SchemaNotOurs,
    SchemaRefused,
    UsageError,
)
from bedplate.kernel.lines import KERNEL_LINE
from bedplate.kernel.registry import Registry
from bedplate.operations import migrate
from bedplate.operations.migrate import LineStatus, Step, patience
from tests.databases import TestDatabase
from tests.operations.fake_module import FakeModule, shop

Apply = Callable[..., tuple[LineStatus, ...]]


@pytest.fixture
def apply(database: TestDatabase) -> Apply:
    def run(registry: Registry, **options: object) -> tuple[LineStatus, ...]:
        return migrate.apply_unproven(
            registry,
            owner_url=database.owner_url,
            app_url=database.app_url,
            **options,  # type: ignore[arg-type]
        )

    return run


def snapshot(database: TestDatabase, *schemas: str) -> Snapshot:
    with connect(database.owner_url) as connection:
        return read(connection, schemas or ("bedplate", "shop", "auth", "public"))


def test_apply_brings_every_line_to_its_head_and_then_does_nothing(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    registry = Registry([shop(tmp_path).manifest()])
    assert [each.state for each in migrate.status(registry, database.app_url)] == ["behind"] * 2
    ran: list[Step] = []
    applied = apply(registry, on_step=ran.append)
    assert [(each.name, each.current, each.state) for each in applied] == [
        ("bedplate", KERNEL_LINE.head, "current"),
        ("shop", "0002_items", "current"),
    ]
    assert [step.revision for step in ran] == [
        *KERNEL_LINE.revisions,
        "0001_shelves",
        "0002_items",
    ]
    assert apply(registry, on_step=ran.append) == applied
    assert len(ran) == len(KERNEL_LINE.revisions) + 2
    for url in (database.app_url, database.reader_url):
        assert migrate.status(registry, url) == applied


def test_every_shipped_revision_goes_up_down_and_up_again(
    apply: Apply, database: TestDatabase
) -> None:
    registry = registries.load(["auth"])
    before = snapshot(database)
    apply(registry)
    up = snapshot(database)
    for line in reversed(registry.lines):
        for revision in reversed((None, *line.revisions[:-1])):
            migrate.undo(registry, line.name, to=revision, owner_url=database.owner_url)
    assert snapshot(database) == before
    apply(registry)
    assert snapshot(database) == up


def test_a_line_goes_back_one_revision_at_a_time(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    registry = Registry([shop(tmp_path).manifest()])
    apply(registry)
    found = migrate.undo(registry, "shop", to="0001_shelves", owner_url=database.owner_url).line
    assert (found.current, found.pending) == ("0001_shelves", ("0002_items",))
    assert [table.name for table in snapshot(database, "shop").tables] == [
        "schema_version",
        "shelves",
    ]
    with pytest.raises(UsageError, match="0001_shelves"):
        migrate.undo(registry, "shop", to="0002_items", owner_url=database.owner_url)


def test_the_app_gets_data_and_nothing_else(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    apply(Registry([shop(tmp_path).manifest()]))
    insert = "INSERT INTO shop.items (id, price) VALUES (gen_random_uuid(), 1)"
    with psycopg.connect(database.app_url, autocommit=True) as app:
        app.execute(insert)
        for statement in (
            "UPDATE shop.items SET price = 2",
            "TRUNCATE shop.items",
            "DROP TABLE shop.items",
            "CREATE TABLE shop.more ()",
            "CREATE SCHEMA mine",
            "UPDATE shop.schema_version SET version_num = 'x'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)
    with psycopg.connect(database.reader_url, autocommit=True) as reader:
        assert reader.execute("SELECT count(*) FROM shop.items").fetchone() == (1,)
        reader.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(insert)


def test_one_role_for_everything_needs_no_grants(database: TestDatabase, tmp_path: Path) -> None:
    registry = Registry([shop(tmp_path).manifest()])
    migrate.apply_unproven(registry, owner_url=database.owner_url, app_url=database.owner_url)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        psycopg.connect(database.app_url).execute("SELECT FROM shop.items")


def test_of_many_at_once_one_applies_and_the_others_find_nothing_to_do(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    registry = Registry([shop(tmp_path).manifest()])
    shop_line = registry.lines[-1]
    ran: list[str] = []
    start = threading.Barrier(6)

    def one(_: int) -> tuple[LineStatus, ...]:
        start.wait()
        return apply(registry, on_step=lambda step: ran.append(step.revision))

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(one, range(6)))
    assert all(each.state == "current" for outcome in outcomes for each in outcome)
    assert ran == [*KERNEL_LINE.revisions, *shop_line.revisions]


def test_a_failing_revision_leaves_nothing_and_says_what_failed(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    module = shop(tmp_path)
    module.add(
        "0003_broken",
        "def upgrade():\n"
        '    op.execute("CREATE TABLE shop.half ()")\n'
        '    op.execute("\\n -- why\\n ALTER TABLE shop.nowhere\\n ADD x int")\n'
        "def downgrade(): ...\n",
    )
    registry = Registry([module.manifest()])
    with pytest.raises(MigrationFailed) as failure:
        apply(registry)
    message = str(failure.value)
    for part in ("shop", "0003_broken", "42P01", "at: ALTER TABLE shop.nowhere.", "apply again."):
        assert part in message
    assert migrate.status(registry, database.app_url)[1].current == "0002_items"
    assert "half" not in {table.name for table in snapshot(database, "shop").tables}


def test_a_failing_first_revision_leaves_no_schema(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    module = FakeModule(tmp_path)
    module.add("0001_odd", "def upgrade():\n    raise KeyError('odd')\n")
    with pytest.raises(MigrationFailed, match=r"0001_odd failed with KeyError: 'odd'"):
        apply(Registry([module.manifest()]))
    assert snapshot(database, "shop").schemas == ()


def test_a_failure_does_not_quote_rows(apply: Apply, tmp_path: Path) -> None:
    module = FakeModule(tmp_path)
    module.add(
        "0001_cast",
        "def upgrade():\n"
        "    op.execute(\"CREATE TABLE shop.t AS SELECT concat('sec', 'ret') AS x\")\n"
        '    op.execute("ALTER TABLE shop.t ALTER x TYPE int USING x::int")\n',
    )
    with pytest.raises(MigrationFailed) as failure:
        apply(Registry([module.manifest()]))
    assert "22P02" in str(failure.value)
    assert "secret" not in repr(failure.value) + str(failure.value)


def test_a_lock_held_by_others_is_waited_for_and_then_named(
    apply: Apply, database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = shop(tmp_path)
    registry = Registry([module.manifest()])
    apply(registry)
    module.add(
        "0003_more",
        'def upgrade():\n    op.execute("ALTER TABLE shop.items ADD more int")\n'
        'def downgrade():\n    op.execute("ALTER TABLE shop.items DROP more")\n',
    )
    monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (100,) * 2)
    with psycopg.connect(database.owner_url) as busy:
        busy.execute("SELECT FROM shop.items")
        with pytest.raises(MigrationFailed, match="55P03"):
            apply(registry)
        monkeypatch.setattr(patience, "LOCK_TIMEOUTS_MS", (100,) * 50)
        timer = threading.Timer(0.5, busy.rollback)
        timer.start()
        assert apply(registry)[1].current == "0003_more"
        timer.join()


def test_a_schema_that_is_not_ours_is_refused_before_anything_changes(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    with psycopg.connect(database.owner_url) as host:
        host.execute("CREATE SCHEMA shop; CREATE TABLE shop.schema_version (version_num text)")
    registry = Registry([shop(tmp_path).manifest()])
    before = snapshot(database)
    with pytest.raises(SchemaNotOurs, match="shop"):
        apply(registry)
    assert snapshot(database) == before
    assert migrate.status(registry, database.app_url)[1].state == "foreign"


def test_a_server_that_refuses_schemas_is_answered_with_the_grant_to_run(
    database: TestDatabase, tmp_path: Path
) -> None:
    registry = Registry([shop(tmp_path).manifest()])
    with pytest.raises(SchemaRefused) as refusal:
        migrate.apply_unproven(registry, owner_url=database.app_url)
    grant = str(refusal.value).split("run: ")[1]
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(grant)
    migrate.apply_unproven(registry, owner_url=database.app_url)


def test_a_database_ahead_of_the_code_is_left_alone(
    apply: Apply, database: TestDatabase, tmp_path: Path
) -> None:
    module = shop(tmp_path)
    registry = Registry([module.manifest()])
    apply(registry)
    (module.line / "0002_items.py").unlink()
    with pytest.raises(OutdatedLine, match="0002_items"):
        apply(registry)
    assert migrate.status(registry, database.app_url)[1].state == "ahead"


@pytest.mark.parametrize(
    ("name", "before"), [("0003_fork", "0001_shelves"), ("stray", "0002_items")]
)
def test_files_that_do_not_form_a_line_are_refused_before_anything_runs(
    apply: Apply, database: TestDatabase, tmp_path: Path, name: str, before: str
) -> None:
    module = shop(tmp_path)
    module.before = before
    module.add(name, "def upgrade(): ...\n")
    with pytest.raises(MigrationFailed, match=name):
        apply(Registry([module.manifest()]))
    assert snapshot(database, "shop").schemas == ()


def test_a_file_that_cannot_be_read_is_named(apply: Apply, tmp_path: Path) -> None:
    module = FakeModule(tmp_path)
    module.add("0001_typo", "def upgrade(:\n")
    with pytest.raises(MigrationFailed, match="SyntaxError"):
        apply(Registry([module.manifest()]))


@pytest.mark.parametrize(("key_type", "sql_type"), [("text", "text"), ("bigint", "bigint")])
def test_an_adopted_users_table_keeps_its_name_and_key(
    apply: Apply, database: TestDatabase, key_type: str, sql_type: str
) -> None:
    with psycopg.connect(database.owner_url) as host:
        host.execute(f'CREATE TABLE public."User" (_id {sql_type} PRIMARY KEY)'.encode())
    before = snapshot(database, "public")
    bindings = {"users": Binding("public.User", key="_id", key_type=key_type)}
    registry = registries.load(["auth"])
    apply(registry, bindings=bindings)
    (auth,) = snapshot(database, "auth").schemas
    (preferences,) = [table for table in auth.tables if table.name == "user_preferences"]
    (column,) = [each for each in preferences.columns if each.name == "user_id"]
    (reference,) = [rule.references for rule in preferences.foreign_keys]
    assert column.type == sql_type
    assert reference is not None
    assert (reference.schema, reference.table, reference.columns) == ("public", "User", ("_id",))
    assert "users" not in {table.name for table in auth.tables}
    migrate.undo(registry, "auth", to=None, owner_url=database.owner_url, bindings=bindings)
    assert snapshot(database, "public") == before


def test_the_clock_is_inlined_and_can_be_replaced(apply: Apply, database: TestDatabase) -> None:
    apply(Registry([]))
    with psycopg.connect(database.owner_url) as owner:
        plan = owner.execute("EXPLAIN (VERBOSE, COSTS OFF) SELECT bedplate.now()").fetchall()
        assert "bedplate.now" not in str(plan)
        owner.execute(
            "CREATE OR REPLACE FUNCTION bedplate.now() RETURNS timestamptz LANGUAGE sql STABLE "
            "AS $$ SELECT '2030-01-01Z'::timestamptz $$"
        )
        row = owner.execute(
            "SELECT extract(year FROM bedplate.now() AT TIME ZONE 'UTC')"
        ).fetchone()
        assert row == (2030,)


def test_an_unreachable_server_or_a_wrong_password_is_a_typed_error(
    database: TestDatabase,
) -> None:
    nowhere = "postgresql://x:hush@127.0.0.1:1/x"
    with pytest.raises(DatabaseUnreachable) as failure:
        migrate.apply_unproven(Registry([]), owner_url=nowhere)
    assert "hush" not in str(failure.value)
    wrong = psycopg.conninfo.make_conninfo(database.owner_url, password="hush")
    with pytest.raises(AuthenticationFailed) as refusal:
        migrate.apply_unproven(Registry([]), owner_url=wrong)
    assert "hush" not in str(refusal.value)
