"""What of an element can be changed in place, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from bedplate.catalog import Column, CompositeType, Domain, EnumType, Function, Sequence, Table
from bedplate.kernel.errors import DraftRefused
from bedplate.operations.migrate.draft.columns import counting
from bedplate.operations.migrate.draft.element import Element
from bedplate.operations.migrate.draft.labels import changed_labels
from bedplate.operations.migrate.draft.names import literal, quoted

# What PostgreSQL does not let a column's type change under, or would have cast wrongly.
ON_A_TYPE = frozenset({"view", "rule", "trigger", "policy", "default", "function"})
# A definition that spells a type's name is bound to the old type.
ON_LABELS = ON_A_TYPE | {"constraint", "index", "foreign key", "domain", "composite type"}
FAMILIES = (
    frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"}),
    frozenset({"text", "character varying", "character"}),
)


def altered(before: Element, after: Element) -> tuple[str, ...] | None:
    """Return the statements that change an element in place; None where it must be made anew.

    Raises DraftRefused for what would lose rows.
    """
    way = _WAYS.get(after.kind)
    return None if way is None else way(before, after)


def disturbs(before: Element, after: Element) -> frozenset[str]:
    """Return the kinds of dependents that do not outlive the change in place."""
    if isinstance(before.source, Column) and isinstance(after.source, Column):
        same = before.source.type == after.source.type
        return frozenset() if same else ON_A_TYPE
    if isinstance(before.source, EnumType) and isinstance(after.source, EnumType):
        swapped = not _is_subsequence(before.source.labels, after.source.labels)
        return ON_LABELS if swapped else frozenset()
    return frozenset()


def _is_subsequence(few: tuple[str, ...], many: tuple[str, ...]) -> bool:
    rest = iter(many)
    return all(label in rest for label in few)


def _column(before: Element, after: Element) -> tuple[str, ...] | None:
    was, now = before.source, after.source
    assert isinstance(was, Column)
    assert isinstance(now, Column)
    if now.generated and (not was.generated or was.default != now.default):
        return None
    return tuple(_column_changes(after, was, now))


def _column_changes(element: Element, was: Column, now: Column) -> Iterator[str]:
    assert element.owner is not None
    schema, _, table = element.owner[1].partition(".")
    place = f"ALTER TABLE {quoted(schema, table)}"
    alter = f"{place} ALTER COLUMN {quoted(now.name)}"
    if was.generated and not now.generated:
        yield f"{alter} DROP EXPRESSION"
    if was.identity and not now.identity:
        yield f"{alter} DROP IDENTITY"
    if was.type != now.type:
        yield f"{alter} TYPE {now.type}{_using(was, now)}"
    if was.nullable and not now.nullable:
        yield f"{alter} SET NOT NULL"
    if not was.nullable and now.nullable:
        yield f"{alter} DROP NOT NULL"
    if was.collation != now.collation and was.type == now.type:
        collation = now.collation or 'pg_catalog."default"'
        yield f"{alter} TYPE {now.type} COLLATE {collation}"
    if now.identity and not was.identity:
        yield f"{alter} ADD GENERATED {now.identity.upper()} AS IDENTITY"
    elif now.identity != was.identity and now.identity:
        yield f"{alter} SET GENERATED {now.identity.upper()}"
    if now.identity and was.identity and now.counter and now.counter != was.counter:
        yield f"{alter} {counting(now.counter, 'SET ')}"


def _using(was: Column, now: Column) -> str:
    old, new = (re.sub(r"\(.*?\)", "", kind) for kind in (was.type, now.type))
    if old == new or any({old, new} <= family for family in FAMILIES):
        return ""
    return f" USING {quoted(now.name)}::text::{now.type}"


def _again(before: Element, after: Element) -> tuple[str, ...]:
    del before
    return after.create


def _enum(before: Element, after: Element) -> tuple[str, ...]:
    was, now = before.source, after.source
    assert isinstance(was, EnumType)
    assert isinstance(now, EnumType)
    return tuple(changed_labels(after, was.labels, now.labels))


def _function(before: Element, after: Element) -> tuple[str, ...] | None:
    was, now = before.source, after.source
    assert isinstance(was, Function)
    assert isinstance(now, Function)
    # Names and defaults of arguments stand in the first line; PostgreSQL keeps both.
    same = was.returns == now.returns and _head(was) == _head(now)
    return after.create if same else None


def _head(function: Function) -> str:
    return function.definition.partition("\n")[0]


def _view(before: Element, after: Element) -> tuple[str, ...] | None:
    was, now = before.source, after.source
    assert isinstance(was, Table)
    assert isinstance(now, Table)
    if was.kind != "view" or now.kind != "view":
        return None
    old = [(column.name, column.type) for column in was.columns]
    new = [(column.name, column.type) for column in now.columns]
    if new[: len(old)] != old:
        return None
    return tuple(
        statement.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1) for statement in after.create
    )


def _table(before: Element, after: Element) -> tuple[str, ...]:
    was, now = before.source, after.source
    assert isinstance(was, Table)
    assert isinstance(now, Table)
    place = quoted(now.schema, now.name)
    same = replace(was, partition_of=now.partition_of, bound=now.bound, unlogged=now.unlogged)
    if same.definition != now.definition or was.kind != now.kind:
        raise DraftRefused(
            f"{after.name} cannot be changed in place from {was.kind} {was.definition} to"
            f" {now.kind} {now.definition}.".replace("  ", " "),
            "Write the revision by hand: make the new table, copy the rows, then rename.",
        )
    steps: list[str] = []
    if was.unlogged != now.unlogged:
        steps.append(f"ALTER TABLE {place} SET {'UNLOGGED' if now.unlogged else 'LOGGED'}")
    if (was.partition_of, was.bound) != (now.partition_of, now.bound):
        if was.partition_of:
            parent = quoted(*was.partition_of.split(".", 1))
            steps.append(f"ALTER TABLE {parent} DETACH PARTITION {place}")
        if now.partition_of:
            parent = quoted(*now.partition_of.split(".", 1))
            steps.append(f"ALTER TABLE {parent} ATTACH PARTITION {place} {now.bound}")
    return tuple(steps)


def _domain(before: Element, after: Element) -> tuple[str, ...]:
    was, now = before.source, after.source
    if not isinstance(was, Domain) or not isinstance(now, Domain) or was.type != now.type:
        raise DraftRefused(
            f"The type {after.name} cannot be changed in place.",
            "Write the revision by hand: make a new type, and have the columns take it.",
        )
    alter = f"ALTER DOMAIN {quoted(*after.name.split('.', 1))}"
    steps = [
        f"{alter} DROP CONSTRAINT {quoted(check.name)}"
        for check in was.checks
        if check not in now.checks
    ]
    if was.default != now.default:
        steps.append(
            f"{alter} " + (f"SET DEFAULT {now.default}" if now.default else "DROP DEFAULT")
        )
    if was.nullable != now.nullable:
        steps.append(f"{alter} {'DROP' if now.nullable else 'SET'} NOT NULL")
    steps += [
        f"{alter} ADD CONSTRAINT {quoted(check.name)} {check.definition}"
        for check in now.checks
        if check not in was.checks
    ]
    return tuple(steps)


def _composite(before: Element, after: Element) -> tuple[str, ...]:
    was, now = before.source, after.source
    assert isinstance(was, CompositeType)
    assert isinstance(now, CompositeType)
    kept = len(was.attributes)
    if now.attributes[:kept] != was.attributes:
        raise DraftRefused(
            f"The type {after.name} cannot be changed in place: only fields at its end can come.",
            "Write the revision by hand.",
        )
    alter = f"ALTER TYPE {quoted(*after.name.split('.', 1))}"
    return tuple(
        f"{alter} ADD ATTRIBUTE {quoted(each.name)} {each.type}" for each in now.attributes[kept:]
    )


def _sequence(before: Element, after: Element) -> tuple[str, ...]:
    del before
    now = after.source
    assert isinstance(now, Sequence)
    alter = f"ALTER SEQUENCE {quoted(*after.name.split('.', 1))}"
    return (f"{alter} AS {now.options.type} {counting(now.options)}",)


def _extension(before: Element, after: Element) -> tuple[str, ...]:
    del before
    return (f"ALTER EXTENSION {quoted(after.name)} UPDATE TO {literal(after.definition)}",)


def _grant(before: Element, after: Element) -> tuple[str, ...]:
    return (*before.drop, *after.create)


_WAYS: dict[str, Callable[[Element, Element], tuple[str, ...] | None]] = {
    "column": _column,
    "default": _again,
    "comment": _again,
    "grant": _grant,
    "setting": _grant,
    "domain": _domain,
    "composite type": _composite,
    "sequence": _sequence,
    "extension": _extension,
    "sequence owner": _again,
    "enum": _enum,
    "function": _function,
    "view": _view,
    "table": _table,
}
