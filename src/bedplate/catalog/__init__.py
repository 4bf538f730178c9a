"""What a PostgreSQL database really has, whatever the code believes."""

from __future__ import annotations

from bedplate.catalog.connection import Connection, connect
from bedplate.catalog.objects import (
    Column,
    Constraint,
    EnumType,
    Function,
    Index,
    Reference,
    Schema,
    Snapshot,
    Table,
    Trigger,
)
from bedplate.catalog.read import read
from bedplate.catalog.versions import LineVersion, read_versions

__all__ = [
    "Column",
    "Connection",
    "Constraint",
    "EnumType",
    "Function",
    "Index",
    "LineVersion",
    "Reference",
    "Schema",
    "Snapshot",
    "Table",
    "Trigger",
    "connect",
    "read",
    "read_versions",
]
