"""A snapshot as definitions: one text for each object that can differ by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from bedplate.catalog.objects import Grant, Index, Schema, Snapshot, Table, Trigger
from bedplate.catalog.spelling import settled

Path = tuple[str, ...]
Key = tuple[str, Path]
Place = tuple[Path, str, str]
HAS_INDEX = ("primary key", "unique", "exclusion")
VIEWS = ("view", "materialized view")


@dataclass(frozen=True, slots=True)
class Definition:
    """One object: what it is, its full name in parts, and what PostgreSQL knows of it.

    `whole` is the object it is a part of, such as a column's table; a comment's or a grant's
    `about` is the kind of object it is on, and its path that object's. What is `inherited` a
    partition has from its parent, which tells of it already.
    """

    kind: str
    path: Path
    text: str
    whole: Key | None = None
    about: str = ""
    inherited: bool = False

    @property
    def key(self) -> Key:
        """What its parts call it by."""
        return self.kind, self.path

    @property
    def place(self) -> Place:
        """What tells it from every other object of a snapshot, and sorts it among them."""
        return self.path, self.kind, self.about


class _Owned(Protocol):
    """What every object of a schema has."""

    @property
    def comment(self) -> str | None: ...
    @property
    def grants(self) -> tuple[Grant, ...]: ...
    @property
    def owner(self) -> str: ...


def definitions(snapshot: Snapshot, *, owners: bool = False) -> tuple[Definition, ...]:
    """Return every object of a snapshot, sorted by its name; parts follow their whole.

    The order of columns is left out: what was dropped and made again stands last, and no statement
    that names its columns can tell.
    """
    found = [*_database(snapshot)]
    tables = {table.full_name: table for table in snapshot.tables}
    for schema in snapshot.schemas:
        found += _schema(schema, owners)
        for table in schema.tables:
            found += _table(table, tables.get(table.partition_of or ""), owners)
    return tuple(sorted(map(_settled, found), key=_order))


def _settled(definition: Definition) -> Definition:
    text = settled(definition.text)
    return definition if text is definition.text else replace(definition, text=text)


def _order(definition: Definition) -> tuple[Path, str, bool, str, Path, str]:
    kind, path = definition.whole or definition.key
    is_part = definition.whole is not None
    return path, kind, is_part, definition.kind, definition.path, definition.about


def _database(snapshot: Snapshot) -> Iterator[Definition]:
    for each in snapshot.extensions:
        key: Key = ("extension", (each.name,))
        yield Definition(*key, f"VERSION {each.version} SCHEMA {each.schema}")
        yield from _notes(key, key, each.comment)
    for privileges in snapshot.default_privileges:
        where = f" in {privileges.schema}" if privileges.schema else ""
        name = f"{privileges.sort} of {privileges.role}{where}"
        yield Definition("default privileges", (name,), _granted(privileges.grants))
    for other in snapshot.others:
        key = (other.kind, (other.name,))
        yield Definition(*key, other.definition)
        yield from _notes(key, key, other.comment)


def _schema(schema: Schema, owners: bool) -> Iterator[Definition]:
    here = (schema.name,)
    wholes: list[tuple[str, Path, str, _Owned]] = [
        ("schema", here, "", schema),
        *(("enum", (*here, each.name), each.definition, each) for each in schema.enums),
        *(("domain", (*here, each.name), each.definition, each) for each in schema.domains),
        *(
            ("composite type", (*here, each.name), each.definition, each)
            for each in schema.composites
        ),
        *(("sequence", (*here, each.name), each.definition, each) for each in schema.sequences),
        *(
            (each.kind, (*here, f"{each.name}({each.signature})"), each.definition, each)
            for each in schema.functions
        ),
    ]
    for kind, path, text, each in wholes:
        yield Definition(kind, path, text)
        yield from _notes((kind, path), (kind, path), each.comment, each.grants)
        if owners:
            yield Definition("owner", path, each.owner, (kind, path), about=kind)
    for other in schema.others:
        key = (other.kind, (*here, other.name))
        yield Definition(*key, other.definition)
        yield from _notes(key, key, other.comment)


def _table(table: Table, parent: Table | None, owners: bool) -> Iterator[Definition]:
    path = (table.schema, table.name)
    whole: Key = (table.kind, path)
    yield Definition(*whole, table.definition)
    yield from _notes(whole, whole, table.comment, table.grants)
    if owners:
        yield Definition("owner", path, table.owner, whole, about=table.kind)
    if table.partition_of:
        text = f"PARTITION OF {table.partition_of} {table.bound}"
        yield Definition("partition", path, text, whole)
    if table.row_security:
        yield Definition("row-level security", path, table.row_security, whole)
    yield from _columns(table, parent, whole)
    made = {rule.name for rule in table.constraints if rule.kind in HAS_INDEX}
    for rule in table.constraints:
        part = (_constraint_kind(rule.kind), (*path, rule.name))
        yield Definition(*part, rule.definition, whole, inherited=rule.inherited)
        yield from _notes(part, whole, rule.comment)
    for index in table.indexes:
        part = ("index", (*path, index.name))
        # The index of a constraint is told by the constraint.
        if not index.valid or index.name not in made:
            inherited = index.valid and index.inherited
            yield Definition(*part, _index(index), whole, inherited=inherited)
        yield from _notes(part, whole, index.comment)
    for trigger in table.triggers:
        part = ("trigger", (*path, trigger.name))
        inherited = trigger.inherited and trigger.firing == "enabled"
        yield Definition(*part, _firing(trigger), whole, inherited=inherited)
        yield from _notes(part, whole, trigger.comment)
    for rewrite in table.rules:
        part = ("rule", (*path, rewrite.name))
        state = "" if rewrite.firing == "enabled" else f" ({rewrite.firing})"
        yield Definition(*part, rewrite.definition + state, whole)
        yield from _notes(part, whole, rewrite.comment)
    for policy in table.policies:
        part = ("policy", (*path, policy.name))
        yield Definition(*part, policy.definition, whole)
        yield from _notes(part, whole, policy.comment)


def _columns(table: Table, parent: Table | None, whole: Key) -> Iterator[Definition]:
    parents = {each.name: each.definition for each in parent.columns} if parent else {}
    for column in table.columns:
        part = ("column", (table.schema, table.name, column.name))
        text = column.definition
        # A view's columns are told by its query, but for a default.
        if table.kind not in VIEWS or column.default is not None:
            inherited = parents.get(column.name) == text
            yield Definition(*part, text, whole, inherited=inherited)
        yield from _notes(part, whole, column.comment, column.grants)


def _constraint_kind(kind: str) -> str:
    return kind if kind.endswith(" key") else f"{kind} constraint"


def _index(index: Index) -> str:
    return index.definition + ("" if index.valid else " (invalid)")


def _firing(trigger: Trigger) -> str:
    return trigger.definition + ("" if trigger.firing == "enabled" else f" ({trigger.firing})")


def _notes(
    of: Key, whole: Key, comment: str | None, grants: Iterable[Grant] = ()
) -> Iterator[Definition]:
    kind, path = of
    if comment is not None:
        text = "'" + comment.replace("'", "''") + "'"
        yield Definition("comment", path, text, whole, about=kind)
    if grants:
        yield Definition("grant", path, _granted(grants), whole, about=kind)


def _granted(grants: Iterable[Grant]) -> str:
    return ", ".join(grant.text for grant in grants)
