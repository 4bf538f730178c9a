"""AU2: nobody changes the log; each wall holds alone, and without both of them it is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from bedplate.catalog import connect, read
from bedplate.kernel import audit
from bedplate.kernel.model import table_name
from bedplate.modules.auth import AuditLog
from bedplate.testing import Clone

LOG = table_name(AuditLog)
ATTEMPTS: dict[str, LiteralString] = {
    "edit": "UPDATE auth.audit_logs SET description = 'nothing happened'",
    "delete": "DELETE FROM auth.audit_logs",
    "truncate": "TRUNCATE auth.audit_logs",
}


@pytest.fixture
def app(bedplate_clone: Clone) -> Iterator[psycopg.Connection[Any]]:
    """The app's connection to a database in whose log there is one entry."""
    with psycopg.connect(bedplate_clone.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'ada@example.com')"
        )
        yield connection


@pytest.fixture
def owner(bedplate_clone: Clone) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(bedplate_clone.owner_url, autocommit=True) as connection:
        yield connection


def entries(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute("SELECT * FROM auth.audit_logs").fetchall()


@pytest.mark.parametrize(
    "attempt",
    [
        *ATTEMPTS.values(),
        "DROP TABLE auth.audit_logs",
        "DROP VIEW bedplate.audit_log",
        "TRUNCATE auth.users, auth.user_preferences, auth.audit_logs",
        "ALTER TABLE auth.audit_logs DISABLE TRIGGER USER",
        "DROP TRIGGER tr_audit_logs_append_only ON auth.audit_logs",
        "CREATE OR REPLACE FUNCTION bedplate.refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
        "UPDATE bedplate.audit_log SET description = 'nothing happened'",
        "DELETE FROM bedplate.audit_log",
    ],
)
def test_the_app_can_only_add(app: psycopg.Connection[Any], attempt: LiteralString) -> None:
    before = entries(app)
    assert len(before) == 1
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)):
        app.execute(attempt)
    assert entries(app) == before


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_owner_is_stopped_by_the_trigger(
    app: psycopg.Connection[Any], owner: psycopg.Connection[Any], attempt: str
) -> None:
    before = entries(app)
    with pytest.raises(psycopg.DatabaseError) as refused:
        owner.execute(ATTEMPTS[attempt])
    assert refused.value.sqlstate == "BP001"
    assert entries(app) == before


@pytest.mark.parametrize("attempt", ["edit", "delete"])
def test_each_wall_holds_alone_and_both_are_needed(
    app: psycopg.Connection[Any], owner: psycopg.Connection[Any], attempt: str
) -> None:
    """Sabotage: what the tests above show depends on the privileges and on the trigger."""
    statement = ATTEMPTS[attempt]
    before = entries(app)
    role = app.info.user
    owner.execute(f'GRANT UPDATE, DELETE ON auth.audit_logs TO "{role}"'.encode())
    with pytest.raises(psycopg.DatabaseError) as refused:
        app.execute(statement)
    assert refused.value.sqlstate == "BP001"
    owner.execute("ALTER TABLE auth.audit_logs DISABLE TRIGGER tr_audit_logs_append_only")
    owner.execute(f'REVOKE UPDATE, DELETE ON auth.audit_logs FROM "{role}"'.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)
    assert entries(app) == before
    owner.execute(f'GRANT UPDATE, DELETE ON auth.audit_logs TO "{role}"'.encode())
    app.execute(statement)
    assert entries(app) != before


def test_a_user_who_acted_cannot_be_removed_from_under_the_log(
    app: psycopg.Connection[Any], owner: psycopg.Connection[Any]
) -> None:
    app.execute("SELECT set_config('bedplate.actor', (SELECT id::text FROM auth.users), false)")
    app.execute("UPDATE auth.users SET name = 'Ada'")
    for connection in (app, owner):
        with pytest.raises(psycopg.errors.IntegrityError) as refused:
            connection.execute("DELETE FROM auth.users")
        # PostgreSQL 18 tells RESTRICT from other keys.
        assert refused.value.sqlstate in ("23503", "23001")


FORGERIES: dict[str, LiteralString] = {
    "user_id": "(SELECT id FROM auth.users)",
    "actor_type": "'USER'",
    "request_id": "'r-1'",
    "ip_address": "'::1'",
    "user_agent": "'curl'",
    "created_at": "'2020-01-01'",
    "transaction_id": "'1'",
}
DEED: LiteralString = (
    "INSERT INTO auth.audit_logs (action, entity_type, entity_id, description{})"
    " VALUES ('ROW_UPDATED', 'x', 'x', 'x'{})"
)


@pytest.mark.parametrize("column", FORGERIES)
def test_the_app_says_what_was_done_and_not_who_when_or_from_where(
    app: psycopg.Connection[Any], owner: psycopg.Connection[Any], column: LiteralString
) -> None:
    forged = DEED.format(f", {column}", f", {FORGERIES[column]}")
    before = entries(app)
    for statement in (forged, f"COPY auth.audit_logs ({column}) FROM STDIN"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement)
    assert entries(app) == before
    app.execute(DEED.format("", ""))
    assert len(entries(app)) == len(before) + 1
    # Sabotage: without the wall, the entry is forged.
    owner.execute(f'GRANT INSERT ON auth.audit_logs TO "{app.info.user}"'.encode())
    with app.transaction():
        app.execute("SELECT set_config('bedplate.actor', (SELECT id::text FROM auth.users), true)")
        app.execute(forged)


def test_every_column_of_an_entry_is_said_or_the_transaction_s(
    app: psycopg.Connection[Any],
) -> None:
    columns = app.execute(
        "SELECT attname::text, has_column_privilege(attrelid, attnum, 'INSERT') FROM pg_attribute"
        " WHERE attrelid = 'auth.audit_logs'::regclass AND attnum > 0"
    ).fetchall()
    assert {name for name, may in columns if may} == set(audit.SAID)
    assert {name for name, may in columns if not may} == set(FORGERIES)


def test_an_entry_says_user_or_system_and_never_something_between(
    owner: psycopg.Connection[Any], app: psycopg.Connection[Any]
) -> None:
    somebody: LiteralString = "(SELECT id FROM auth.users)"
    pairs: list[tuple[LiteralString, LiteralString]] = [
        ("'USER'", "NULL"),
        ("'SYSTEM'", somebody),
        ("'ROBOT'", "NULL"),
        ("'ROBOT'", somebody),
    ]
    assert len(entries(app)) == 1
    for actor_type, user in pairs:
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute(DEED.format(", actor_type, user_id", f", {actor_type}, {user}"))


def test_the_reader_may_look_and_the_guarded_role_may_not(
    bedplate_clone: Clone, app: psycopg.Connection[Any], owner: psycopg.Connection[Any]
) -> None:
    prefix = str(conninfo_to_dict(bedplate_clone.url)["user"]).removesuffix("_app")
    found = owner.execute(
        "SELECT r, t, p, has_table_privilege(%s || r, t, p)"
        " FROM unnest(ARRAY['_app', '_reader', '_guarded']) r,"
        " unnest(ARRAY['auth.audit_logs', 'bedplate.audit_log']) t,"
        " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p",
        [prefix],
    ).fetchall()
    assert {tuple(row[:3]) for row in found if row[3]} == {
        ("_app", "auth.audit_logs", "SELECT"),
        ("_app", "bedplate.audit_log", "SELECT"),
        ("_reader", "auth.audit_logs", "SELECT"),
        ("_reader", "bedplate.audit_log", "SELECT"),
    }


def test_the_log_has_the_indexes_it_needs_and_no_trigger_for_each_row(
    bedplate_clone: Clone,
) -> None:
    """Every entry pays for each of them: six indexes, and one trigger that INSERT never runs."""
    with connect(bedplate_clone.owner_url, purpose="tests") as connection:
        schema = read(connection, ["auth"]).schema("auth")
    assert schema is not None
    (table,) = [table for table in schema.tables if table.full_name == LOG]
    assert sorted(index.keys for index in table.indexes) == [
        *(("action",), ("created_at",), ("entity_id", "created_at"), ("entity_type",)),
        *(("id",), ("user_id",)),
    ]
    (trigger,) = table.triggers
    assert "BEFORE DELETE OR UPDATE OR TRUNCATE" in trigger.definition
    assert "FOR EACH STATEMENT" in trigger.definition
