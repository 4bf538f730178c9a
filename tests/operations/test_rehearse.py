"""The rehearsal: what it proves, and each way in which it must not."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.catalog import connect, fingerprint
from bedplate.kernel import registry as registries
from bedplate.kernel.columns import Identified
from bedplate.kernel.model import Model
from bedplate.kernel.registry import Registry
from bedplate.operations.migrate import proof as proofs
from bedplate.operations.migrate.copies import COPY
from bedplate.operations.migrate.plan import plan
from bedplate.operations.migrate.proof import Proof
from bedplate.operations.migrate.rehearse import prove
from bedplate.operations.migrate.state import read_state
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.target import Target
from bedplate.operations.migrate.unproven import apply_unproven
from tests.databases import TestDatabase
from tests.operations.fake_module import FakeModule, shop

HOST = """
CREATE SCHEMA host;
CREATE TABLE host.customers (id int PRIMARY KEY, name text);
INSERT INTO host.customers SELECT n, 'c' || n FROM generate_series(1, 20) n;
CREATE TABLE host.orders AS TABLE host.customers;
CREATE UNLOGGED TABLE host.visits (at int);
CREATE MATERIALIZED VIEW host.later AS SELECT id FROM host.customers WITH NO DATA;
"""


@pytest.fixture
def host(kernel_database: TestDatabase) -> TestDatabase:
    """A database that a host application lives in, and the kernel's line."""
    with psycopg.connect(kernel_database.owner_url) as owner:
        owner.execute(HOST)
    return kernel_database


def target_of(database: TestDatabase, folder: Path, registry: Registry) -> Target:
    return Target(
        registry=registry,
        owner_url=database.owner_url,
        app_url=database.app_url,
        admin_url=database.admin_url,
        folder=folder,
    )


def rehearsed(database: TestDatabase, folder: Path, module: FakeModule) -> Proof:
    return prove(target_of(database, folder, Registry([module.manifest()])))


def test_a_sound_plan_goes_up_down_and_up_and_the_live_database_is_as_it_was(
    database: TestDatabase, tmp_path: Path
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(HOST)
    host, target = database, target_of(database, tmp_path, registries.load(["auth", "credits"]))
    lines = target.registry.lines
    with connect(host.owner_url) as connection:
        before = read_state(connection, lines)
    seen: list[tuple[str, str]] = []

    def tell(step: Step) -> None:
        seen.append((step.direction, step.revision))

    proof = prove(target, on_step=tell)
    assert proof.reasons == ()
    assert proof.passed
    planned = [step.revision for step in plan(target).steps]
    assert [step.revision for step in proof.steps] == planned
    up = [("up", name) for name in planned]
    assert seen[: len(up)] == seen[-len(up) :] == up
    assert sorted(seen[len(up) : -len(up)]) == sorted(("down", name) for name in planned)
    assert (proof.ground, proof.data) == ("same server", "full")
    assert any("records of WAL" in witness for witness in proof.witnesses)
    with connect(host.owner_url) as connection:
        assert read_state(connection, lines) == before
    assert proofs.stored(tmp_path, plan(target)) == proof
    assert proofs.unfit(proof, plan(target)) is None


def test_what_is_applied_already_is_the_ground_the_next_revision_is_proven_on(
    shop_database: TestDatabase, tmp_path: Path
) -> None:
    module = shop(tmp_path)
    with psycopg.connect(shop_database.owner_url) as owner:
        owner.execute("INSERT INTO shop.shelves VALUES (gen_random_uuid(), 'top')")
    module.add(
        "0003_more",
        'def upgrade():\n    op.execute("ALTER TABLE shop.shelves ADD depth int")\n'
        'def downgrade():\n    op.execute("ALTER TABLE shop.shelves DROP depth")\n',
    )
    proof = rehearsed(shop_database, tmp_path, module)
    assert proof.reasons == ()
    assert [step.revision for step in proof.steps] == ["0003_more"]


def test_a_proof_fits_its_database_also_where_the_servers_number_is_nobodys_to_ask(
    host: TestDatabase, tmp_path: Path
) -> None:
    with psycopg.connect(host.admin_url) as admin:
        admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    target = target_of(host, tmp_path, Registry([shop(tmp_path).manifest()]))
    proof = prove(target)
    assert proof.reasons == ()
    assert proofs.unfit(proofs.stored(tmp_path, plan(target)), plan(target)) is None


TRACE = """
touches = Footprint(shape=["host.size"])
def upgrade():
    op.execute("CREATE TABLE shop.shelves (id int PRIMARY KEY)")
    op.execute("CREATE TYPE shop.size AS ENUM ('S')")
def downgrade():
    op.execute("DROP TABLE shop.shelves")
    op.execute("ALTER TYPE shop.size SET SCHEMA host")
"""
LOSS = """
touches = Footprint(rows=["host.customers", "host.orders"])
def upgrade():
    op.execute("UPDATE host.orders SET name = upper(name)")
def downgrade():
    op.execute("UPDATE host.orders SET name = initcap(name)")
    op.execute("DELETE FROM host.customers WHERE id = 7")
"""
NO_DOWN = """
def upgrade():
    op.execute("CREATE TABLE shop.shelves (id int PRIMARY KEY)")
"""
FAILS = """
def upgrade():
    op.execute("ALTER TABLE shop.nowhere ADD x int")
def downgrade(): ...
"""
ONCE = """
touches = Footprint(shape=["host.numbers"], rows=["host.numbers"])
def upgrade():
    op.execute("CREATE TABLE shop.shelves (id int PRIMARY KEY)")
    op.execute("CREATE SEQUENCE IF NOT EXISTS host.numbers")
    op.execute("DO $$ BEGIN IF nextval('host.numbers') > 1 THEN "
               "ALTER TABLE shop.shelves ADD twice int; END IF; END $$")
def downgrade():
    op.execute("DROP TABLE shop.shelves")
"""
ANOTHER_SESSION = """
import psycopg
def upgrade():
    op.execute("CREATE TABLE shop.shelves (id int PRIMARY KEY)")
    url = op.get_bind().connection.driver_connection.info
    with psycopg.connect(url.dsn, password=url.password) as other:
        other.execute({statement!r})
def downgrade():
    op.execute("DROP TABLE shop.shelves")
"""
IMPORT = "from bedplate.kernel.footprint import Footprint\n"


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (TRACE, ["leaves a trace: enum host.size"]),
        (LOSS, ["leaves 19 rows in host.customers, which had 20", "other rows in host.orders"]),
        (NO_DOWN, ["downgrade"]),
        (FAILS, ["0001_first failed with 42P01"]),
    ],
    ids=["a trace", "other rows", "no way back", "a failing revision"],
)
def test_a_plan_that_does_not_go_back_is_not_proven(
    host: TestDatabase, tmp_path: Path, body: str, reasons: list[str]
) -> None:
    module = FakeModule(tmp_path)
    module.add("0001_first", IMPORT + body)
    proof = rehearsed(host, tmp_path, module)
    for reason in reasons:
        assert any(reason in each for each in proof.reasons), proof.reasons


def test_a_second_way_up_that_leads_elsewhere_is_not_proven(
    host: TestDatabase, tmp_path: Path
) -> None:
    module = FakeModule(tmp_path)
    module.add("0001_first", IMPORT + ONCE)
    proof = rehearsed(host, tmp_path, module)
    found = [each for each in proof.reasons if "second way up" in each]
    assert any("twice" in each for each in found), proof.reasons


def test_what_a_revision_writes_over_another_connection_is_seen(
    host: TestDatabase, tmp_path: Path
) -> None:
    """Also where the revision declares the table: that is said of its own transaction."""
    statement = (
        "UPDATE host.customers SET name = 'x' WHERE id = 3;"
        "INSERT INTO host.visits VALUES (1); TRUNCATE host.orders"
    )
    module = FakeModule(tmp_path)
    module.add(
        "0001_first",
        f'{IMPORT}touches = Footprint(rows=["host.customers"])'
        + ANOTHER_SESSION.format(statement=statement),
    )
    proof = rehearsed(host, tmp_path, module)
    for table in ("host.customers", "host.orders", "host.visits"):
        sentence = f"Another session than the migration's own changed {table}"
        assert any(each.startswith(sentence) for each in proof.reasons), proof.reasons


def test_the_log_is_read_to_its_end_however_much_was_written(
    host: TestDatabase, tmp_path: Path
) -> None:
    """Of a table that the revision declares nothing but the log tells whose a row is."""
    module = FakeModule(tmp_path)
    body = ANOTHER_SESSION.format(statement="UPDATE host.customers SET name = 'x' WHERE id = 3")
    # More than one of the log's files, of 16 MB each.
    fill = "SELECT pg_logical_emit_message(false, 'x', repeat('x', 20000000))"
    module.add(
        "0001_first",
        f'{IMPORT}touches = Footprint(rows=["host.customers"])'
        + body.replace("def upgrade():", f"def upgrade():\n    op.execute({fill!r})"),
    )
    proof = rehearsed(host, tmp_path, module)
    assert any("records of WAL" in witness for witness in proof.witnesses), proof.witnesses
    assert any("changed host.customers" in each for each in proof.reasons), proof.reasons


def test_what_has_no_way_back_is_labelled_and_not_taken_back(
    host: TestDatabase, tmp_path: Path
) -> None:
    module = FakeModule(tmp_path)
    module.add(
        "0001_first", 'irreversible = "Names are gone for good."\ndef upgrade():\n    pass\n'
    )
    module.add(
        "0002_second", IMPORT + TRACE.replace("ALTER TYPE shop.size SET SCHEMA host", "SELECT 1")
    )
    proof = rehearsed(host, tmp_path, module)
    assert any("Names are gone for good" in note for note in proof.notes)
    assert [step.irreversible for step in proof.steps][-2:] == ["Names are gone for good.", None]
    # What comes after it is taken back, and held to it.
    assert any("leaves a trace: enum shop.size" in each for each in proof.reasons)


class Jar(Identified, Model):
    """What the models say of larder.jars."""

    __tablename__ = "jars"
    __table_args__ = ({"schema": "larder", "comment": "What stands in the larder."},)

    label: Mapped[str] = mapped_column(sa.Text, unique=True, comment="What is in it.")


JARS = """
def upgrade():
    op.create_table(
        "jars",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Key (UUIDv7)."),
        sa.Column("label", sa.Text, nullable=False, unique=True, comment="What is in it."),
        schema="larder",
        comment="What stands in the larder.",
    )
    op.execute("CREATE FUNCTION larder.count() RETURNS int LANGUAGE sql RETURN 1")
    op.execute("CREATE TABLE larder.without_a_model (id int)")
def downgrade():
    op.execute("DROP TABLE larder.without_a_model, larder.jars; DROP FUNCTION larder.count")
"""


def larder(folder: Path) -> FakeModule:
    module = FakeModule(folder, "larder")
    module.add("0001_jars", JARS)
    return module


def test_models_that_say_something_else_than_the_line_fail_the_proof(
    host: TestDatabase, tmp_path: Path
) -> None:
    module = larder(tmp_path)
    module.add(
        "0002_change",
        f'{IMPORT}irreversible = "It is a test."\n'
        "def upgrade():\n"
        '    op.execute("ALTER TABLE larder.jars ADD depth int, ALTER label TYPE varchar(9)")\n'
        '    op.execute("ALTER TABLE larder.jars DROP CONSTRAINT uq_jars_label")\n'
        'touches = Footprint(shape=["larder.jars"], rewritten=["larder.jars"])\n',
    )
    proof = prove(target_of(host, tmp_path, Registry([module.manifest(models=(Jar,))])))
    for reason in (
        "The line makes column larder.jars.depth",
        "The models say column larder.jars.label is text",
        "The models have unique constraint larder.jars.uq_jars_label",
    ):
        assert any(each.startswith(reason) for each in proof.reasons), proof.reasons


def test_what_was_changed_by_hand_in_the_live_database_is_noted_and_fails_nothing(
    host: TestDatabase, tmp_path: Path
) -> None:
    registry = Registry([larder(tmp_path).manifest(models=(Jar,))])
    apply_unproven(registry, owner_url=host.owner_url, app_url=host.app_url)
    with psycopg.connect(host.owner_url) as owner:
        owner.execute("CREATE INDEX by_hand ON larder.jars (id, label)")
    proof = prove(target_of(host, tmp_path, registry))
    assert proof.reasons == ()
    assert any("by_hand" in note for note in proof.notes)


def test_a_fingerprint_does_not_see_what_the_runner_writes_for_itself(
    shop_database: TestDatabase, tmp_path: Path
) -> None:
    registry = Registry([shop(tmp_path).manifest()])
    with connect(shop_database.owner_url) as connection:
        state = read_state(connection, registry.lines)
    assert "shop.schema_version" not in state.contents
    assert "shop.shelves" in state.contents
    assert state.fingerprint == fingerprint(state.snapshot)


def test_another_rehearsal_on_the_same_server_is_nobodys_doing(
    shop_database: TestDatabase, tmp_path: Path
) -> None:
    """It makes a copy with settings of its own, as that of any database that has some."""
    other = f"{COPY}_of_{shop_database.name}"
    module = shop(tmp_path)
    module.add(
        "0003_meanwhile",
        "def upgrade():\n"
        "    import psycopg\n"
        f"    with psycopg.connect({shop_database.admin_url!r}, autocommit=True) as another:\n"
        f"        another.execute('DROP DATABASE IF EXISTS {other}')\n"
        f"        another.execute('CREATE DATABASE {other}')\n"
        f"        another.execute('ALTER DATABASE {other} SET jit = off')\n"
        "def downgrade():\n    pass\n",
    )
    try:
        assert rehearsed(shop_database, tmp_path, module).reasons == ()
    finally:
        with psycopg.connect(shop_database.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(other)))
