"""What a database should look like: made by its lines, and apart from them by its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import CreateEnumType
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler, PGTypeCompiler
from sqlalchemy.engine.mock import MockConnection

from bedplate.catalog import Connection, Snapshot, connect, read
from bedplate.kernel.dialect import BoundDialect
from bedplate.kernel.model import Model, mapper_of
from bedplate.kernel.registry import Registry
from bedplate.kernel.types import BoundKey
from bedplate.operations.migrate import transfer
from bedplate.operations.migrate.copies import PURPOSE, Copy
from bedplate.operations.migrate.ground import Ground
from bedplate.operations.migrate.target import Target
from bedplate.operations.migrate.unproven import apply_unproven


def from_lines(target: Target, ground: Ground, then: Sequence[str] = ()) -> Snapshot:
    """Apply every line to an empty copy, run the statements of `then`, read the schemas back.

    Raises what apply_unproven raises, and RehearsalRefused where a host's tables cannot be copied.
    """
    with ground.empty() as copy:
        copy_host(target, copy)
        apply_unproven(
            target.registry,
            owner_url=copy.owner_url,
            app_url=copy.app_url,
            bindings=target.bindings,
        )
        with connect(copy.owner_url, purpose=PURPOSE) as connection:
            for statement in then:
                connection.execute(statement.encode())
            return read(connection, [line.schema for line in target.registry.lines])


def from_models(target: Target, ground: Ground) -> Snapshot:
    """Make the enabled modules' tables from their models, by no revision, and read them back.

    Only the kernel's line runs, whose functions the models' defaults call. Adopted tables are the
    host's. A module without models has no schema in the answer.
    """
    with ground.empty() as copy:
        copy_host(target, copy)
        apply_unproven(Registry(()), owner_url=copy.owner_url, app_url=copy.app_url)
        with connect(copy.owner_url, purpose=PURPOSE) as connection:
            create_models(connection, target)
            modelled = [each.schema for each in target.registry.ordered if each.models]
            return read(connection, modelled)


def create_models(connection: Connection, target: Target) -> None:
    """Create the tables, types, indexes and comments that the enabled modules' models declare."""
    dialect = _ModelDialect(target.bindings, target.registry.adoptable)
    tables = [
        table
        for manifest in target.registry.ordered
        for model in manifest.models
        if dialect.binding_of(table := _table(model)) is None
    ]

    def execute(statement: Any, parameters: object = None) -> None:
        connection.execute(str(statement.compile(dialect=dialect)).encode())

    maker: Any = MockConnection(dialect, execute)
    for manifest in target.registry.ordered:
        if manifest.models:
            maker.execute(sa.schema.CreateSchema(manifest.schema))
    for enum in _enums(tables).values():
        maker.execute(CreateEnumType(enum))
    Model.metadata.create_all(maker, tables=tables, checkfirst=False)


class _ModelDDL(PGDDLCompiler):
    """Points foreign keys to an adopted table at the host's, by its name and its key."""

    dialect: _ModelDialect

    def visit_foreign_key_constraint(  # type: ignore[override]
        self, constraint: sa.ForeignKeyConstraint, **options: Any
    ) -> str | None:
        binding = self.dialect.binding_of(constraint.referred_table)
        if binding is None:
            plain: Any = getattr(super(), "visit_foreign_key_constraint")  # noqa: B009
            rendered: str = plain(constraint, **options)
            return rendered
        own, far = constraint.column_keys, [each.column.name for each in constraint.elements]
        if far != ["id"]:
            # Of a host's table nothing but the key is known to be unique.
            return None
        quote = self.preparer.quote
        return (
            self.define_constraint_preamble(constraint, **options)
            + f"FOREIGN KEY ({quote(own[0])}) REFERENCES "
            + f"{quote(binding.schema)}.{quote(binding.name)} ({quote(binding.key)})"
            + self.define_constraint_match(constraint)
            + self.define_constraint_cascades(constraint)
            + self.define_constraint_deferrability(constraint)
        )

    def get_column_default_string(self, column: sa.Column[Any]) -> str | None:
        """Render a default; that of an audit log's user takes the bound key's type."""
        plain: Any = getattr(super(), "get_column_default_string")  # noqa: B009
        rendered: str | None = plain(column)
        binding = self.dialect.bindings.get("users")
        if rendered is None or binding is None:
            return rendered
        return rendered.replace("actor_key(NULL::uuid)", f"actor_key(NULL::{binding.key_type})")


class _ModelTypes(PGTypeCompiler):
    """Spells a bound key's type as the lines do: to SQLAlchemy a driver's text is a varchar."""

    dialect: _ModelDialect

    def visit_type_decorator(self, type_: Any, **options: Any) -> str:
        if isinstance(type_, BoundKey) and type_.table in self.dialect.bindings:
            return self.dialect.bindings[type_.table].key_type
        plain: Any = getattr(super(), "visit_type_decorator")  # noqa: B009
        rendered: str = plain(type_, **options)
        return rendered


class _ModelDialect(BoundDialect):
    ddl_compiler = _ModelDDL
    type_compiler_cls = _ModelTypes


def copy_host(target: Target, copy: Copy) -> None:
    """Bring the host's tables, without their rows, where the project adopts any."""
    if not target.bindings:
        return
    source = target.admin_url or target.owner_url
    with connect(source, autocommit=True, purpose=PURPOSE) as live:
        major = live.info.server_version // 10_000
    ours = [line.schema for line in target.registry.lines]
    transfer.carry(source, copy.admin_url, major=major, schema_only=True, without=ours)


def _table(model: type[Model]) -> sa.Table:
    table: Any = mapper_of(model).local_table
    return table  # type: ignore[no-any-return]


def _is_enum(type_: object) -> bool:
    return isinstance(type_, sa.Enum) and type_.native_enum


def _enums(tables: list[sa.Table]) -> dict[str, sa.Enum]:
    """The enum types of the columns, by name; those of arrays' items too.

    The models say `create_type=False`, for it is the lines that make them.
    """
    types: list[Any] = [
        getattr(c.type, "item_type", c.type) for table in tables for c in table.columns
    ]
    return {f"{each.schema}.{each.name}": each for each in types if _is_enum(each)}
