from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from bedplate.catalog import connect, contents, fingerprint, read, tools
from bedplate.kernel.errors import ToolFailed, ToolsMissing
from tests.databases import Server, TestDatabase, new_database


def major_of(url: str) -> int:
    with connect(url) as connection:
        return connection.info.server_version // 10_000


def test_a_dump_restored_elsewhere_is_the_same_database(
    server: Server, database: TestDatabase, tmp_path: Path
) -> None:
    with connect(database.owner_url) as connection:
        connection.execute("""
            CREATE SCHEMA shop;
            CREATE TABLE shop.items (id int PRIMARY KEY, note text DEFAULT 'x' CHECK (note <> ''));
            INSERT INTO shop.items VALUES (1, 'secret'), (2, NULL);
        """)
        before = read(connection, ["shop"]), contents(connection, ["shop"])
    programs = tools(major_of(database.owner_url))
    programs.dump(database.owner_url, tmp_path / "dump", ["--schema=shop", "--jobs=2"])
    with new_database(server) as other:
        programs.restore(other.owner_url, tmp_path / "dump", ["--single-transaction"])
        with connect(other.owner_url) as connection:
            after = read(connection, ["shop"]), contents(connection, ["shop"])
    assert fingerprint(before[0]) == fingerprint(after[0])
    assert before[1] == after[1]


# In place of what a newer server has noted already.
NOTES_WHEN_TYPED = """
UPDATE pg_attribute SET attoptions = CASE
    WHEN attname = 'last' THEN options || '{pg_attver=22096736}'
    ELSE '{pg_attver=22096736}'::text[] || options END
FROM (
    SELECT attrelid AS relation, attnum AS number,
           ARRAY(SELECT o FROM unnest(attoptions) AS o WHERE o NOT LIKE 'pg_attver=%') AS options
    FROM pg_attribute
) AS others
WHERE attrelid = relation AND attnum = number AND attnum > 0
  AND relation IN ('shop.items'::regclass, 'shop.parts'::regclass)
"""


def test_a_dump_of_a_newer_release_is_restored_on_an_older_one(
    server: Server, database: TestDatabase, tmp_path: Path
) -> None:
    """Our programs may be older than the server: they take its notes for options of columns."""
    with connect(database.admin_url) as connection:
        connection.execute("""
            CREATE SCHEMA shop;
            CREATE TABLE shop.items (id int, "odd
name" text, first int, last int, SET int) PARTITION BY RANGE (id);
            CREATE TABLE shop.parts PARTITION OF shop.items FOR VALUES FROM (0) TO (10);
            ALTER TABLE shop.items ALTER first SET (n_distinct = 5, n_distinct_inherited = 6);
            ALTER TABLE shop.items ALTER last SET (n_distinct = 7);
            ALTER TABLE shop.items ALTER id SET STATISTICS 77;
        """)
        connection.execute(NOTES_WHEN_TYPED)
        before = read(connection, ["shop"])
    programs = tools(major_of(database.owner_url))
    programs.dump(database.admin_url, tmp_path / "dump", ["--schema=shop"])
    assert b"pg_attver" not in (tmp_path / "dump" / "toc.dat").read_bytes()
    with new_database(server) as other:
        programs.restore(other.admin_url, tmp_path / "dump", ["--jobs=2"])
        with connect(other.owner_url) as connection:
            assert read(connection, ["shop"]) == before


def test_a_failure_says_why_and_shows_no_password(database: TestDatabase, tmp_path: Path) -> None:
    programs = tools(major_of(database.owner_url))
    url = psycopg.conninfo.make_conninfo(database.owner_url, dbname="nothing", password="hush")
    with pytest.raises(ToolFailed) as failed:
        programs.dump(url, tmp_path / "dump")
    assert "pg_dump failed: " in str(failed.value)
    assert "hush" not in str(failed.value)


def test_a_restore_that_fails_shows_no_row(database: TestDatabase, tmp_path: Path) -> None:
    programs = tools(major_of(database.owner_url))
    with connect(database.owner_url) as connection:
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, note text UNIQUE)")
        connection.execute("INSERT INTO items VALUES (1, 'secret')")
    programs.dump(database.owner_url, tmp_path / "dump")
    with pytest.raises(ToolFailed) as failed:
        programs.restore(database.owner_url, tmp_path / "dump", ["--data-only"])
    assert "secret" not in str(failed.value)


def test_programs_that_take_too_long_are_ended(database: TestDatabase, tmp_path: Path) -> None:
    programs = tools(major_of(database.owner_url))
    with connect(database.owner_url) as connection:
        connection.execute("CREATE TABLE items ()")
        connection.commit()
        connection.execute("LOCK items")
        with pytest.raises(ToolFailed, match="took longer than 1 s"):
            programs.dump(database.owner_url, tmp_path / "dump", timeout_s=1)


def test_a_major_version_that_is_not_here_is_told_by_type() -> None:
    with pytest.raises(ToolsMissing, match="postgresql-client-9"):
        tools(9)
    with pytest.raises(ToolsMissing, match="no pg_nothing"):
        tools(18).program("pg_nothing")
    assert "18" in tools(18).run("pg_dump", ["--version"]).stdout
