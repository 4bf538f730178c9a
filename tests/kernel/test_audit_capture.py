"""AU1: whoever changes a captured table, and however, leaves an exact record without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bedplate.kernel import audit
from bedplate.testing import Clone
from tests.kernel.audited import Corner, corner

INSERTED, UPDATED, DELETED, TRUNCATED = audit.CAPTURED


@pytest.fixture
def here(bedplate_clone: Clone) -> Iterator[Corner]:
    with corner(bedplate_clone) as made:
        yield made


def test_every_statement_that_changes_rows_is_recorded(here: Corner) -> None:
    here.captured("id int PRIMARY KEY, name text, count int DEFAULT 0")
    app = here.app
    app.execute("INSERT INTO corner.things VALUES (1, 'one'), (2, 'two')")
    app.execute("UPDATE corner.things SET count = count + 1")
    app.execute(
        "INSERT INTO corner.things VALUES (2, 'zwei'), (3, 'drei')"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name"
    )
    app.execute(
        "MERGE INTO corner.things t USING (VALUES (1), (4)) AS s (id) ON t.id = s.id"
        " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)"
    )
    with app.cursor().copy("COPY corner.things (id, name) FROM STDIN") as copy:
        copy.write_row((5, "five"))
    app.execute("WITH gone AS (DELETE FROM corner.things WHERE id = 5 RETURNING id) TABLE gone")
    here.owner.execute("TRUNCATE corner.things")
    assert here.changes() == [
        (INSERTED, "1", None, {"id": 1, "name": "one", "count": 0}),
        (INSERTED, "2", None, {"id": 2, "name": "two", "count": 0}),
        (UPDATED, "1", {"id": 1, "count": 0}, {"id": 1, "count": 1}),
        (UPDATED, "2", {"id": 2, "count": 0}, {"id": 2, "count": 1}),
        (UPDATED, "2", {"id": 2, "name": "two"}, {"id": 2, "name": "zwei"}),
        (INSERTED, "3", None, {"id": 3, "name": "drei", "count": 0}),
        (DELETED, "1", {"id": 1, "name": "one", "count": 1}, None),
        (INSERTED, "4", None, {"id": 4, "name": None, "count": 0}),
        (INSERTED, "5", None, {"id": 5, "name": "five", "count": 0}),
        (DELETED, "5", {"id": 5, "name": "five", "count": 0}, None),
        (TRUNCATED, "*", None, None),
    ]
    assert {entry["entity_type"] for entry in here.log()} == {"things"}


def test_what_changes_nothing_is_not_recorded(here: Corner) -> None:
    here.captured("id int PRIMARY KEY, name text")
    here.app.execute("INSERT INTO corner.things VALUES (1, 'one')")
    here.app.execute("UPDATE corner.things SET name = name")
    here.app.execute("UPDATE corner.things SET name = 'x' WHERE id = 7")
    here.app.execute("DELETE FROM corner.things WHERE id = 7")
    here.app.execute("INSERT INTO corner.things SELECT 1, 'x' WHERE false")
    with pytest.raises(psycopg.errors.UniqueViolation):
        here.app.execute("INSERT INTO corner.things VALUES (2, 'two'), (1, 'again')")
    assert len(here.log()) == 1


VALUES: dict[str, tuple[str, str, Any]] = {
    "a numeric's scale": ("numeric", "1.00", 1.0),
    "a numeric too long for a double": ("numeric", "12345678901234567890.123456789", None),
    "a bigint": ("bigint", "9223372036854775807", 9223372036854775807),
    "a double": ("double precision", "0.1000000000000000055511151231257827", 0.1),
    "not a number": ("numeric", "NaN", "NaN"),
    "microseconds and a zone": (
        "timestamptz",
        "2026-01-31 23:59:59.123456+05:30",
        "2026-01-31T18:29:59.123456+00:00",
    ),
    "infinity": ("timestamptz", "infinity", "infinity"),
    "bytes": ("bytea", r"\x00ff", r"\x00ff"),
    "an interval": ("interval", "1 year 2 days 03:04:05.6", "P1Y2DT3H4M5.6S"),
    "text": ("text", "Ünïcødé ' \" \\ \n ✓ {}", "Ünïcødé ' \" \\ \n ✓ {}"),
    "a document": ("jsonb", '{"b": [1, null], "a": "x"}', {"a": "x", "b": [1, None]}),
    "an array": ("int[]", "{1,NULL,3}", [1, None, 3]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_exact_whatever_the_session_prefers(here: Corner, name: str) -> None:
    type_, written, expected = VALUES[name]
    here.captured(f"id int PRIMARY KEY, value {type_}")
    here.app.execute(
        "SET TimeZone = 'Asia/Kolkata'; SET IntervalStyle = 'sql_standard';"
        " SET bytea_output = 'escape'; SET extra_float_digits = -15; SET DateStyle = 'German, DMY'"
    )
    here.app.execute("INSERT INTO corner.things VALUES (1, %s)", [written])
    shown = here.owner.execute(
        "SELECT changes #> '{after,value}', changes #>> '{after,value}' FROM corner.audit_logs"
    ).fetchone()
    assert shown is not None
    assert shown[0] == expected or shown[1] == written
    back = here.owner.execute(
        "SELECT r.value IS NOT DISTINCT FROM t.value FROM corner.things t, corner.audit_logs,"
        " jsonb_populate_record(NULL::corner.things, changes -> 'after') r"
    ).fetchone()
    assert back == (True,)


def test_an_update_that_changes_only_the_scale_is_a_change(here: Corner) -> None:
    here.captured("id int PRIMARY KEY, value numeric, other int")
    here.app.execute("INSERT INTO corner.things VALUES (1, 1.0, 5)")
    here.app.execute("UPDATE corner.things SET value = 1.00, other = 5")
    row = here.owner.execute(
        "SELECT (changes -> 'before')::text, (changes -> 'after')::text, description"
        " FROM corner.audit_logs WHERE action = 'ROW_UPDATED'"
    ).fetchone()
    assert row == ('{"id": 1, "value": 1.0}', '{"id": 1, "value": 1.00}', "Changed value.")


def test_a_composite_key_names_its_row_and_a_changed_key_both(here: Corner) -> None:
    here.captured("b text, a int, name text, PRIMARY KEY (a, b)")
    here.app.execute("INSERT INTO corner.things VALUES ('x', 1), ('y', 2)")
    # Each takes the other's place: told apart by the row, not by the key.
    here.app.execute("UPDATE corner.things SET a = 3 - a, name = 'was ' || a")
    assert here.changes()[2:] == [
        (
            *(UPDATED, "1,x"),
            {"a": 1, "b": "x", "name": None},
            {"a": 2, "b": "x", "name": "was 1"},
        ),
        (
            *(UPDATED, "2,y"),
            {"a": 2, "b": "y", "name": None},
            {"a": 1, "b": "y", "name": "was 2"},
        ),
    ]


def test_many_rows_of_one_statement_keep_their_own_values(here: Corner) -> None:
    here.captured("id int PRIMARY KEY, n int")
    here.app.execute("INSERT INTO corner.things SELECT i, i * 7 FROM generate_series(1, 5000) i")
    here.app.execute("UPDATE corner.things SET n = n + id, id = -id")
    wrong = here.owner.execute(
        "SELECT count(*), count(*) FILTER (WHERE"
        " (changes #>> '{before,n}')::int = 7 * entity_id::int"
        " AND (changes #>> '{after,n}')::int = 8 * entity_id::int"
        " AND (changes #>> '{after,id}')::int = -entity_id::int)"
        " FROM corner.audit_logs WHERE action = 'ROW_UPDATED'"
    ).fetchone()
    assert wrong == (5000, 5000)


def test_many_rows_after_many_single_ones_take_no_longer(here: Corner) -> None:
    """The kept plan is made for one row; a join in it would now compare 20,000 with 20,000."""
    here.captured("id int PRIMARY KEY, n int")
    here.app.execute("INSERT INTO corner.things SELECT i, i FROM generate_series(1, 20000) i")
    for number in range(1, 13):
        here.app.execute("UPDATE corner.things SET n = 0 WHERE id = %s", [number])
    here.app.execute("SET statement_timeout = '20s'")
    here.app.execute("UPDATE corner.things SET n = -1")
    assert len(here.log()) == 40_012


def test_cascades_are_recorded_also_where_one_changes_a_row_twice(here: Corner) -> None:
    here.owner.execute("CREATE TABLE corner.parents (id int PRIMARY KEY)")
    here.captured(
        "id int PRIMARY KEY, mother int REFERENCES corner.parents ON DELETE SET NULL,"
        " father int REFERENCES corner.parents ON DELETE SET NULL,"
        " owner int REFERENCES corner.parents ON DELETE CASCADE ON UPDATE CASCADE"
    )
    here.owner.execute("INSERT INTO corner.parents VALUES (1), (2)")
    here.owner.execute("INSERT INTO corner.things VALUES (10, 1, 1, 2)")
    here.owner.execute("DELETE FROM corner.parents WHERE id = 1")
    here.owner.execute("UPDATE corner.parents SET id = 3 WHERE id = 2")
    here.owner.execute("DELETE FROM corner.parents")
    seen = here.changes()[1:]
    assert [action for action, *_ in seen] == [UPDATED, UPDATED, UPDATED, DELETED]
    states: list[dict[str, Any]] = [{"id": 10, "mother": 1, "father": 1, "owner": 2}]
    for _, entity, before, after in seen:
        assert entity == "10"
        # What each entry says was before is what the one before it left.
        assert before.items() <= states[-1].items()
        states.append({**states[-1], **(after or {})})
    assert states[3] == {"id": 10, "mother": None, "father": None, "owner": 3}


def test_secrets_are_never_shown_but_their_changes_are(here: Corner) -> None:
    here.captured("id int PRIMARY KEY, name text, token text, hash bytea", redact=("token", "hash"))
    here.app.execute(
        "INSERT INTO corner.things VALUES (1, 'a', 'secret-4711', '\\x4711'), (2, NULL, NULL, NULL)"
    )
    here.app.execute("UPDATE corner.things SET name = 'b' WHERE id = 1")
    here.app.execute("UPDATE corner.things SET token = 'secret-4712' WHERE id = 1")
    here.app.execute("UPDATE corner.things SET token = NULL WHERE id = 1")
    here.app.execute("DELETE FROM corner.things WHERE id = 1")
    redacted = audit.REDACTED
    assert here.changes() == [
        (INSERTED, "1", None, {"id": 1, "name": "a", "token": redacted, "hash": redacted}),
        (INSERTED, "2", None, {"id": 2, "name": None, "token": None, "hash": None}),
        (UPDATED, "1", {"id": 1, "name": "a"}, {"id": 1, "name": "b"}),
        (UPDATED, "1", {"id": 1, "token": redacted}, {"id": 1, "token": redacted}),
        (UPDATED, "1", {"id": 1, "token": redacted}, {"id": 1, "token": None}),
        (DELETED, "1", {"id": 1, "name": "b", "token": None, "hash": redacted}, None),
    ]
    assert "471" not in json.dumps([entry["changes"] for entry in here.log()])


def test_a_table_that_changes_its_columns_goes_on_being_recorded(here: Corner) -> None:
    """Also in a session whose plans were made for the columns of before."""
    here.captured("id int PRIMARY KEY, name text, old int DEFAULT 5")
    for number in range(1, 10):
        here.app.execute("INSERT INTO corner.things VALUES (%s, 'x')", [number])
        here.app.execute("UPDATE corner.things SET name = name || 'y' WHERE id = %s", [number])
    here.owner.execute(
        "ALTER TABLE corner.things ADD COLUMN extra numeric DEFAULT 1.50, DROP COLUMN old,"
        " ALTER COLUMN id TYPE bigint"
    )
    seen = len(here.log())
    here.app.execute("INSERT INTO corner.things VALUES (2147483648, 'z')")
    here.app.execute("UPDATE corner.things SET extra = 2 WHERE id = 2147483648")
    key = 2147483648
    assert here.changes()[seen:] == [
        (INSERTED, str(key), None, {"id": key, "name": "z", "extra": 1.5}),
        (UPDATED, str(key), {"id": key, "extra": 1.5}, {"id": key, "extra": 2}),
    ]


@pytest.mark.parametrize("renamed", ["token", "id"])
def test_a_renamed_secret_is_not_shown_by_mistake(here: Corner, renamed: str) -> None:
    """Capture that no longer fits its table refuses the change, rather than tell a secret."""
    here.captured("id int PRIMARY KEY, token text", redact=("token",))
    here.owner.execute(f"ALTER TABLE corner.things RENAME {renamed} TO other".encode())
    with pytest.raises(psycopg.errors.RaiseException, match="misses a column"):
        here.app.execute("INSERT INTO corner.things VALUES (1, 'secret')")
    with here.revision():
        audit.release("things")
        audit.capture("things", redact=("other",) if renamed == "token" else ("token",))
    here.app.execute("INSERT INTO corner.things VALUES (1, 'secret')")
    assert "secret" not in json.dumps(here.changes())


@pytest.mark.parametrize(
    ("columns", "redact", "what"),
    [
        ("id int PRIMARY KEY", ("pasword",), "no column to redact outside of its key: pasword"),
        ("id text PRIMARY KEY", ("id",), "no column to redact outside of its key: id"),
        ("id int", (), "no primary key"),
    ],
)
def test_what_cannot_be_captured_is_refused_at_once(
    here: Corner, columns: str, redact: tuple[str, ...], what: str
) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match=what):
        here.captured(columns, redact=redact)


def test_names_that_need_quotes_are_captured(here: Corner) -> None:
    here.owner.execute('CREATE TABLE corner."Some things" ("the Key" int PRIMARY KEY, "a,b" text)')
    with here.revision():
        audit.capture("Some things", redact=("a,b",))
    here.owner.execute("INSERT INTO corner.\"Some things\" VALUES (1, 'secret')")
    assert here.changes() == [(INSERTED, "1", None, {"the Key": 1, "a,b": audit.REDACTED})]
    assert here.log()[0]["entity_type"] == "Some things"
    with here.revision():
        audit.release("Some things")


def test_a_log_goes_as_it_came(here: Corner) -> None:
    here.captured("id int PRIMARY KEY")
    with here.revision():
        audit.release("things")
        here.owner.execute("DROP TABLE corner.things")
        audit.drop_log()
    here.owner.execute("DROP SCHEMA corner")


LEDGER = """
CREATE FUNCTION corner.post(new_id int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('bedplate.audited', 'corner', true);
    INSERT INTO corner.things VALUES (new_id);
    INSERT INTO corner.audit_logs (action, entity_type, entity_id, description)
    VALUES ('POSTED', 'thing', new_id, 'Posted.');
    PERFORM set_config('bedplate.audited', '', true);
END
$$
"""


def test_a_ledgers_function_writes_its_own_rows_instead(bedplate_clone: Clone) -> None:
    with corner(bedplate_clone, "POSTED") as here:
        here.captured("id int PRIMARY KEY")
        here.owner.execute(LEDGER)
        with here.app.transaction():
            here.app.execute("SELECT set_config('bedplate.request_id', 'r-1', true)")
            here.app.execute("SELECT corner.post(1)")
            here.app.execute("INSERT INTO corner.things VALUES (2)")
        assert [(e["action"], e["entity_id"], e["actor_type"]) for e in here.log()] == [
            ("POSTED", "1", "SYSTEM"),
            (INSERTED, "2", "SYSTEM"),
        ]
        assert {entry["request_id"] for entry in here.log()} == {"r-1"}
        assert len({entry["transaction_id"] for entry in here.log()}) == 1


def test_the_app_cannot_switch_capture_off(here: Corner) -> None:
    """Anyone can set a setting: it counts only for the owner's functions, never in a cascade."""
    here.owner.execute("CREATE TABLE corner.parents (id int PRIMARY KEY)")
    here.owner.execute("INSERT INTO corner.parents VALUES (1)")
    here.captured("id int PRIMARY KEY, parent int REFERENCES corner.parents ON DELETE CASCADE")
    here.owner.execute("GRANT DELETE, SELECT ON corner.parents TO PUBLIC")
    here.app.execute("SET bedplate.audited = 'corner'")
    here.app.execute("INSERT INTO corner.things VALUES (1, 1)")
    here.app.execute("UPDATE corner.things SET id = 2")
    here.app.execute("DELETE FROM corner.parents")
    assert [action for action, *_ in here.changes()] == [INSERTED, UPDATED, DELETED]
    for attempt in (
        "SET session_replication_role = replica",
        "ALTER TABLE corner.things DISABLE TRIGGER ALL",
        "DROP TRIGGER tr_things_capture_insert ON corner.things",
        "SELECT bedplate.capture('corner', 'things', '{}')",
        "CREATE OR REPLACE FUNCTION corner.capture_rows() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            here.app.execute(attempt.encode())


def test_a_temporary_table_cannot_stand_in_for_the_log(here: Corner) -> None:
    """The owner may make temporary tables; capture looks none of its names up by search_path."""
    here.captured("id int PRIMARY KEY, name text")
    here.owner.execute("CREATE TEMP TABLE audit_logs (LIKE corner.audit_logs)")
    here.owner.execute("CREATE TEMP TABLE new_rows (id int, name text)")
    here.owner.execute("INSERT INTO corner.things VALUES (1, 'x')")
    assert here.changes() == [(INSERTED, "1", None, {"id": 1, "name": "x"})]
