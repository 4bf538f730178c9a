"""Schemas, and all of a database that lies in none."""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.catalog.objects.functions import Function
from bedplate.catalog.objects.grants import DefaultPrivileges, Grant
from bedplate.catalog.objects.sequences import Sequence
from bedplate.catalog.objects.tables import Table
from bedplate.catalog.objects.types import CompositeType, Domain, EnumType


@dataclass(frozen=True, slots=True)
class OtherObject:
    """An object of a rarer kind: a range type, a statistics object, a publication ..."""

    kind: str
    name: str
    definition: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Extension:
    """One installed extension; its objects are not listed, its version stands for them."""

    name: str
    version: str
    schema: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema; all that is in it is sorted by name."""

    name: str
    comment: str | None
    tables: tuple[Table, ...]
    enums: tuple[EnumType, ...]
    functions: tuple[Function, ...]
    owner: str = ""
    domains: tuple[Domain, ...] = ()
    composites: tuple[CompositeType, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    others: tuple[OtherObject, ...] = ()
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some schemas of a database at one moment, sorted by name, and what lies in no schema."""

    schemas: tuple[Schema, ...]
    extensions: tuple[Extension, ...] = ()
    default_privileges: tuple[DefaultPrivileges, ...] = ()
    others: tuple[OtherObject, ...] = ()

    def schema(self, name: str) -> Schema | None:
        """Return the schema of that name, or None where the database has none."""
        return next((schema for schema in self.schemas if schema.name == name), None)

    def table(self, full_name: str) -> Table | None:
        """Return the table or view of that name (`shop.items`), or None."""
        return next((table for table in self.tables if table.full_name == full_name), None)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table and view of every schema."""
        return tuple(table for schema in self.schemas for table in schema.tables)
