"""What a PostgreSQL database really has, whatever the code believes."""

from __future__ import annotations

from bedplate.catalog.client_tools import Tools, tools
from bedplate.catalog.connection import Connection, connect
from bedplate.catalog.content import Content, content, contents
from bedplate.catalog.definitions import Definition, definitions
from bedplate.catalog.difference import Change, difference
from bedplate.catalog.fingerprint import canonical, fingerprint
from bedplate.catalog.identity import identity, system_identifier
from bedplate.catalog.objects import (
    Attribute,
    Column,
    CompositeType,
    Constraint,
    DefaultPrivileges,
    Domain,
    DomainCheck,
    EnumType,
    Extension,
    Function,
    Grant,
    Index,
    OtherObject,
    Policy,
    Reference,
    Rule,
    Schema,
    Sequence,
    SequenceOptions,
    Snapshot,
    Table,
    Trigger,
)
from bedplate.catalog.options import options_set
from bedplate.catalog.pinned import pinned
from bedplate.catalog.read import read
from bedplate.catalog.schemas import has_rows, user_schemas
from bedplate.catalog.sizes import Size, sizes
from bedplate.catalog.versions import LineVersion, read_versions

__all__ = [
    "Attribute",
    "Change",
    "Column",
    "CompositeType",
    "Connection",
    "Constraint",
    "Content",
    "DefaultPrivileges",
    "Definition",
    "Domain",
    "DomainCheck",
    "EnumType",
    "Extension",
    "Function",
    "Grant",
    "Index",
    "LineVersion",
    "OtherObject",
    "Policy",
    "Reference",
    "Rule",
    "Schema",
    "Sequence",
    "SequenceOptions",
    "Size",
    "Snapshot",
    "Table",
    "Tools",
    "Trigger",
    "canonical",
    "connect",
    "content",
    "contents",
    "definitions",
    "difference",
    "fingerprint",
    "has_rows",
    "identity",
    "options_set",
    "pinned",
    "read",
    "read_versions",
    "sizes",
    "system_identifier",
    "tools",
    "user_schemas",
]
