"""What a reader of the data dictionary would find unexplained."""

from __future__ import annotations

from bedplate.catalog import Schema


def uncommented(schema: Schema) -> tuple[str, ...]:
    """Return the tables (auth.users) and columns (auth.users.email) that have no comment."""
    found: list[str] = []
    for table in schema.tables:
        if table.partition_of:
            continue  # a partition is described by its parent
        if not table.comment:
            found.append(table.full_name)
        found += [
            f"{table.full_name}.{column.name}" for column in table.columns if not column.comment
        ]
    return tuple(found)
