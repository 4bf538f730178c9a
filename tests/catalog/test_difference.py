from __future__ import annotations

import pytest

from bedplate.catalog import Change, canonical, connect, difference, fingerprint, read
from tests.databases import TestDatabase

SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.items (id int PRIMARY KEY, price numeric NOT NULL DEFAULT 0, note text);
CREATE INDEX items_price ON shop.items (price) WHERE note IS NULL;
"""
TEXT = """\
schema shop
table shop.items
    column id: integer NOT NULL
    column note: text
    column price: numeric DEFAULT 0 NOT NULL
    index items_price: CREATE INDEX items_price ON shop.items USING btree (price)\
 WHERE (note IS NULL)
    primary key items_pkey: PRIMARY KEY (id)
"""


def changes(database: TestDatabase, statement: str) -> tuple[Change, ...]:
    with connect(database.owner_url) as connection:
        before = read(connection, ["shop"])
        connection.execute(statement.encode())
        after = read(connection, ["shop"])
        found = difference(before, after)
        assert (fingerprint(before) == fingerprint(after)) == (not found)
        connection.rollback()
    return found


def test_nothing_is_named_when_nothing_changed(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
    assert changes(database, "SELECT 1") == ()


def test_what_came_as_a_whole_is_one_change(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
    (added,) = changes(database, "CREATE TABLE shop.shelves (id int PRIMARY KEY, label text)")
    assert (added.action, added.kind, added.name) == ("added", "table", "shop.shelves")
    assert added.after is not None
    assert "column label: text\n" in added.after
    assert added.before is None


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "ALTER TABLE shop.items ALTER note TYPE varchar(9)",
            "column shop.items.note was changed: text became character varying(9)",
        ),
        ("DROP INDEX shop.items_price", "index shop.items.items_price was removed"),
        ("ALTER TABLE shop.items ADD c int", "column shop.items.c was added"),
    ],
)
def test_a_change_says_itself_in_words(
    database: TestDatabase, statement: str, expected: str
) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
    assert [each.sentence for each in changes(database, statement)][:1] == [expected]


def test_the_canonical_text_is_one_line_for_each_object(database: TestDatabase) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(SHOP)
        text = canonical(read(connection, ["shop"]))
    extensions, schema = text.split("schema shop")
    assert "extension plpgsql: VERSION 1.0 SCHEMA pg_catalog" in extensions
    assert "schema shop" + schema == TEXT
