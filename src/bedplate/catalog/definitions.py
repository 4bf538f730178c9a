"""A snapshot as definitions: one text for each object that can differ by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bedplate.catalog.objects import Column, Schema, Snapshot, Table

Path = tuple[str, ...]
Key = tuple[str, Path]
HAS_INDEX = ("primary key", "unique", "exclusion")


@dataclass(frozen=True, slots=True)
class Definition:
    """One object: what it is, its full name in parts, and what PostgreSQL knows of it.

    `whole` is the object it is a part of, such as a column's table; a comment's or a grant's
    `about` is the kind of object it is on, and its path that object's.
    """

    kind: str
    path: Path
    text: str
    whole: Key | None = None
    about: str = ""

    @property
    def key(self) -> Key:
        """What its parts call it by."""
        return self.kind, self.path

    @property
    def place(self) -> tuple[Path, str, str]:
        """What tells it from every other object of a snapshot, and sorts it among them."""
        return self.path, self.kind, self.about


def definitions(snapshot: Snapshot) -> tuple[Definition, ...]:
    """Return every object of a snapshot, sorted by its name; parts follow their whole.

    The order of columns is left out: what was dropped and made again stands last, and no statement
    that names its columns can tell.
    """
    found = [each for schema in snapshot.schemas for each in _schema(schema)]
    return tuple(sorted(found, key=_order))


def _order(definition: Definition) -> tuple[Path, str, bool, str, Path, str]:
    kind, path = definition.whole or definition.key
    is_part = definition.whole is not None
    return path, kind, is_part, definition.kind, definition.path, definition.about


def _schema(schema: Schema) -> Iterator[Definition]:
    here = (schema.name,)
    whole: Key = ("schema", here)
    yield Definition(*whole, "")
    yield from _comment(whole, schema.comment, whole)
    for table in schema.tables:
        yield from _table(table)
    for enum in schema.enums:
        whole = ("enum", (*here, enum.name))
        yield Definition(*whole, ", ".join(map(_literal, enum.labels)))
        yield from _comment(whole, enum.comment, whole)
    for function in schema.functions:
        whole = ("function", (*here, f"{function.name}({function.arguments})"))
        yield Definition(*whole, function.definition)
        yield from _comment(whole, function.comment, whole)


def _table(table: Table) -> Iterator[Definition]:
    path = (table.schema, table.name)
    whole: Key = (table.kind, path)
    yield Definition(*whole, "")
    yield from _comment(whole, table.comment, whole)
    if table.partition_of:
        yield Definition("partition", path, f"PARTITION OF {table.partition_of}", whole)
    for column in table.columns:
        part = ("column", (*path, column.name))
        yield Definition(*part, _column(column), whole)
        yield from _comment(part, column.comment, whole)
    made = {rule.name for rule in table.constraints if rule.kind in HAS_INDEX}
    for rule in table.constraints:
        kind = rule.kind if rule.kind.endswith(" key") else f"{rule.kind} constraint"
        yield Definition(kind, (*path, rule.name), rule.definition, whole)
    for index in table.indexes:
        if index.name not in made:
            yield Definition("index", (*path, index.name), index.definition, whole)
    for trigger in table.triggers:
        yield Definition("trigger", (*path, trigger.name), trigger.definition, whole)


def _column(column: Column) -> str:
    words = [column.type]
    if column.identity:
        words.append(f"GENERATED {column.identity.upper()} AS IDENTITY")
    elif column.generated:
        words.append(f"GENERATED ALWAYS AS ({column.default}) STORED")
    elif column.default is not None:
        words.append(f"DEFAULT {column.default}")
    if not column.nullable:
        words.append("NOT NULL")
    return " ".join(words)


def _comment(of: Key, comment: str | None, whole: Key) -> Iterator[Definition]:
    if comment is not None:
        kind, path = of
        yield Definition("comment", path, _literal(comment), whole, about=kind)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
