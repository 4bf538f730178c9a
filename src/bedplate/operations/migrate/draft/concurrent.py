"""Indexes on tables in use are built CONCURRENTLY, in a revision of their own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bedplate.catalog import Index, Schema
from bedplate.operations.migrate.draft.names import quoted
from bedplate.operations.migrate.draft.parts import HAS_INDEX
from bedplate.operations.migrate.draft.spelling import respelled


def new_indexes(made: Schema, wanted: Schema) -> tuple[Index, ...]:
    """Return the indexes that come to plain tables which are there; a rule's own is not one."""
    before = {table.name: table for table in made.tables if table.kind == "table"}
    found: list[Index] = []
    for table in wanted.tables:
        if table.name not in before:
            continue
        known = {index.name for index in before[table.name].indexes}
        known |= {rule.name for rule in table.constraints if rule.kind in HAS_INDEX}
        found += [index for index in table.indexes if index.name not in known]
    return tuple(found)


def without(schema: Schema, indexes: Collection[Index]) -> Schema:
    """Return the schema without these indexes."""
    tables = (
        replace(table, indexes=tuple(each for each in table.indexes if each not in indexes))
        for table in schema.tables
    )
    return replace(schema, tables=tuple(tables))


def building(index: Index) -> str:
    """Return the statement that builds an index while its table is written to."""
    return respelled(index.definition).replace(" INDEX ", " INDEX CONCURRENTLY ", 1)


def dropping(schema: str, index: Index) -> str:
    """Return the statement that drops it so."""
    return f"DROP INDEX CONCURRENTLY {quoted(schema, index.name)}"
