from __future__ import annotations

import threading

import psycopg
import pytest

from bedplate.catalog import Reference, connect, read, read_versions
from bedplate.kernel.errors import AuthenticationFailed, DatabaseUnreachable
from bedplate.kernel.lines import KERNEL_LINE
from tests.databases import TestDatabase

SHOP = """
CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'A shop.';
CREATE TYPE shop.size AS ENUM ('SMALL', 'LARGE');
COMMENT ON TYPE shop.size IS 'How big.';
CREATE FUNCTION shop.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE TABLE shop.shelves (id uuid PRIMARY KEY, label varchar(20) NOT NULL UNIQUE);
COMMENT ON TABLE shop.shelves IS 'Shelves.';
COMMENT ON COLUMN shop.shelves.label IS 'On its front.';
CREATE TABLE shop.items (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shelf_id uuid REFERENCES shop.shelves ON DELETE CASCADE,
    price numeric(12, 2) NOT NULL DEFAULT 0 CONSTRAINT price_positive CHECK (price >= 0),
    size shop.size,
    gross numeric GENERATED ALWAYS AS (price * 2) STORED,
    gone int
);
ALTER TABLE shop.items DROP gone;
CREATE INDEX items_shelf ON shop.items (shelf_id, lower(price::text)) WHERE price > 0;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE VIEW shop.cheap AS SELECT number FROM shop.items WHERE price < 1;
CREATE TABLE shop.events (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE shop.events_2030 PARTITION OF shop.events
    FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
"""


def test_a_snapshot_holds_what_the_database_has(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
        snapshot = read(connection, ["shop", "not_there"])
    (shop,) = snapshot.schemas
    assert snapshot.schema("shop") is shop
    assert snapshot.schema("not_there") is None
    assert shop.comment == "A shop."
    assert [(each.name, each.labels, each.comment) for each in shop.enums] == [
        ("size", ("SMALL", "LARGE"), "How big.")
    ]
    assert [(each.name, each.arguments, each.returns) for each in shop.functions] == [
        ("touch", "", "trigger"),
        ("twice", "n integer", "integer"),
    ]
    assert [(table.name, table.kind, table.partition_of) for table in snapshot.tables] == [
        ("cheap", "view", None),
        ("events", "partitioned table", None),
        ("events_2030", "table", "shop.events"),
        ("items", "table", None),
        ("shelves", "table", None),
    ]


def test_a_table_holds_its_columns_keys_indexes_and_triggers(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
        tables = {table.name: table for table in read(connection, ["shop"]).tables}
    items, shelves = tables["items"], tables["shelves"]
    assert [(each.name, each.type, each.nullable) for each in items.columns] == [
        ("number", "bigint", False),
        ("shelf_id", "uuid", True),
        ("price", "numeric(12,2)", False),
        ("size", "shop.size", True),
        ("gross", "numeric", True),
    ]
    number, _, price, _, gross = items.columns
    assert (number.identity, price.default, gross.generated) == ("always", "0", "stored")
    assert items.primary_key == ("number",)
    (reference,) = items.foreign_keys
    assert reference.references == Reference("shop", "shelves", ("id",))
    assert reference.definition.endswith("REFERENCES shop.shelves(id) ON DELETE CASCADE")
    assert [(rule.name, rule.kind) for rule in items.constraints] == [
        ("items_pkey", "primary key"),
        ("items_shelf_id_fkey", "foreign key"),
        ("price_positive", "check"),
    ]
    _, shelf = items.indexes
    assert shelf.keys == ("shelf_id", "lower(price::text)")
    assert (shelf.unique, shelf.valid, shelf.predicate) == (False, True, "(price > (0)::numeric)")
    assert [each.name for each in items.triggers] == ["touched"]
    assert (shelves.comment, shelves.columns[1].comment) == ("Shelves.", "On its front.")
    assert shelves.is_unique(("label", "id"))
    assert not items.is_unique(("shelf_id",))


def test_a_snapshot_is_the_same_whoever_reads_and_leaves_the_session_alone(
    database: TestDatabase,
) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
    snapshots = []
    for url in (database.owner_url, database.app_url, database.admin_url):
        with connect(url) as connection:
            connection.execute("SET search_path = shop, public")
            snapshots.append(read(connection, ["shop"]))
            assert connection.execute("SHOW search_path").fetchone() == ("shop, public",)
    assert snapshots[0] == snapshots[1] == snapshots[2]
    assert hash(snapshots[0]) == hash(snapshots[1])


def test_when_a_column_got_its_type_is_no_option_of_it(database: TestDatabase) -> None:
    """PostgreSQL's releases of November 2026 say so in attoptions; older ones, told to, as well."""
    with connect(database.admin_url) as connection:
        connection.execute(SHOP)
        connection.execute("ALTER TABLE shop.items ALTER price SET (n_distinct = 5)")
        snapshots = []
        for since in ("pg_attver=17", "pg_attver=18"):
            connection.execute(
                "UPDATE pg_attribute SET attoptions = %s::text[]"
                " || CASE WHEN attname = 'price' THEN '{n_distinct=5}'::text[] END"
                " WHERE attrelid = 'shop.items'::regclass AND attnum > 0",
                [[since]],
            )
            snapshots.append(read(connection, ["shop"]))
    assert snapshots[0] == snapshots[1]
    (items,) = (table for table in snapshots[0].tables if table.name == "items")
    assert {each.name: each.settings for each in items.columns if each.settings} == {
        "price": ("SET (n_distinct=5)",)
    }


def test_a_reading_goes_on_while_others_make_and_drop_tables(database: TestDatabase) -> None:
    done = threading.Event()

    def churn() -> None:
        with connect(database.owner_url, autocommit=True) as other:
            while not done.is_set():
                other.execute(
                    "CREATE TABLE shop.passing (id serial PRIMARY KEY, a int CHECK (a>0))"
                )
                other.execute("CREATE VIEW shop.seen AS SELECT id FROM shop.passing WHERE a > 1")
                other.execute("DROP VIEW shop.seen; DROP TABLE shop.passing")
                # Who never rests may be told CatalogMoved: 20 attempts in a row would meet it.
                done.wait(0.05)

    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
        connection.commit()
        expected = {table.name for table in read(connection, ["shop"]).tables}
        connection.rollback()
        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(20):
                found = {table.name for table in read(connection, ["shop"]).tables}
                assert found - {"passing", "seen"} == expected
        finally:
            done.set()
            thread.join()


def test_a_schema_without_our_mark_is_foreign(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        assert not read_versions(connection, [KERNEL_LINE])["bedplate"].foreign
        connection.execute("CREATE SCHEMA bedplate")
        assert read_versions(connection, [KERNEL_LINE])["bedplate"].foreign


def test_a_connection_that_cannot_be_made_is_a_typed_error(database: TestDatabase) -> None:
    with pytest.raises(DatabaseUnreachable):
        connect("postgresql://somebody@127.0.0.1:1/nothing")
    for part in ({"password": "wrong"}, {"dbname": "nothing"}):
        url = psycopg.conninfo.make_conninfo(database.owner_url, **part)
        with pytest.raises(AuthenticationFailed):
            connect(url)
