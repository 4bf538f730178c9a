"""Statements drafted from two snapshots lead from the one to the other, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from bedplate.catalog import Connection, Snapshot, connect, difference, read
from bedplate.kernel import registry
from bedplate.operations import migrate
from bedplate.operations.migrate.draft import statements
from tests.databases import Server, TestDatabase, new_database
from tests.operations.drifts import DRIFTS, SCHEMA, Drift

OURS = ["auth", "credits"]


def _run(connection: Connection, drafted: Sequence[str]) -> None:
    with connection.transaction():
        for statement in drafted:
            connection.execute(statement.encode())


def _told(before: Snapshot, after: Snapshot) -> list[str]:
    return [change.sentence for change in difference(before, after)]


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[Connection]:
    """A connection inside of a transaction that ends with the module; each test has a savepoint."""
    with (
        new_database(server) as made,
        connect(made.owner_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(SCHEMA.encode())
        yield connection


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda each: each.what)
def test_every_class_of_object_is_changed_and_changed_back(shop: Connection, drift: Drift) -> None:
    with shop.transaction(force_rollback=True):
        before = read(shop, ["shop"])
        shop.execute(drift.sql.encode())
        after = read(shop, ["shop"])
        assert drift.named in {change.name for change in difference(before, after)}
        _run(shop, statements(after, before))
        assert _told(before, read(shop, ["shop"])) == []
        _run(shop, statements(before, after))
        assert _told(after, read(shop, ["shop"])) == []


def test_a_whole_schema_is_made_from_nothing_and_taken_away(database: TestDatabase) -> None:
    with connect(database.owner_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        full = read(connection, ["shop"])
        connection.execute("DROP SCHEMA shop CASCADE")
        connection.execute("CREATE SCHEMA shop; COMMENT ON SCHEMA shop IS 'A shop.'")
        bare = read(connection, ["shop"])
        _run(connection, statements(bare, full))
        assert _told(full, read(connection, ["shop"])) == []
        _run(connection, statements(full, bare))
        assert _told(bare, read(connection, ["shop"])) == []


def test_our_own_schemas_are_made_without_their_lines(
    server: Server, database: TestDatabase
) -> None:
    with new_database(server) as other:
        for place, names in ((database, OURS), (other, [])):
            migrate.apply_unproven(
                registry.load(names), owner_url=place.owner_url, app_url=place.app_url
            )
        with (
            connect(database.owner_url, autocommit=True) as made,
            connect(other.owner_url, autocommit=True) as drafted,
        ):
            full = read(made, OURS)
            for name in OURS:
                drafted.execute(f"CREATE SCHEMA {name}".encode())
            bare = read(drafted, OURS)
            _run(drafted, statements(bare, full))
            assert _told(full, read(drafted, OURS)) == []
            _run(drafted, statements(full, bare))
            assert _told(bare, read(drafted, OURS)) == []


# Names decide where nothing else does: the reader brings its table before the trigger's function.
CALLING = """
CREATE TABLE called.rows (id int);
CREATE FUNCTION called.a_reader() RETURNS bigint LANGUAGE sql STABLE
    BEGIN ATOMIC SELECT count(*) FROM called.rows; END;
CREATE FUNCTION called.z_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER tr_rows BEFORE INSERT ON called.rows
    FOR EACH ROW EXECUTE FUNCTION called.z_guard();
CREATE FUNCTION called.z_visible() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE POLICY visible ON called.rows USING (called.z_visible());
"""


def test_a_table_goes_with_the_functions_that_it_calls(shop: Connection) -> None:
    with shop.transaction(force_rollback=True):
        shop.execute("CREATE SCHEMA called")
        bare = read(shop, ["called"])
        shop.execute(CALLING)
        full = read(shop, ["called"])
        _run(shop, statements(full, bare))
        assert _told(bare, read(shop, ["called"])) == []
        _run(shop, statements(bare, full))
        assert _told(full, read(shop, ["called"])) == []


def test_equal_snapshots_need_no_statement(shop: Connection) -> None:
    snapshot = read(shop, ["shop"])
    assert statements(snapshot, snapshot) == ()


def test_a_rule_that_came_out_of_a_dump_is_no_other_rule(shop: Connection) -> None:
    with shop.transaction(force_rollback=True):
        before = read(shop, ["shop"])
        (rule,) = (
            each for each in before.tables[-1].constraints if each.name == "shelves_label_check"
        )
        assert "::text[]" in rule.definition
        shop.execute("ALTER TABLE shop.shelves DROP CONSTRAINT shelves_label_check")
        again = f"ALTER TABLE shop.shelves ADD CONSTRAINT shelves_label_check {rule.definition}"
        shop.execute(again.encode())
        restored = read(shop, ["shop"])
        assert restored != before
        assert statements(before, restored) == ()
