"""On a rehearsal's copy nobody else works: what another session does there fails the proof."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bedplate.kernel.registry import Registry
from bedplate.operations.migrate.proof import Proof
from bedplate.operations.migrate.rehearse import prove
from bedplate.operations.migrate.target import Target
from tests.databases import Server, TestDatabase, new_database
from tests.operations.battery.cases import CASES
from tests.operations.battery.world import WORLD, WORLD_18
from tests.operations.fake_module import FakeModule

# Those that leave everything as it was: committed or not, there is nothing to find.
WITHOUT_A_TRACE = frozenset(
    {
        *("nothing", "select", "select for update", "lock", "explain", "analyze", "reindex"),
        *("update of no row", "delete of no row", "insert of no row", "on conflict nothing"),
        *("a rule that refuses", "undone by savepoint", "undone by exception", "rename undone"),
        *("column grant undone", "temporary table", "collation version"),
    }
)
# At least one for each way in which a change is found; with --full the whole battery is tried.
CHOSEN = frozenset(
    {
        *("select for update", "update", "large object written", "truncate", "setval"),
        *("drop table", "drop and make again", "rename column", "drop column", "rename table"),
        *("rename label", "drop check", "drop index", "new trigger", "comment of a host"),
        *("drop view", "table in a host", "index of a host", "column grant of a host"),
    }
)
SECOND = """
import psycopg
irreversible = "It is a test."
def upgrade():
    info = op.get_bind().connection.driver_connection.info
    with psycopg.connect(info.dsn, password=info.password) as other:
        other.execute({statements!r})
"""
IMPORT = "from bedplate.kernel.footprint import Footprint\n"


def elsewhere(statements: str) -> str:
    """The module's own schema comes with its line, so that the battery's world has another."""
    moved = statements.replace("shop.", "stock.").replace("SCHEMA shop", "SCHEMA stock")
    return moved.replace("'shop'", "'stock'")


@pytest.fixture(scope="module")
def world_template(server: Server, kernel_template: str) -> Iterator[str]:
    with new_database(server, kernel_template) as made:
        with psycopg.connect(made.owner_url) as owner:
            owner.execute(elsewhere("CREATE SCHEMA shop;" + WORLD).encode())
            if owner.info.server_version >= 180_000:
                owner.execute(elsewhere(WORLD_18).encode())
            owner.execute(f"GRANT SELECT ON stock.items TO {made.roles[1]}".encode())
        yield made.name


@pytest.fixture
def world(server: Server, world_template: str) -> Iterator[TestDatabase]:
    with new_database(server, world_template) as made:
        yield made


def rehearsed(database: TestDatabase, folder: Path, *bodies: str) -> Proof:
    module = FakeModule(folder)
    for number, body in enumerate(bodies, start=1):
        module.add(f"{number:04}_step", IMPORT + body)
    return prove(
        Target(
            registry=Registry([module.manifest()]),
            owner_url=database.owner_url,
            app_url=database.app_url,
            admin_url=database.admin_url,
            folder=folder,
        )
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each.name, marks=() if each.name in CHOSEN else pytest.mark.full)
        for each in CASES
        if not (each.superuser or each.meanwhile or each.extension)
    ],
)
def test_what_a_revision_does_over_a_connection_of_its_own_is_not_proven(
    world: TestDatabase, tmp_path: Path, name: str
) -> None:
    (tried,) = (each for each in CASES if each.name == name)
    with psycopg.connect(world.owner_url) as owner:
        if owner.info.server_version < tried.major * 10_000:
            pytest.skip(f"PostgreSQL {tried.major} knows it, and this one does not")
    statements = elsewhere(tried.statements).replace("{app}", world.roles[1])
    proof = rehearsed(world, tmp_path, SECOND.format(statements=statements))
    assert proof.passed == (name in WITHOUT_A_TRACE), proof.reasons


OWN = """
irreversible = "It is a test."
touches = Footprint(
    rows=["stock.events", "stock.walled", "pg_catalog.pg_largeobject"],
    rewritten=["stock.items", "stock.m_items"],
    shape=["stock.items", "stock.child", "stock.orders", "stock.log", "host.users"],
    behaviour=["stock.walled", "stock.log"],
)
def upgrade():
    op.execute("TRUNCATE stock.events")
    op.execute("UPDATE stock.walled SET a = 2")
    op.execute("ALTER TABLE stock.items ALTER label TYPE varchar(99) USING 'x' || label")
    op.execute("REFRESH MATERIALIZED VIEW stock.m_items")
    op.execute("DROP TABLE stock.child, stock.log, stock.orders")
    op.execute("ALTER INDEX stock.ix_items_label RENAME TO ix_other")
    op.execute("ALTER STATISTICS stock.seen RENAME TO known")
    op.execute("COMMENT ON COLUMN stock.items.id IS 'x'")
    op.execute("CREATE TABLE shop.fans (id serial, user_id text REFERENCES host.users)")
    op.execute("CREATE INDEX ON host.users (born)")
    op.execute("DROP TRIGGER tr_walled ON stock.walled")
    op.execute("SELECT lo_put(4242, 0, 'x')")
"""


def test_what_the_migration_declares_and_does_itself_is_nobody_elses(
    world: TestDatabase, tmp_path: Path
) -> None:
    with psycopg.connect(world.owner_url) as owner:
        # Its text would depend on the column that is to change.
        owner.execute("DROP VIEW stock.v_items")
        owner.execute("CREATE STATISTICS stock.seen ON id, price FROM stock.items")
    proof = rehearsed(world, tmp_path, OWN)
    assert proof.reasons == ()


MIGRATE = "bedplate.operations.migrate"


@pytest.mark.parametrize(
    ("guard", "instead", "statement"),
    [
        (
            "witness_queries.IS_REHEARSED",
            "SELECT false",
            "ALTER TABLE stock.items DROP CONSTRAINT items_price_check",
        ),
        ("second_sessions.LARGE_OBJECTS", {}, "SELECT lo_put(4242, 0, 'x')"),
    ],
    ids=["the copy tells that it is one", "large objects"],
)
def test_without_it_something_is_missed(
    world: TestDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    guard: str,
    instead: object,
    statement: str,
) -> None:
    monkeypatch.setattr(f"{MIGRATE}.{guard}", instead)
    assert rehearsed(world, tmp_path, SECOND.format(statements=statement)).passed


THROUGH_DBLINK = """
irreversible = "It is a test."
def upgrade():
    info = op.get_bind().connection.driver_connection.info
    where = f"host={{info.hostaddr}} port={{info.port}} dbname={{info.dbname}}"
    who = f"user={{info.user}} password={{info.password}}"
    op.execute(f"SELECT public.dblink_exec($_${{where}} {{who}}$_$, '{statement}')")
"""


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE host.users SET born = NULL", "host.users"),
        ("DROP TABLE host.posts", "host.posts"),
        ("ALTER TABLE host.users DROP born", "host.users"),
        ("ALTER TABLE host.users RENAME born TO c", "host.users"),
        ("TRUNCATE host.posts", "host.posts"),
    ],
)
def test_a_write_through_dblink_is_not_proven(
    world: TestDatabase, tmp_path: Path, statement: str, table: str
) -> None:
    """The attack that no witness inside the transaction sees."""
    with psycopg.connect(world.admin_url) as admin:
        query = "SELECT FROM pg_available_extensions WHERE name = 'dblink'"
        if admin.execute(query).fetchone() is None:
            pytest.skip("this server has no dblink")
        admin.execute("CREATE EXTENSION dblink SCHEMA public")
        admin.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    proof = rehearsed(world, tmp_path, THROUGH_DBLINK.format(statement=statement))
    sentence = f"Another session than the migration's own changed {table}"
    assert any(each.startswith(sentence) for each in proof.reasons), proof.reasons
