from __future__ import annotations

from bedplate.catalog import connect, sizes
from tests.databases import TestDatabase


def test_a_tables_size_is_told_with_its_indexes_apart(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute("""
            CREATE SCHEMA shop;
            CREATE TABLE shop.items (id int PRIMARY KEY, note text);
            CREATE TABLE shop.events (at int) PARTITION BY RANGE (at);
            CREATE TABLE shop.low PARTITION OF shop.events FOR VALUES FROM (0) TO (9);
        """)
        found = sizes(connection, ["shop"])
        assert list(found) == ["shop.items", "shop.low"]
        assert found["shop.items"].rows_estimated is None
        assert found["shop.low"].total_bytes == 0
        connection.execute("INSERT INTO shop.items SELECT n, 'x' FROM generate_series(1, 5000) n")
        connection.execute("ANALYZE shop.items")
        items = sizes(connection, ["shop"])["shop.items"]
    assert items.rows_estimated == 5000
    assert items.table_bytes > 100_000
    assert items.index_bytes > 50_000
    assert items.total_bytes == items.table_bytes + items.index_bytes
