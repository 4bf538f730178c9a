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
