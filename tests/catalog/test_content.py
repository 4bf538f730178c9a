from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from bedplate.catalog import (
    Connection,
    Content,
    connect,
    content,
    contents,
    has_rows,
    user_schemas,
)
from bedplate.kernel.errors import UsageError
from tests.databases import Server, TestDatabase, new_database

ROWS = """
CREATE SCHEMA shop;
CREATE TABLE shop.items (id int, note text, price float8, doc json, at timestamptz, money money);
INSERT INTO shop.items VALUES
    (1, NULL, 0.1, '{"a": 1}', '2030-01-01 12:00Z', 1.5),
    (2, '', 0.2, '{}', '2030-06-01 12:00Z', 2),
    (3, 'x', 0.30000000000000004, NULL, NULL, NULL);
"""


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    with new_database(server) as database, connect(database.owner_url) as made:
        made.execute(ROWS)
        made.commit()
        yield made


def hash_after(connection: Connection, *statements: str) -> Content:
    with connection.transaction(force_rollback=True):
        for statement in statements:
            connection.execute(statement.encode())
        return content(connection, "shop", "items")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE shop.t AS TABLE shop.items; TRUNCATE shop.items;"
        " INSERT INTO shop.items SELECT * FROM shop.t ORDER BY id DESC",
        "UPDATE shop.items SET id = id",
        "ALTER TABLE shop.items ADD tmp int; ALTER TABLE shop.items DROP tmp",
        "ALTER TABLE shop.items RENAME note TO old; ALTER TABLE shop.items ADD note text;"
        " UPDATE shop.items SET note = old; ALTER TABLE shop.items DROP old",
        "SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET extra_float_digits = -5;"
        " SET search_path = shop",
        "CREATE TABLE shop.child () INHERITS (shop.items); INSERT INTO shop.child VALUES (9)",
    ],
)
def test_the_same_rows_have_the_same_hash(connection: Connection, statement: str) -> None:
    assert hash_after(connection, statement) == hash_after(connection)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE shop.items SET note = '' WHERE id = 1",
        "UPDATE shop.items SET note = NULL WHERE id = 2",
        "UPDATE shop.items SET note = 'NULL' WHERE id = 1",
        "UPDATE shop.items SET price = 0.3 WHERE id = 3",
        "UPDATE shop.items SET id = 3 - id WHERE id < 3",
        "UPDATE shop.items SET doc = '{\"a\":1}' WHERE id = 1",
        "UPDATE shop.items SET at = at + interval '1 microsecond'",
        "DELETE FROM shop.items WHERE id = 1",
        "INSERT INTO shop.items TABLE shop.items",
        "TRUNCATE shop.items",
    ],
)
def test_other_rows_have_another_hash(connection: Connection, statement: str) -> None:
    assert hash_after(connection, statement).hash != hash_after(connection).hash


def test_a_row_that_is_there_twice_is_seen(connection: Connection) -> None:
    doubled = "INSERT INTO shop.items SELECT * FROM shop.items WHERE id = 1"
    twice, again = hash_after(connection, doubled), hash_after(connection, doubled, doubled)
    assert (twice.rows, again.rows) == (4, 6)
    assert twice.hash != again.hash


def test_partitions_are_listed_and_views_are_not(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute("""
            CREATE SCHEMA shop;
            CREATE TABLE shop.events (at int) PARTITION BY RANGE (at);
            CREATE TABLE shop.low PARTITION OF shop.events FOR VALUES FROM (0) TO (9);
            CREATE TABLE shop.high PARTITION OF shop.events FOR VALUES FROM (9) TO (20);
            CREATE VIEW shop.seen AS TABLE shop.events;
            CREATE TABLE shop."No columns" ();
            INSERT INTO shop.events VALUES (1), (10), (11);
        """)
        found = contents(connection, ["shop"])
        assert {name: each.rows for name, each in found.items()} == {
            "shop.No columns": 0,
            "shop.high": 2,
            "shop.low": 1,
        }
        whole = content(connection, "shop", "events")
        assert whole == content(connection, "shop", "seen")
        assert whole.rows == 3


def test_a_view_that_was_never_filled_has_no_content(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute("""
            CREATE SCHEMA shop;
            CREATE MATERIALIZED VIEW shop.later AS SELECT 1 AS id WITH NO DATA;
            CREATE MATERIALIZED VIEW shop.filled AS SELECT 1 AS id;
        """)
        assert list(contents(connection, ["shop"])) == ["shop.filled"]
        with pytest.raises(UsageError, match=r"shop\.later .*REFRESH MATERIALIZED VIEW"):
            content(connection, "shop", "later")


def test_a_table_that_is_not_there_is_a_typed_error(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection, pytest.raises(UsageError):
        content(connection, "shop", "items")


def test_half_of_a_table_never_passes_for_all_of_it(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(ROWS)
        connection.execute("ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY")
        connection.execute("GRANT USAGE ON SCHEMA shop TO PUBLIC")
        connection.execute("GRANT SELECT ON shop.items TO PUBLIC")
        assert content(connection, "shop", "items").rows == 3
    with connect(database.app_url) as connection:
        assert has_rows(connection, ["shop"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            content(connection, "shop", "items")


def test_a_schema_is_the_users_own_unless_postgresql_or_an_extension_made_it(
    database: TestDatabase,
) -> None:
    with connect(database.admin_url) as connection:
        connection.execute("CREATE SCHEMA shop")
        assert user_schemas(connection) == ["public", "shop"]


def test_rows_are_found_wherever_they_are(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.items (id int)")
        assert not has_rows(connection, ["shop"])
        connection.execute("INSERT INTO shop.items VALUES (1)")
        assert has_rows(connection, ["shop"])
        assert not has_rows(connection, ["public"])
        assert not has_rows(connection, ["shop"], but=["shop.items"])
        connection.execute("DELETE FROM shop.items")
        assert not has_rows(connection, ["shop"])
