"""A module's tables as a Mermaid entity-relationship diagram."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bedplate.catalog import Column, Constraint, Table

# The names people say; the dictionary below the diagram has the exact types.
SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "character varying": "varchar",
    "double precision": "float8",
}


def diagram(tables: Sequence[Table]) -> str:
    """Return `erDiagram` text: every table with its columns, every foreign key as a line.

    A table of another schema that is pointed at appears by its name alone.
    """
    lines = ["erDiagram"]
    for table in tables:
        lines += _entity(table)
    for table in tables:
        lines += [_relation(table, rule) for rule in table.foreign_keys]
    return "\n".join(lines)


def _entity(table: Table) -> Iterator[str]:
    yield f'    {_identifier(table.schema, table.name)}["{_quoted(table.full_name)}"] {{'
    for column in table.columns:
        yield " ".join(
            filter(
                None,
                (
                    f"        {_word(_short(column.type))}",
                    _word(column.name),
                    ", ".join(_keys(table, column)),
                    f'"{_quoted(column.comment)}"' if column.comment else "",
                ),
            )
        )
    yield "    }"


def _keys(table: Table, column: Column) -> Iterator[str]:
    if column.name in table.primary_key:
        yield "PK"
    if any(column.name in rule.columns for rule in table.foreign_keys):
        yield "FK"
    if (column.name,) != table.primary_key and table.is_unique((column.name,)):
        yield "UK"


def _relation(table: Table, rule: Constraint) -> str:
    assert rule.references is not None, "a foreign key points at something"
    nullable = any(each.nullable for each in table.columns if each.name in rule.columns)
    parent = _identifier(rule.references.schema, rule.references.table)
    ends = ("|o" if nullable else "||") + "--" + ("o|" if table.is_unique(rule.columns) else "o{")
    label = ", ".join(rule.columns)
    return f'    {parent} {ends} {_identifier(table.schema, table.name)} : "{_quoted(label)}"'


def _identifier(schema: str, table: str) -> str:
    return _word(f"{schema}_{table}")


def _short(kind: str) -> str:
    """auth.role to role, numeric(12,2) to numeric, timestamps to their short names."""
    is_array = kind.endswith("[]")
    bare = re.sub(r"\([^)]*\)", "", kind.removesuffix("[]"))
    bare = SHORT_TYPES.get(bare, bare.rsplit(".", 1)[-1])
    return bare + ("[]" if is_array else "")


def _word(text: str) -> str:
    """Mermaid's words are letters, digits, _ and [] here; anything else becomes an underscore."""
    word = re.sub(r"[^A-Za-z0-9_\[\]]", "_", text)
    return word if re.match(r"[A-Za-z_]", word) else f"_{word}"


def _quoted(text: str) -> str:
    return " ".join(text.split()).replace('"', "'")
