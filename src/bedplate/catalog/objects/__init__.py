"""The objects of a database as plain frozen values: comparable, hashable, in a fixed order.

Definitions are PostgreSQL's own spelling, every name in full; an object can be made again from it.
"""

from __future__ import annotations

from bedplate.catalog.objects.functions import Function
from bedplate.catalog.objects.grants import DefaultPrivileges, Grant
from bedplate.catalog.objects.parts import (
    Column,
    Constraint,
    Index,
    Policy,
    Reference,
    Rule,
    Trigger,
)
from bedplate.catalog.objects.sequences import Sequence, SequenceOptions
from bedplate.catalog.objects.snapshot import Extension, OtherObject, Schema, Snapshot
from bedplate.catalog.objects.tables import Table
from bedplate.catalog.objects.types import Attribute, CompositeType, Domain, DomainCheck, EnumType

__all__ = [
    "Attribute",
    "Column",
    "CompositeType",
    "Constraint",
    "DefaultPrivileges",
    "Domain",
    "DomainCheck",
    "EnumType",
    "Extension",
    "Function",
    "Grant",
    "Index",
    "OtherObject",
    "Policy",
    "Reference",
    "Rule",
    "Schema",
    "Sequence",
    "SequenceOptions",
    "Snapshot",
    "Table",
    "Trigger",
]
