"""Databases to rehearse on: like the live one, apart from it, and gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bedplate.catalog import connect, read
from bedplate.kernel import embedded
from bedplate.kernel import registry as registries
from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import EmbeddedError, RehearsalRefused
from bedplate.operations import migrate
from bedplate.operations.migrate import copies, expected, private_server, sample
from bedplate.operations.migrate.copies import COPY
from bedplate.operations.migrate.ground import Ground, grounds
from bedplate.operations.migrate.target import Target
from tests.databases import TestDatabase

HOST = """
CREATE SCHEMA host;
CREATE TYPE host.plan AS ENUM ('FREE', 'PAID');
CREATE TABLE host."User" (_id text PRIMARY KEY, plan host.plan NOT NULL DEFAULT 'FREE');
INSERT INTO host."User" VALUES ('u1'), ('u2');
"""
BOUND = {"users": Binding("host.User", key="_id", key_type="text")}


def target_of(database: TestDatabase, folder: Path, **bindings: Binding) -> Target:
    return Target(
        registry=registries.load(["auth", "credits"]),
        owner_url=database.owner_url,
        app_url=database.app_url,
        admin_url=database.admin_url,
        folder=folder,
        bindings=bindings,
    )


@pytest.fixture
def target(database: TestDatabase, tmp_path: Path) -> Target:
    return target_of(database, tmp_path)


@pytest.fixture
def given(target: Target) -> Target:
    """The same database as DATABASE_URL gives it: nobody's administrator."""
    return replace(target, admin_url=None)


@pytest.fixture
def ground(target: Target) -> Iterator[Ground]:
    with grounds(target) as found:
        yield found


def databases(database: TestDatabase) -> set[str]:
    with psycopg.connect(database.admin_url) as admin:
        return {name for (name,) in admin.execute("SELECT datname FROM pg_database")}


def users(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = 'SELECT _id FROM host."User" ORDER BY _id'
        return [key for (key,) in connection.execute(query)]


@pytest.mark.parametrize("in_use", [False, True], ids=["cloned", "dumped"])
def test_a_copy_has_the_rows_and_the_rights_of_the_live_database_and_is_gone_afterwards(
    target: Target, ground: Ground, database: TestDatabase, in_use: bool
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(HOST)
        owner.execute('GRANT USAGE ON SCHEMA host TO PUBLIC; GRANT SELECT ON host."User" TO PUBLIC')
    busy = psycopg.connect(database.app_url) if in_use else None
    with ground.copy() as copy:
        assert copy.data == "full"
        assert copy.app_url is not None
        assert users(copy.app_url) == ["u1", "u2"]
        with psycopg.connect(copy.owner_url) as owner:
            owner.execute("DELETE FROM host.\"User\" WHERE _id = 'u1'")
        with psycopg.connect(copy.admin_url) as admin:
            query = "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
            assert admin.execute(query).fetchone() == (False,)
    if busy is not None:
        busy.close()
    assert users(database.owner_url) == ["u1", "u2"]
    # Other tests make databases on the same server meanwhile.
    assert copy.name not in databases(database)


@pytest.mark.parametrize("private", [False, True], ids=["same server", "private server"])
def test_whom_a_database_lets_in_by_default_its_copy_lets_in_too(
    target: Target, given: Target, database: TestDatabase, private: bool
) -> None:
    with psycopg.connect(database.admin_url) as admin:
        # As CREATE DATABASE leaves it, and no other statement makes it again.
        admin.execute("UPDATE pg_database SET datacl = NULL WHERE datname = %s", [database.name])
    with grounds(given if private else target) as ground, ground.copy() as copy:
        assert copy.app_url is not None
        with psycopg.connect(copy.app_url) as app:
            query = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
            assert app.execute(query).fetchone() == (True,)


def test_what_a_killed_rehearsal_left_is_dropped_by_the_next(
    target: Target, database: TestDatabase
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {COPY}_1_1".encode())
    with grounds(target):
        assert f"{COPY}_1_1" not in databases(database)


def test_the_lines_alone_are_what_apply_makes(
    target: Target, ground: Ground, database: TestDatabase
) -> None:
    lines = expected.from_lines(target, ground)
    migrate.apply_unproven(target.registry, owner_url=database.owner_url, app_url=database.app_url)
    with connect(database.owner_url) as connection:
        assert read(connection, ["bedplate", "auth", "credits"]) == lines


SHOP = """
CREATE SCHEMA host;
CREATE TABLE host.customers (id int PRIMARY KEY, referrer int REFERENCES host.customers);
CREATE TABLE host.orders (
    id int, at date, customer int REFERENCES host.customers,
    doubled int GENERATED ALWAYS AS (id * 2) STORED,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE host.orders_old PARTITION OF host.orders FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE host.orders_new PARTITION OF host.orders FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
CREATE TABLE host.items (
    "order" int, at date, line int,
    FOREIGN KEY ("order", at) REFERENCES host.orders
);
INSERT INTO host.customers SELECT n, nullif(n - 1, 0) FROM generate_series(1, 60) n;
INSERT INTO host.orders SELECT n, date '2019-11-01' + n, 61 - n FROM generate_series(1, 60) n;
INSERT INTO host.items SELECT o.id, o.at, 1 FROM host.orders o ORDER BY id DESC;
"""


def counted(url: str) -> dict[str, int]:
    found: dict[str, int] = {}
    with psycopg.connect(url) as connection:
        for name in ("customers", "orders", "items"):
            (row,) = connection.execute(f"SELECT count(*) FROM host.{name}".encode()).fetchall()
            found[name] = row[0]
    return found


@pytest.mark.parametrize("private", [False, True], ids=["same server", "private server"])
def test_of_a_large_database_some_rows_are_copied_with_all_that_they_refer_to(
    target: Target,
    given: Target,
    database: TestDatabase,
    private: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(SHOP)
    monkeypatch.setattr(copies, "FULL_BYTES_MAX", 0)
    monkeypatch.setattr(sample, "ROWS_PER_TABLE", 3)
    with grounds(given if private else target) as ground, ground.copy() as copy:
        assert ground.kind == ("private server" if private else "same server")
        assert copy.data == "sampled"
        found = counted(copy.owner_url)
    # Three of the last orders' lines need those orders; a customer needs who brought him, and so on
    # down to the first: PostgreSQL has checked each of them.
    assert found["items"] == 3
    assert 3 <= found["orders"] < 12
    assert found["customers"] >= found["orders"]


DRAWN = """
CREATE SCHEMA host;
CREATE TABLE host.tickets (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
INSERT INTO host.tickets (what) SELECT 'x' FROM generate_series(1, 40);
CREATE SEQUENCE host.numbers START 7;
CREATE SEQUENCE host.untouched START 5 INCREMENT -1 MAXVALUE 5;
SELECT nextval('host.numbers');
CREATE MATERIALIZED VIEW host.loud AS SELECT id, upper(what) AS what FROM host.tickets;
CREATE MATERIALIZED VIEW host.few AS SELECT count(*) AS n FROM host.loud;
CREATE MATERIALIZED VIEW host.later AS SELECT id FROM host.tickets WITH NO DATA;
"""


@pytest.mark.parametrize("sampled", [False, True], ids=["full", "sampled"])
def test_a_copy_goes_on_counting_where_the_live_database_is_and_its_views_are_filled(
    given: Target, database: TestDatabase, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(DRAWN)
    monkeypatch.setattr(copies, "FULL_BYTES_MAX", 0 if sampled else copies.FULL_BYTES_MAX)
    monkeypatch.setattr(sample, "ROWS_PER_TABLE", 10)
    with (
        grounds(given) as ground,
        ground.copy() as copy,
        psycopg.connect(copy.owner_url) as owner,
    ):
        assert copy.data == ("sampled" if sampled else "full")

        def one(query: str) -> object:
            (row,) = owner.execute(query.encode()).fetchall()
            return row[0]

        # Of the key that the live database would give next, whichever rows were copied.
        assert one("INSERT INTO host.tickets (what) VALUES ('y') RETURNING id") == 41
        assert one("SELECT nextval('host.numbers')") == 8
        assert one("SELECT nextval('host.untouched')") == 5
        rows = 10 if sampled else 40
        assert (one("SELECT count(*) FROM host.loud"), one("SELECT n FROM host.few")) == (
            rows,
            rows,
        )
        query = "SELECT relispopulated FROM pg_class WHERE oid = 'host.later'::regclass"
        assert one(query) is False


def test_a_view_that_some_of_the_rows_cannot_fill_is_named(
    given: Target, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            "CREATE SCHEMA host; CREATE TABLE host.numbers (n int);"
            "INSERT INTO host.numbers VALUES (1), (2);"
            "CREATE MATERIALIZED VIEW host.share AS SELECT 1 / (count(*) - 1) FROM host.numbers"
        )
    monkeypatch.setattr(copies, "FULL_BYTES_MAX", 0)
    monkeypatch.setattr(sample, "ROWS_PER_TABLE", 1)
    refused = pytest.raises(RehearsalRefused, match=r"host\.share .*division by zero")
    with grounds(given) as ground, refused, ground.copy():
        pass


def test_a_private_server_has_the_roles_the_rights_and_the_rows_and_leaves_nothing(
    given: Target, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(HOST)
        owner.execute('GRANT USAGE ON SCHEMA host TO PUBLIC; GRANT SELECT ON host."User" TO PUBLIC')
    # Of our own: other tests rehearse meanwhile.
    home = tempfile.mkdtemp(prefix="homes-")
    monkeypatch.setattr(tempfile, "tempdir", home)
    with grounds(given) as ground:
        assert ground.kind == "private server"
        assert len(list(Path(home).glob("bedplate-rehearsal-*"))) == 1
        with ground.copy() as copy:
            assert copy.app_url is not None
            assert users(copy.app_url) == ["u1", "u2"]
            with psycopg.connect(copy.owner_url) as owner:
                query = "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user"
                assert owner.execute(query).fetchone() == (database.roles[0], False)
                server = owner.info.server_version // 10_000
            with psycopg.connect(database.owner_url) as live:
                assert live.info.server_version // 10_000 == server
    assert list(Path(home).glob("bedplate-rehearsal-*")) == []
    shutil.rmtree(home)
    assert users(database.owner_url) == ["u1", "u2"]


def test_where_no_server_of_that_version_can_be_had_the_reason_is_told(
    given: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(folder: Path, *, major: int, durable: bool) -> object:
        raise EmbeddedError(f"The embedded server has no PostgreSQL {major}.", "")

    monkeypatch.setattr(embedded, "attach", attach)
    refused = pytest.raises(RehearsalRefused, match=r"has no PostgreSQL \d+.*--without-proof")
    with refused, grounds(given):
        pass


def test_an_extension_that_the_private_server_lacks_is_named(
    given: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_server, "AVAILABLE", "SELECT 'other'")
    refused = pytest.raises(RehearsalRefused, match=r"lacks extensions .* uses: .*plpgsql")
    with refused, grounds(given):
        pass


@pytest.mark.parametrize("what", ["TABLE closed.safe (id int)", "SEQUENCE closed.numbers"])
@pytest.mark.parametrize("sampled", [False, True], ids=["full", "sampled"])
def test_what_the_owner_may_not_read_is_named_with_the_grant(
    given: Target,
    database: TestDatabase,
    what: str,
    sampled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(copies, "FULL_BYTES_MAX", 0 if sampled else copies.FULL_BYTES_MAX)
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(f"CREATE SCHEMA closed; CREATE {what}".encode())
    refused = pytest.raises(RehearsalRefused, match=r"(closed|numbers).*pg_read_all_data")
    with grounds(given) as ground, refused, ground.copy():
        pass
