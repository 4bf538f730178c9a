"""What models say of a schema, laid over what its line makes: all else stays as the line has it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bedplate.catalog import Column, EnumType, Schema, Snapshot, Table
from bedplate.kernel.lines import VERSION_TABLE


def overlaid(line: Schema, models: Schema | None, *, gone: Collection[str] = ()) -> Schema:
    """Return the schema as the models want it.

    Models say tables, columns, rules, indexes, types and comments. Triggers, policies, views,
    functions and grants are the line's own affair. A table without a model stays unless its name
    is in `gone`; partitions always stay.
    """
    wanted = {table.name: table for table in models.tables} if models is not None else {}
    tables = [
        _table(table, wanted[table.name]) if table.name in wanted else table
        for table in line.tables
        if table.name not in gone
    ]
    there = {table.name for table in line.tables}
    tables += [table for name, table in wanted.items() if name not in there]
    tables.sort(key=lambda table: table.name)
    enums = _enums(line, models, tables)
    return replace(line, tables=tuple(tables), enums=enums)


def without_model(line: Schema, models: Schema | None) -> list[str]:
    """Return the tables that the line makes and no model has; partitions are not among them."""
    modelled = {table.name for table in models.tables} if models is not None else set[str]()
    return [
        table.name
        for table in line.tables
        if table.kind in ("table", "partitioned table")
        and table.partition_of is None
        and table.name not in modelled
        and table.name != VERSION_TABLE
    ]


def only(snapshot: Snapshot, schema: Schema) -> Snapshot:
    """Return a snapshot with one of its schemas replaced."""
    kept = [schema if each.name == schema.name else each for each in snapshot.schemas]
    return replace(snapshot, schemas=tuple(kept))


def _table(line: Table, model: Table) -> Table:
    """Take from the model what it says; its kind it does not: a line may partition a table."""
    return replace(
        line,
        comment=model.comment if model.comment is not None else line.comment,
        columns=tuple(_column(column, line) for column in model.columns),
        constraints=model.constraints,
        indexes=model.indexes,
    )


def _column(model: Column, line: Table) -> Column:
    made = next((column for column in line.columns if column.name == model.name), None)
    if made is None or model.comment is not None:
        return model
    return replace(model, comment=made.comment)


def _enums(line: Schema, models: Schema | None, tables: list[Table]) -> tuple[EnumType, ...]:
    """The models' types, and the line's; one that no column has any longer goes."""
    modelled = {enum.name: enum for enum in models.enums} if models is not None else {}
    before = _types_of(line.tables)
    after = _types_of(tables)
    kept = {
        enum.name: enum
        for enum in line.enums
        if _is_used(line.name, enum, after) or not _is_used(line.name, enum, before)
    }
    for name, enum in modelled.items():
        made = kept.get(name)
        comment = made.comment if enum.comment is None and made is not None else enum.comment
        kept[name] = replace(enum, comment=comment)
    return tuple(kept[name] for name in sorted(kept))


def _types_of(tables: Collection[Table]) -> set[str]:
    return {column.type.removesuffix("[]") for table in tables for column in table.columns}


def _is_used(schema: str, enum: EnumType, types: set[str]) -> bool:
    return bool({f"{schema}.{enum.name}", f'{schema}."{enum.name}"'} & types)
