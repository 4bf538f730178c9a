"""The objects of a database as plain frozen values: comparable, hashable, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TableKind = Literal["table", "partitioned table", "view", "materialized view", "foreign table"]
ConstraintKind = Literal["primary key", "unique", "foreign key", "check", "exclusion"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type` and `default` are PostgreSQL's own spelling."""

    name: str
    type: str
    nullable: bool
    default: str | None
    identity: Literal["", "always", "by default"]
    generated: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Reference:
    """What a foreign key points at."""

    schema: str
    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint; NOT NULL is a column's own affair."""

    name: str
    kind: ConstraintKind
    columns: tuple[str, ...]
    definition: str
    references: Reference | None


@dataclass(frozen=True, slots=True)
class Index:
    """One index; an entry of `keys` is a column or an expression."""

    name: str
    keys: tuple[str, ...]
    unique: bool
    primary: bool
    valid: bool
    predicate: str | None
    definition: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger that somebody created (not those PostgreSQL keeps for foreign keys)."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view, with all that belongs to it."""

    schema: str
    name: str
    kind: TableKind
    comment: str | None
    partition_of: str | None
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[Trigger, ...]

    @property
    def full_name(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The key's columns, or none."""
        keys = (rule.columns for rule in self.constraints if rule.kind == "primary key")
        return next(keys, ())

    @property
    def foreign_keys(self) -> tuple[Constraint, ...]:
        """The foreign keys, by name."""
        return tuple(rule for rule in self.constraints if rule.kind == "foreign key")

    def is_unique(self, columns: tuple[str, ...]) -> bool:
        """Tell whether at most one row can hold the same values in these columns."""
        return any(
            index.unique and index.predicate is None and set(index.keys) <= set(columns)
            for index in self.indexes
        )


@dataclass(frozen=True, slots=True)
class EnumType:
    """One enum type; its labels in the order in which they sort."""

    name: str
    labels: tuple[str, ...]
    comment: str | None


@dataclass(frozen=True, slots=True)
class Function:
    """One function or procedure."""

    name: str
    arguments: str
    returns: str
    definition: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema; all that is in it is sorted by name."""

    name: str
    comment: str | None
    tables: tuple[Table, ...]
    enums: tuple[EnumType, ...]
    functions: tuple[Function, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some schemas of a database at one moment, sorted by name."""

    schemas: tuple[Schema, ...]

    def schema(self, name: str) -> Schema | None:
        """Return the schema of that name, or None where the database has none."""
        return next((schema for schema in self.schemas if schema.name == name), None)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table and view of every schema."""
        return tuple(table for schema in self.schemas for table in schema.tables)
