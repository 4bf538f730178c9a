"""Generated rows against the database, which is the judge of what is valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bedplate.catalog import Connection, connect
from bedplate.kernel.errors import UsageError
from bedplate.testing import GeneratedRows, generate_rows
from bedplate.testing.generated_rows import Shapes
from bedplate.testing.generated_rows.patterns import matching
from tests.databases import Server, TestDatabase, new_database

EVERY_TYPE = """
CREATE TYPE host.size AS ENUM ('small', 'it''s "large"');
CREATE DOMAIN host.percent AS int CHECK (VALUE BETWEEN 40 AND 60) NOT NULL;
CREATE DOMAIN host.code AS varchar(3) CHECK (VALUE = upper(VALUE) AND VALUE <> 'VALUE');
CREATE DOMAIN host.short_code AS host.code CHECK (length(VALUE) = 2);
CREATE TABLE host.types (
    a uuid NOT NULL, b text NOT NULL, c varchar(2) NOT NULL, d char(3) NOT NULL, e bigint NOT NULL,
    f int NOT NULL, g smallint NOT NULL, h numeric(5, 2) NOT NULL, i numeric NOT NULL,
    j real NOT NULL, k double precision NOT NULL, l bool NOT NULL, m date NOT NULL,
    n timestamptz(3) NOT NULL, o timestamp NOT NULL, p time NOT NULL, q timetz NOT NULL,
    r interval NOT NULL, s json NOT NULL, t jsonb NOT NULL, u text[] NOT NULL, v int[][] NOT NULL,
    w host.size NOT NULL, x host.size[] NOT NULL, y host.percent, z host.code NOT NULL,
    aa host.short_code NOT NULL, ab bytea NOT NULL, ac inet NOT NULL, ad cidr NOT NULL,
    ae macaddr NOT NULL, af macaddr8 NOT NULL, ag int4range NOT NULL, ah numrange NOT NULL,
    ai tstzrange NOT NULL, aj daterange NOT NULL, ak int8multirange NOT NULL, al xid8 NOT NULL,
    am xid NOT NULL, an oid NOT NULL, ao pg_lsn NOT NULL, ap bit(5) NOT NULL, aq varbit NOT NULL,
    ar point NOT NULL, at box NOT NULL, au path NOT NULL, av polygon NOT NULL, aw circle NOT NULL,
    ax line NOT NULL, ay lseg NOT NULL, az tsvector NOT NULL, ba tsquery NOT NULL,
    bb money NOT NULL, bc name NOT NULL, bd "char" NOT NULL, be regclass NOT NULL,
    bf jsonpath NOT NULL, bg timestamptz[] NOT NULL, bh numeric(2, 0) NOT NULL,
    " cost" int NOT NULL, "100% {sure}" text NOT NULL
);
"""

EVERY_RULE = """
CREATE TABLE host.people (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL CHECK (email = btrim(email) AND position('@' in email) > 1),
    deleted_at timestamptz,
    nation char(2) NOT NULL CHECK (length(nation) = 2),
    shouted text GENERATED ALWAYS AS (upper(email)) STORED CHECK (shouted LIKE '%@%')
);
CREATE UNIQUE INDEX uq_people_email ON host.people (lower(email)) WHERE deleted_at IS NULL;
CREATE TABLE host.bookings (
    id serial PRIMARY KEY,
    person_id int NOT NULL REFERENCES host.people,
    follows int REFERENCES host.bookings,
    room int NOT NULL CHECK (room IN (7, 8)),
    kind text NOT NULL DEFAULT 'day' CHECK (kind ~ '^(day|night)$' OR kind = 'week'),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    days int4range NOT NULL,
    price numeric(6, 2) NOT NULL CHECK (price >= 10 AND price < 1000 AND price % 0.5 = 0),
    state text NOT NULL CHECK (state IN ('OPEN', 'PAID', 'VOID')),
    paid_at timestamptz,
    void_reason text,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    details jsonb NOT NULL CHECK (jsonb_typeof(details) = 'object' AND details ? 'source'),
    CONSTRAINT ck_paid CHECK ((state = 'PAID') = (paid_at IS NOT NULL)),
    CONSTRAINT ck_void CHECK ((state = 'VOID') = (void_reason IS NOT NULL)),
    CONSTRAINT ck_paid_later CHECK (paid_at > ends_at),
    CONSTRAINT ex_days EXCLUDE USING gist (days WITH &&),
    UNIQUE (id, person_id)
);
CREATE TABLE host.guests (
    booking_id int, person_id int, number smallint NOT NULL CHECK (number > 0),
    PRIMARY KEY (booking_id, person_id),
    FOREIGN KEY (person_id) REFERENCES host.people,
    FOREIGN KEY (booking_id, person_id) REFERENCES host.bookings (id, person_id) MATCH FULL
);
CREATE TABLE host.settings (id text PRIMARY KEY CHECK (id = 'singleton'));
CREATE TABLE host.empty ();
CREATE TABLE host.events (
    at timestamptz NOT NULL, tenant int NOT NULL, note text, PRIMARY KEY (at, tenant)
) PARTITION BY RANGE (at);
CREATE TABLE host.events_2030 PARTITION OF host.events
    FOR VALUES FROM ('2030-01-01') TO ('2031-01-01') PARTITION BY LIST (tenant);
CREATE TABLE host.events_2030_1 PARTITION OF host.events_2030 FOR VALUES IN (71);
CREATE TABLE host.events_2030_2 PARTITION OF host.events_2030 FOR VALUES IN (72);
CREATE TABLE host.hashed (id bigint PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE host.hashed_0 PARTITION OF host.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE host.hashed_1 PARTITION OF host.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE host.homeless (id int) PARTITION BY LIST (id);
"""

CIRCLES = """
CREATE TABLE host.eggs (id uuid PRIMARY KEY, hen_id uuid NOT NULL);
CREATE TABLE host.hens (
    id uuid PRIMARY KEY, egg_id uuid NOT NULL REFERENCES host.eggs DEFERRABLE INITIALLY IMMEDIATE
);
ALTER TABLE host.eggs ADD CONSTRAINT fk_eggs_hens FOREIGN KEY (hen_id) REFERENCES host.hens
    DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE host.teams (id int PRIMARY KEY, captain_id int);
CREATE TABLE host.players (id int PRIMARY KEY, team_id int NOT NULL REFERENCES host.teams);
ALTER TABLE host.teams ADD FOREIGN KEY (captain_id) REFERENCES host.players;
CREATE TABLE host.roots (id uuid PRIMARY KEY, root_id uuid NOT NULL REFERENCES host.roots);
"""

TRIGGERS = """
CREATE FUNCTION host.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'no'; END$$;
CREATE FUNCTION host.only_even() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF NEW.number % 2 = 1 THEN
        RAISE EXCEPTION 'odd' USING ERRCODE = '23514', CONSTRAINT = 'even';
    END IF;
    RETURN NEW;
END$$;
CREATE TABLE host.sums (id int PRIMARY KEY);
CREATE CONSTRAINT TRIGGER tr_sums AFTER INSERT ON host.sums DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION host.refuse();
CREATE TABLE host.picky (id int PRIMARY KEY, number int NOT NULL CHECK (number > -5));
CREATE TRIGGER tr_picky BEFORE INSERT ON host.picky
    FOR EACH ROW EXECUTE FUNCTION host.only_even();
ALTER TABLE host.sums ENABLE ALWAYS TRIGGER tr_sums;
CREATE TRIGGER tr_sums_off BEFORE INSERT ON host.sums
    FOR EACH ROW EXECUTE FUNCTION host.refuse();
ALTER TABLE host.sums DISABLE TRIGGER tr_sums_off;
CREATE FUNCTION host.begins() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF (NEW.state, NEW.ended) IS DISTINCT FROM ('new', NULL) THEN
        RAISE EXCEPTION 'begins' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END$$;
CREATE TABLE host.begun (
    id int PRIMARY KEY, state text DEFAULT 'new' NOT NULL, ended date,
    CHECK (state IN ('old', 'new', 'gone'))
);
CREATE TRIGGER tr_begins BEFORE INSERT ON host.begun
    FOR EACH ROW EXECUTE FUNCTION host.begins();
CREATE TABLE host.history (id int PRIMARY KEY);
CREATE TRIGGER tr_history BEFORE UPDATE OR DELETE OR TRUNCATE ON host.history
    FOR EACH STATEMENT EXECUTE FUNCTION host.refuse();
"""


@pytest.fixture
def owner(database: TestDatabase) -> Iterator[Connection]:
    with connect(database.owner_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA host")
        yield connection


def make(connection: Connection, statements: str) -> None:
    connection.execute(statements.encode())


def rows_of(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()


def test_every_built_in_type_gets_values_that_differ(owner: Connection) -> None:
    make(owner, EVERY_TYPE)
    assert generate_rows(owner, ["host"], count=20).rows == {"host.types": 20}
    unique = ["a", "b", "c", "e", "f", "i", "m", "n", "ab", "ac", "ad", "ae", "ag", "ai", "aj"]
    for name in unique:
        found = owner.execute(f"SELECT count(DISTINCT {name}) FROM host.types".encode()).fetchone()
        assert found == (20,), name


def test_rules_keys_and_partitions_are_kept(owner: Connection) -> None:
    make(owner, EVERY_RULE)
    done = generate_rows(owner, ["host"], count=8)
    assert done == GeneratedRows(
        rows={
            **dict.fromkeys(["host.empty", "host.events", "host.hashed", "host.people"], 8),
            "host.settings": 1,
            **dict.fromkeys(["host.bookings", "host.guests"], 8),
        },
        full=("host.settings",),
        skipped=("host.homeless",),
    )
    assert done.total == 49
    states = {row[0] for row in owner.execute("SELECT state FROM host.bookings")}
    assert states == {"OPEN", "PAID", "VOID"}
    follows = [row[0] for row in owner.execute("SELECT follows FROM host.bookings")]
    assert None in follows
    assert any(follows)
    assert all(rows_of(owner, f"host.{each}") for each in ("events_2030_1", "events_2030_2"))
    again = generate_rows(owner, ["host"], count=8)
    assert again.rows == {**done.rows, "host.settings": 0}


def test_many_parents_with_one_child_each_all_get_it(owner: Connection) -> None:
    make(
        owner,
        """
        CREATE TABLE host.parents (id int PRIMARY KEY, name text UNIQUE);
        CREATE TABLE host.twins (parent_id int PRIMARY KEY REFERENCES host.parents (id));
        CREATE TABLE host.pairs (
            one int REFERENCES host.parents (id), other int REFERENCES host.parents (id),
            PRIMARY KEY (one, other)
        );
        """,
    )
    for total in (60, 120):
        assert generate_rows(owner, ["host"], count=60).full == ()
        assert len(rows_of(owner, "host.twins")) == len(rows_of(owner, "host.pairs")) == total
    assert generate_rows(owner, ["host"], skip=["host.parents"]).full == ("host.twins",)


def test_circles_are_closed_where_the_database_can(owner: Connection) -> None:
    make(owner, CIRCLES)
    done = generate_rows(owner, ["host"], count=3)
    assert set(done.rows.values()) == {3}
    assert {row[1] for row in rows_of(owner, "host.eggs")} <= {
        row[0] for row in rows_of(owner, "host.hens")
    }
    assert [row[1] for row in rows_of(owner, "host.teams")] == [None] * 3


def test_the_same_seed_makes_the_same_rows(server: Server, owner: Connection) -> None:
    make(owner, EVERY_RULE)
    generate_rows(owner, ["host"], seed=7)
    with new_database(server) as other, connect(other.owner_url, autocommit=True) as second:
        second.execute("CREATE SCHEMA host")
        make(second, EVERY_RULE)
        generate_rows(second, ["host"], seed=7)
        for table in ("host.people", "host.bookings", "host.guests", "host.events"):
            assert rows_of(second, table) == rows_of(owner, table)
        before = rows_of(owner, "host.people")
        generate_rows(owner, ["host"], seed=8)
        assert {row[1] for row in rows_of(owner, "host.people")} > {row[1] for row in before}


def test_triggers_fire_and_are_passed_over_only_where_they_refuse_everything(
    database: TestDatabase, owner: Connection
) -> None:
    make(owner, TRIGGERS)
    make(
        owner,
        "GRANT USAGE ON SCHEMA host TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA host TO PUBLIC",
    )
    with (
        connect(database.app_url, autocommit=True) as app,
        pytest.raises(UsageError, match=r"host\.sums takes: a trigger refuses it \(P0001\)"),
    ):
        generate_rows(app, ["host"])
    assert rows_of(owner, "host.picky") == [], "all or none"
    done = generate_rows(owner, ["host"])
    assert done.without_triggers == ("host.sums",)
    assert set(done.rows.values()) == {5}
    assert all(number % 2 == 0 for _, number in rows_of(owner, "host.picky"))
    modes = "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
    assert owner.execute(modes).fetchall() == [
        ("tr_begins", "O"),
        ("tr_history", "O"),
        ("tr_picky", "O"),
        ("tr_sums", "A"),
        ("tr_sums_off", "D"),
    ]
    begun = rows_of(owner, "host.begun")
    assert [row[1:] for row in begun] == [("new", None)] * 5, "what has to be said, and no more"
    assert generate_rows(owner, ["host"], skip=["host.sums"]).rows.keys() == {
        "host.begun",
        "host.history",
        "host.picky",
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("CREATE TABLE host.t (iban text CHECK (md5(iban) = 'x') NOT NULL)", "iban pleases t_iban"),
        ("CREATE TABLE host.t (n int CHECK (n > 5), CHECK (n < 3), m int, CHECK (n = m * 0 + 9),"
         " CHECK (n IS NOT NULL))", "No likely value of n, m pleases"),
        ("CREATE TABLE host.t (a pg_node_tree NOT NULL)", "No value is known for host.t.a"),
        ("CREATE TABLE host.p (id int PRIMARY KEY); CREATE SCHEMA far;"
         "CREATE TABLE far.q (id int PRIMARY KEY);"
         "CREATE TABLE host.t (q int NOT NULL REFERENCES far.q)", '"far"."q", which has no rows'),
    ],
)  # fmt: skip
def test_what_cannot_be_guessed_is_named(owner: Connection, table: str, said: str) -> None:
    make(owner, table)
    with pytest.raises(UsageError) as refused:
        generate_rows(owner, ["host"])
    message = str(refused.value)
    assert said in message
    assert "host.t" in message
    assert "shapes={" in message


@pytest.mark.parametrize(
    ("pattern", "different"),
    [
        ("^[A-Z]{2}[0-9]{2}([A-Z0-9]{4} ?){3,7}$", True),
        (r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", True),
        ("^[a-z0-9]+(?:-[a-z0-9]+)*$", True),
        (r"^\+[1-9][0-9]{6,14}$", True),
        ("^#[[:xdigit:]]{6}$", True),
        (r"^\d{4}-(0[1-9]|1[0-2])$", True),
        ("^(GET|POST|''?)$", False),
        ("^[]x.-]$", False),
    ],
)
def test_what_a_pattern_matches_is_found(owner: Connection, pattern: str, different: bool) -> None:
    make(owner, f"CREATE TABLE host.t (code varchar(60) CHECK (code ~ '{pattern}') NOT NULL)")
    generate_rows(owner, ["host"], count=30)
    found = {code for (code,) in rows_of(owner, "host.t")}
    assert len(found) == 30 if different else len(found) > 1


@pytest.mark.parametrize("pattern", ["(?=a)b", r"\1", "(", "[a", "a{999}", "((((a{64}){64}){64}))"])
def test_a_pattern_that_is_not_understood_is_left_alone(pattern: str) -> None:
    assert matching(pattern, 1) is None


def test_what_cannot_be_guessed_is_said_by_a_shape(owner: Connection) -> None:
    rule = "iban LIKE 'XY%' AND length(iban) = 8"
    make(owner, f"CREATE TABLE host.t (iban text CHECK ({rule}) NOT NULL UNIQUE)")
    shapes: Shapes = {"host.t.iban": lambda number: f"XY{number:06}"}
    generate_rows(owner, ["host"], count=2, shapes=shapes)
    assert rows_of(owner, "host.t") == [("XY000001",), ("XY000002",)]
    for wrong in ({"host.t.ibam": str}, {"iban": str}):
        with pytest.raises(UsageError, match=r"no column .* schema\.table\.column"):
            generate_rows(owner, ["host"], shapes=wrong)


@pytest.mark.parametrize("asked", [{"schemas": "host"}, {"schemas": []}, {"count": 0},
                                   {"count": 1_000_000}])  # fmt: skip
def test_what_makes_no_sense_is_refused(owner: Connection, asked: dict[str, Any]) -> None:
    schemas = asked.pop("schemas", ["host"])
    with pytest.raises(UsageError):
        generate_rows(owner, schemas, **asked)
