"""The models say what the database has: every field comes back, every rule stands there too."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.orm import InstrumentedAttribute

from bedplate import Database, assign, errors
from bedplate.catalog import Snapshot, Table, connect, read
from bedplate.kernel import ids
from bedplate.kernel.model import Model
from bedplate.modules.auth import (
    MODULE,
    AuditAction,
    Role,
    User,
    UserPreferences,
    user_preferences,
    users,
)
from bedplate.testing import Clone
from bedplate.testing.databases import Template
from tests.world import World

MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)

FIELDS: dict[str, Any] = {
    "id": ids.new(),
    "email": "Ada.Lovelace@example.com",
    "name": "Ada ✓ 'Lovelace\"",
    "clerk_id": "user_2abc",
    "legacy_id": "cjld2cjxh0000qzrmn831i7rn",
    "password_hash": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
    "role": Role.INSTRUCTOR,
    "is_active": False,
    "email_verified_at": MOMENT,
    "failed_login_count": 3,
    "locked_until": MOMENT + timedelta(minutes=15),
    "password_changed_at": MOMENT - timedelta(days=1),
    "last_login_at": MOMENT + timedelta(microseconds=1),
}
BY_THE_DATABASE = {"created_at", "updated_at", "deleted_at"}


def fields_of(row: Model) -> dict[str, Any]:
    return {field.key: getattr(row, field.key) for field in inspect(type(row)).column_attrs}


def test_every_field_survives_a_round_trip(world: World) -> None:
    """By both row paths, the plain one and the JSON of an include; deleted and restored too."""

    async def body(db: Database) -> None:
        created = await users.create(db, User(**FIELDS))
        whole = fields_of(created)
        assert whole.keys() == FIELDS.keys() | BY_THE_DATABASE
        assert {key: whole[key] for key in FIELDS} == FIELDS
        assert {type(whole[key]) for key in FIELDS} == {type(value) for value in FIELDS.values()}
        assert whole["created_at"].tzinfo is not None
        assert whole["created_at"] == whole["updated_at"]
        assert whole["deleted_at"] is None
        preferences = await user_preferences.create(
            db, UserPreferences(user_id=created.id, last_workspace_id="w-1")
        )

        assert fields_of(await users.get(db, created.id)) == whole
        read = await user_preferences.get(db, preferences.id, include=(UserPreferences.user,))
        assert fields_of(read.user) == whole
        assert fields_of(read) == fields_of(preferences)
        (listed,) = await users.list(db, include=(User.preferences,))
        assert listed.preferences is not None
        assert fields_of(listed.preferences) == fields_of(preferences)
        assert listed.preferences.last_workspace_id == "w-1"

        await users.delete(db, created.id)
        deleted = fields_of(await users.with_deleted().get(db, created.id))
        assert deleted.pop("deleted_at") >= whole["created_at"]
        assert deleted.items() <= whole.items() | {("updated_at", deleted["updated_at"])}
        restored = fields_of(await users.restore(db, created.id))
        assert restored == {**whole, "updated_at": restored["updated_at"]}

    world.run(body(world.db))


def test_every_field_can_be_changed_and_be_null_where_it_may(world: World) -> None:
    async def body(db: Database) -> None:
        user = await users.create(db, User(email="ada@example.com"))
        for name, value in FIELDS.items():
            if name != "id":
                field: InstrumentedAttribute[Any] = getattr(User, name)
                assert getattr(await users.update(db, user.id, assign(field, value)), name) == value
        for column in inspect(User).columns:
            field = getattr(User, column.key)
            if column.nullable:
                changed = await users.update(db, user.id, assign(field, None))
                assert getattr(changed, field.key) is None
            elif column.key != "id":
                with pytest.raises(errors.BedplateError):
                    await users.update(db, user.id, assign(field, None))

    world.run(body(world.db))


def test_what_nobody_said_is_what_the_database_would_say(world: World) -> None:
    """A row by raw SQL and one by the model have the same defaults."""

    async def body(db: Database) -> None:
        modelled = await users.create(db, User(email="modelled@example.com"))
        with psycopg.connect(world.clone.url) as app:
            id_ = ids.new()
            app.execute("INSERT INTO auth.users (id, email) VALUES (%s, 'raw@example.com')", [id_])
        own = {"id", "email", *BY_THE_DATABASE}
        for key, value in fields_of(await users.get(db, id_)).items():
            assert key in own or value == getattr(modelled, key)

    world.run(body(world.db))


def snapshot(clone: Clone) -> dict[str, Table]:
    with connect(clone.owner_url, purpose="tests") as connection:
        found: Snapshot = read(connection, ["auth"])
    return {table.name: table for table in found.tables if table.name != "schema_version"}


@pytest.fixture
def modelled(bedplate_template: Template) -> Any:
    """A database whose auth tables were made from the models, by no migration."""
    clone = bedplate_template.clone()
    with psycopg.connect(clone.owner_url, autocommit=True) as owner:
        owner.execute("DROP SCHEMA auth CASCADE; CREATE SCHEMA auth")
        labels = ", ".join(f"'{role.name}'" for role in Role)
        owner.execute(f"CREATE TYPE auth.role AS ENUM ({labels})".encode())
        actions = ", ".join(f"'{action.name}'" for action in AuditAction)
        owner.execute(f"CREATE TYPE auth.audit_action AS ENUM ({actions})".encode())
    engine = create_engine(make_url(clone.owner_url).set(drivername="postgresql+psycopg"))
    Model.metadata.create_all(engine, tables=[model.__table__ for model in MODULE.models])
    engine.dispose()
    yield clone
    bedplate_template.drop(clone)


def test_the_migrations_make_what_the_models_say(bedplate_clone: Clone, modelled: Clone) -> None:
    """Columns, types, nullability, defaults, keys, rules, indexes, ON DELETE and comments."""
    migrated, declared = snapshot(bedplate_clone), snapshot(modelled)
    assert migrated.keys() == declared.keys() == {"users", "user_preferences", "audit_logs"}
    for name, table in declared.items():
        live = migrated[name]
        columns = tuple(replace(each, grants=()) for each in live.columns)
        assert {c.name: c for c in columns} == {c.name: c for c in table.columns}
        assert {c.name: c for c in live.constraints} == {c.name: c for c in table.constraints}
        assert {i.name: i for i in live.indexes} == {i.name: i for i in table.indexes}
        # In the same order as well, and whatever else the catalog knows of a table, but for the
        # walls, which no model can say.
        bare = replace(live, columns=columns, triggers=(), grants=(), row_security="", policies=())
        assert bare == table


@pytest.mark.parametrize(
    "drift",
    [
        "ALTER TABLE auth.users ALTER email SET NOT NULL",
        "ALTER TABLE auth.users ALTER failed_login_count SET DEFAULT 1",
        "ALTER TABLE auth.users ALTER failed_login_count TYPE bigint",
        "ALTER TABLE auth.users DROP CONSTRAINT ck_users_email_shape",
        "DROP INDEX auth.uq_users_email;"
        " CREATE UNIQUE INDEX uq_users_email ON auth.users (lower(email))",
        "ALTER TABLE auth.user_preferences DROP CONSTRAINT fk_user_preferences_user_id_users,"
        " ADD CONSTRAINT fk_user_preferences_user_id_users"
        " FOREIGN KEY (user_id) REFERENCES auth.users ON DELETE RESTRICT",
        "COMMENT ON COLUMN auth.users.name IS 'Another.'",
    ],
)
def test_that_comparison_sees_a_drift(bedplate_clone: Clone, drift: str) -> None:
    before = snapshot(bedplate_clone)
    with psycopg.connect(bedplate_clone.owner_url) as owner:
        owner.execute(drift.encode())
    assert snapshot(bedplate_clone) != before


def test_the_enum_has_the_same_members_in_the_same_order(bedplate_clone: Clone) -> None:
    with connect(bedplate_clone.owner_url, purpose="tests") as connection:
        schema = read(connection, ["auth"]).schema("auth")
    assert schema is not None
    assert {enum.name: enum.labels for enum in schema.enums} == {
        "audit_action": tuple(action.name for action in AuditAction),
        "role": tuple(role.name for role in Role),
    }
