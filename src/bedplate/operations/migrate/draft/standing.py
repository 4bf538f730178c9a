"""The elements that stand beside tables: types, sequences, functions, extensions."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.catalog import (
    CompositeType,
    Domain,
    EnumType,
    Extension,
    Function,
    OtherObject,
    Schema,
    Sequence,
)
from bedplate.operations.migrate.draft.element import Element
from bedplate.operations.migrate.draft.names import literal, mentioned, quoted
from bedplate.operations.migrate.draft.notes import notes


def elements_beside(schema: Schema) -> Iterator[Element]:
    """Return a schema, and all in it that is no table."""
    place = quoted(schema.name)
    yield Element(
        kind="schema",
        name=schema.name,
        definition="",
        create=(f"CREATE SCHEMA {place}",),
        drop=(f"DROP SCHEMA {place}",),
    )
    yield from notes(("schema", schema.name), f"SCHEMA {place}", schema.comment, schema.grants)
    for enum in schema.enums:
        yield from _enum(schema.name, enum)
    for domain in schema.domains:
        yield from _domain(schema.name, domain)
    for composite in schema.composites:
        yield from _composite(schema.name, composite)
    for sequence in schema.sequences:
        yield from _sequence(schema.name, sequence)
    for function in schema.functions:
        yield from _function(schema.name, function)
    for other in schema.others:
        yield other_element(other, schema.name)


def extension_element(extension: Extension) -> Element:
    """Return an extension, as an element; who may install it is the server's affair."""
    name = quoted(extension.name)
    schema = quoted(extension.schema)
    return Element(
        kind="extension",
        name=extension.name,
        definition=extension.version,
        create=(f"CREATE EXTENSION {name} SCHEMA {schema} VERSION {literal(extension.version)}",),
        drop=(f"DROP EXTENSION {name}",),
        source=extension,
    )


def other_element(other: OtherObject, schema: str | None = None) -> Element:
    """Return an object of a rarer kind: it is seen, but not drafted, unless it tells its SQL."""
    name = f"{schema}.{other.name}" if schema else other.name
    create: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    if other.kind == "statistics" and schema:
        create = (other.definition,)
        drop = (f"DROP STATISTICS {quoted(schema, other.name)}",)
    if other.kind == "range type" and schema:
        create = (f"CREATE TYPE {quoted(schema, other.name)} AS RANGE ({other.definition})",)
        drop = (f"DROP TYPE {quoted(schema, other.name)}",)
    return Element(
        kind="statistics" if other.kind == "statistics" else "domain",
        name=f"{other.kind} {name}",
        definition=other.definition,
        create=create,
        drop=drop,
        provides=(schema, other.name) if schema else None,
        needs=mentioned(other.definition),
    )


def _enum(schema: str, enum: EnumType) -> Iterator[Element]:
    place = quoted(schema, enum.name)
    labels = ", ".join(literal(label) for label in enum.labels)
    element = Element(
        kind="enum",
        name=f"{schema}.{enum.name}",
        definition=labels,
        create=(f"CREATE TYPE {place} AS ENUM ({labels})",),
        drop=(f"DROP TYPE {place}",),
        provides=(schema, enum.name),
        source=enum,
    )
    yield element
    yield from notes(element.key, f"TYPE {place}", enum.comment, enum.grants)


def _domain(schema: str, domain: Domain) -> Iterator[Element]:
    place = quoted(schema, domain.name)
    element = Element(
        kind="domain",
        name=f"{schema}.{domain.name}",
        definition=domain.definition,
        create=(f"CREATE DOMAIN {place} {domain.definition}",),
        drop=(f"DROP DOMAIN {place}",),
        provides=(schema, domain.name),
        needs=mentioned(domain.definition),
        source=domain,
    )
    yield element
    yield from notes(element.key, f"DOMAIN {place}", domain.comment, domain.grants)


def _composite(schema: str, composite: CompositeType) -> Iterator[Element]:
    place = quoted(schema, composite.name)
    element = Element(
        kind="composite type",
        name=f"{schema}.{composite.name}",
        definition=composite.definition,
        create=(f"CREATE TYPE {place} AS {composite.definition}",),
        drop=(f"DROP TYPE {place}",),
        provides=(schema, composite.name),
        needs=mentioned(composite.definition),
        source=composite,
    )
    yield element
    yield from notes(element.key, f"TYPE {place}", composite.comment, composite.grants)


def _sequence(schema: str, sequence: Sequence) -> Iterator[Element]:
    place = quoted(schema, sequence.name)
    unlogged = "UNLOGGED " if sequence.unlogged else ""
    options = f"AS {sequence.options.type} {sequence.options.text}".rstrip()
    element = Element(
        kind="sequence",
        name=f"{schema}.{sequence.name}",
        definition=f"{unlogged}{options}",
        create=(f"CREATE {unlogged}SEQUENCE {place} {options}",),
        # One that a column owns went with its table already.
        drop=(f"DROP SEQUENCE IF EXISTS {place}",),
        provides=(schema, sequence.name),
        source=sequence,
    )
    yield element
    yield from notes(element.key, f"SEQUENCE {place}", sequence.comment, sequence.grants)
    if sequence.owned_by is not None:
        table, _, column = sequence.owned_by.rpartition(".")
        owner = f"{quoted(*table.split('.', 1))}.{quoted(column)}"
        home, _, name = table.partition(".")
        yield Element(
            kind="sequence owner",
            name=element.name,
            definition=sequence.owned_by,
            create=(f"ALTER SEQUENCE {place} OWNED BY {owner}",),
            drop=(f"ALTER SEQUENCE {place} OWNED BY NONE",),
            needs=frozenset({(home, name), (table, column)}),
            owner=element.key,
        )


def _function(schema: str, function: Function) -> Iterator[Element]:
    # A body that is text is looked at when it runs; one that is parsed needs what it names.
    head, _, _ = function.definition.partition("\nAS ")
    kind = "FUNCTION" if function.kind == "window function" else function.kind.upper()
    place = f"{kind} {quoted(schema, function.name)}({function.signature})"
    is_drafted = function.kind != "aggregate"
    element = Element(
        kind="function",
        name=f"{schema}.{function.name}({function.signature})",
        definition=function.definition,
        create=(function.definition.rstrip(),) if is_drafted else (),
        drop=(f"DROP {place}",),
        provides=(schema, function.name),
        needs=mentioned(f"{head} {function.returns}") - {(schema, function.name)},
        source=function,
    )
    yield element
    yield from notes(element.key, place, function.comment, function.grants)
