"""What the lines make and what the models declare is the same, for every module there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import MetaData
from sqlalchemy.schema import CreateTable

from bedplate.catalog import Column, Snapshot, connect, read
from bedplate.kernel import registry as registries
from bedplate.kernel.bindings import Binding
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.jobs import StoredJob
from bedplate.kernel.model import Model
from bedplate.operations.migrate import Target, apply_unproven
from bedplate.operations.migrate.agreement import disagreements
from bedplate.operations.migrate.expected import from_lines, from_models
from bedplate.operations.migrate.ground import grounds
from tests.databases import Server, TestDatabase, new_database

MODULES = (*registries.available(), "tests.shop")
"""Those that come with Bedplate, found by themselves, and the one that stands for a project's."""

HOST = """
CREATE SCHEMA host;
CREATE TABLE host."Users" ("userId" {key} PRIMARY KEY, mail text);
"""


@dataclass(frozen=True)
class Apart:
    """What the models make, and a database that the lines made."""

    models: Snapshot
    database: TestDatabase
    schemas: list[str]

    def after(self, statement: str) -> Snapshot:
        """What the database would be after the statement, which is rolled back."""
        with connect(self.database.owner_url) as connection:
            connection.execute(statement.encode())
            snapshot = read(connection, self.schemas)
            connection.rollback()
        return snapshot


def models() -> Iterator[type[Model]]:
    for manifest in registries.load(MODULES).ordered:
        yield from manifest.models


def target_on(database: TestDatabase, folder: Path, users: str = "ours") -> Target:
    bindings: dict[str, Binding] = {}
    if users != "ours":
        bindings["users"] = Binding("host.Users", key="userId", key_type=users)
        with psycopg.connect(database.owner_url) as owner:
            owner.execute(HOST.format(key=users).encode())
    return Target(
        registry=registries.load(MODULES),
        owner_url=database.owner_url,
        app_url=database.app_url,
        admin_url=database.admin_url,
        folder=folder,
        bindings=bindings,
    )


@pytest.fixture(scope="module")
def apart(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with new_database(server) as database:
        target = target_on(database, tmp_path_factory.mktemp("project"))
        with grounds(target) as ground:
            modelled = from_models(target, ground)
        apply_unproven(target.registry, owner_url=target.owner_url, app_url=target.app_url)
        yield Apart(modelled, database, [line.schema for line in target.registry.lines])


def test_models_and_lines_make_the_same(apart: Apart) -> None:
    made = {table.full_name for table in apart.models.tables}
    assert made == {str(model.__table__) for model in models()}
    assert disagreements(apart.models, apart.after("SELECT 1")) == ()


def test_so_they_do_beside_a_hosts_users(database: TestDatabase, tmp_path: Path) -> None:
    target = target_on(database, tmp_path, users="bigint")
    with grounds(target) as ground:
        modelled, lines = from_models(target, ground), from_lines(target, ground)
    made = {table.full_name for table in modelled.tables}
    assert made == {str(model.__table__) for model in models()} - {"auth.users"}
    assert disagreements(modelled, lines) == ()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DROP TABLE auth.user_preferences", "table auth.user_preferences"),
        ("ALTER TABLE auth.users DROP COLUMN legacy_id", "column auth.users.legacy_id"),
        ("ALTER TABLE auth.users ADD COLUMN nickname text", "column auth.users.nickname"),
        ("ALTER TABLE auth.users ALTER name TYPE varchar(9)", "column auth.users.name"),
        ("ALTER TABLE auth.users ALTER is_active DROP NOT NULL", "column auth.users.is_active"),
        ("ALTER TABLE auth.users ALTER is_active DROP DEFAULT", "column auth.users.is_active"),
        ("ALTER TABLE auth.users ALTER name SET DEFAULT 'x'", "column auth.users.name"),
        (
            "ALTER TABLE credits.credit_grants ALTER is_open DROP EXPRESSION",
            "column credits.credit_grants.is_open",
        ),
        (
            "ALTER TABLE auth.users DROP CONSTRAINT ck_users_email_shape",
            "check constraint auth.users.ck_users_email_shape",
        ),
        (
            "ALTER TABLE auth.users ADD CONSTRAINT ck_new CHECK (name <> '')",
            "check constraint auth.users.ck_new",
        ),
        (
            "ALTER TABLE auth.user_preferences DROP CONSTRAINT uq_user_preferences_user_id",
            "unique constraint auth.user_preferences.uq_user_preferences_user_id",
        ),
        (
            "ALTER TABLE credits.usage_allocations DROP CONSTRAINT pk_usage_allocations,"
            " ADD CONSTRAINT pk_usage_allocations PRIMARY KEY (grant_id, usage_id)",
            "primary key credits.usage_allocations.pk_usage_allocations",
        ),
        (
            "ALTER TABLE auth.user_preferences DROP CONSTRAINT fk_user_preferences_user_id_users,"
            " ADD CONSTRAINT fk_user_preferences_user_id_users FOREIGN KEY (user_id)"
            " REFERENCES auth.users (id) ON DELETE SET NULL",
            "foreign key auth.user_preferences.fk_user_preferences_user_id_users",
        ),
        ("DROP INDEX auth.uq_users_email", "index auth.users.uq_users_email"),
        ("CREATE INDEX ix_new ON auth.users (name)", "index auth.users.ix_new"),
        (
            "DROP INDEX auth.uq_users_email;"
            "CREATE UNIQUE INDEX uq_users_email ON auth.users (lower(email))",
            "index auth.users.uq_users_email",
        ),
        ("ALTER TYPE auth.role ADD VALUE 'GUEST'", "enum auth.role"),
        ("ALTER TYPE auth.role RENAME VALUE 'ADMIN' TO 'ROOT'", "enum auth.role"),
        ("COMMENT ON TABLE auth.users IS 'x'", "comment"),
        ("COMMENT ON COLUMN auth.users.name IS NULL", "comment"),
    ],
)
def test_whatever_a_model_says_is_missed(apart: Apart, statement: str, named: str) -> None:
    said = disagreements(apart.models, apart.after(statement))
    assert any(named in each for each in said), said
    assert len(said) <= 3, said


@pytest.mark.parametrize(
    "statement",
    [
        "GRANT SELECT ON auth.users TO PUBLIC",
        "CREATE TABLE auth.more (id int)",
        "CREATE VIEW auth.names AS SELECT name FROM auth.users",
        "CREATE FUNCTION auth.one() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TYPE auth.kind AS ENUM ('a')",
        "ALTER TABLE auth.users SET (fillfactor = 90)",
    ],
)
def test_what_no_model_can_say_is_the_lines_own(apart: Apart, statement: str) -> None:
    assert disagreements(apart.models, apart.after(statement)) == ()


def test_the_kernels_jobs_have_the_columns_of_their_model(apart: Apart) -> None:
    table: Any = StoredJob.__table__
    with connect(apart.database.owner_url) as connection:
        (made,) = (
            each for each in read(connection, ["bedplate"]).tables if each.name == table.name
        )
        connection.execute("CREATE SCHEMA models")
        copy = table.to_metadata(MetaData(), schema="models")
        create: Any = CreateTable(copy)
        connection.execute(str(create.compile(dialect=BoundDialect())).encode())
        (modelled,) = read(connection, ["models"]).tables
        connection.rollback()
    assert set(map(bare, modelled.columns)) == set(map(bare, made.columns))
    assert modelled.primary_key == made.primary_key


def bare(column: Column) -> Column:
    return replace(column, comment=None)
