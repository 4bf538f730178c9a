"""The elements of tables and views: themselves, and their columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bedplate.catalog import Column, Table
from bedplate.operations.migrate.draft.columns import clause, unset
from bedplate.operations.migrate.draft.element import Element
from bedplate.operations.migrate.draft.names import mentioned, quoted
from bedplate.operations.migrate.draft.notes import grant, notes
from bedplate.operations.migrate.draft.parts import Columns, Parts
from bedplate.operations.migrate.draft.spelling import respelled

VIEWS = ("view", "materialized view")


def elements_of(table: Table, parent: Table | None, columns: Columns) -> Iterator[Element]:
    """Return a table or view with all that is its own; `parent` is that of a partition."""
    parts = Parts(table, columns)
    if table.kind in VIEWS:
        yield _view(table, parts)
        for column in table.columns:
            yield from _column_notes(column, parts)
    else:
        yield _table(table, parts)
        yield from _settings(table, parts)
        inherited = {each.name: each for each in parent.columns} if parent is not None else {}
        for column in table.columns:
            yield from _column(column, inherited.get(column.name), parts)
    kind = "TABLE" if table.kind.endswith("d table") and "foreign" not in table.kind else None
    place = f"{kind or table.kind.upper()} {parts.sql}"
    yield from notes(parts.key, place, table.comment, table.grants)
    yield from parts.all()


def _table(table: Table, parts: Parts) -> Element:
    inline = [rule for rule in table.constraints if rule.references is None and not rule.inherited]
    # The key first, as people write it.
    inline.sort(key=lambda rule: (rule.kind != "primary key", rule.name))
    rules = [f"CONSTRAINT {quoted(rule.name)} {respelled(rule.definition)}" for rule in inline]
    clauses = [clause(column) for column in table.columns] if not table.partition_of else []
    body = ",\n    ".join([*clauses, *rules])
    body = f" (\n    {body}\n)" if body else ("" if table.partition_of else " ()")
    kept = [f"PARTITION BY {table.partition_key}"] if table.partition_key else []
    kept += [f"WITH ({', '.join(table.options)})"] if table.options else []
    parent = _place(table.partition_of) if table.partition_of else None
    of = f" PARTITION OF {parent}" if parent else ""
    tail = " ".join([*([table.bound] if table.bound else []), *kept])
    if table.inherits:
        tail = " ".join([f"INHERITS ({', '.join(map(_place, table.inherits))})", tail])
    unlogged = "UNLOGGED " if table.unlogged else ""
    create = f"CREATE {unlogged}TABLE {parts.sql}{of}{body} {tail}".rstrip()
    needs = set(mentioned(" ".join([*clauses, *rules])))
    needs |= {
        (each.references.schema, each.references.table)
        for each in table.foreign_keys
        if each.references is not None
    }
    needs |= {_named(name) for name in (*table.inherits, table.partition_of) if name}
    return Element(
        kind="table",
        name=table.full_name,
        definition=f"{create if parent else ''} {unlogged}{table.kind} {table.partition_key}"
        f" {table.inherits}",
        create=(create,) if table.kind != "foreign table" else (),
        drop=(f"DROP TABLE {parts.sql}",),
        provides=(table.schema, table.name),
        needs=frozenset(needs - {(table.schema, table.name)}),
        source=table,
    )


def _view(table: Table, parts: Parts) -> Element:
    options = f" WITH ({', '.join(table.options)})" if table.options else ""
    query = (table.query or "").rstrip().removesuffix(";")
    kind = table.kind.upper()
    return Element(
        kind="view",
        name=table.full_name,
        definition=f"{kind} {respelled(table.definition)}",
        create=(f"CREATE {kind} {parts.sql}{options} AS\n{respelled(query)}",),
        drop=(f"DROP {kind} {parts.sql}",),
        provides=(table.schema, table.name),
        needs=parts.needs(query) - {(table.schema, table.name)},
        source=table,
    )


def _settings(table: Table, parts: Parts) -> Iterator[Element]:
    alter = f"ALTER TABLE {parts.sql}"
    if table.row_security:
        enabled, forced = "enabled" in table.row_security, "forced" in table.row_security
        create = [f"{alter} ENABLE ROW LEVEL SECURITY"] if enabled else []
        create += [f"{alter} FORCE ROW LEVEL SECURITY"] if forced else []
        drop = [f"{alter} DISABLE ROW LEVEL SECURITY"] if enabled else []
        drop += [f"{alter} NO FORCE ROW LEVEL SECURITY"] if forced else []
        yield _setting(parts, "row-level security", create, drop)
    if table.options:
        names = ", ".join(option.partition("=")[0] for option in table.options)
        create = [f"{alter} SET ({', '.join(table.options)})"]
        yield _setting(parts, "options", create, [f"{alter} RESET ({names})"], inline=True)
    for setting in table.settings:
        what = " ".join(setting.split()[:2])
        back = [f"{alter} REPLICA IDENTITY DEFAULT"] if what == "REPLICA IDENTITY" else []
        yield _setting(parts, what, [f"{alter} {setting}"] if back else [], back)


def _setting(
    parts: Parts, what: str, create: list[str], drop: list[str], *, inline: bool = False
) -> Element:
    return Element(
        kind="setting",
        name=f"{parts.of.full_name} {what}",
        definition="; ".join(create),
        create=tuple(create),
        drop=tuple(drop),
        owner=parts.key,
        inline=inline,
        needs=parts.needs(" ".join(create)),
    )


def _column(column: Column, inherited: Column | None, parts: Parts) -> Iterator[Element]:
    alter = f"ALTER TABLE {parts.sql}"
    change = f"{alter} ALTER COLUMN {quoted(column.name)}"
    place = (parts.of.full_name, column.name)
    default = column.default or ""
    element = Element(
        kind="column",
        name=parts.name(column.name),
        definition=clause(column, with_default=False),
        create=(f"{alter} ADD COLUMN {clause(column)}",),
        drop=(f"{alter} DROP COLUMN {quoted(column.name)}",),
        provides=place,
        # Of its own table a column needs other columns only where it is computed from them.
        needs=(parts.needs(default, column.type) if column.generated else mentioned(column.type))
        - {place},
        owner=parts.key,
        inline=True,
        automatic=parts.of.partition_of is not None,
        source=column,
    )
    yield element
    if default and not column.generated:
        yield Element(
            kind="default",
            name=element.name,
            definition=default,
            create=(f"{change} SET DEFAULT {default}",),
            drop=(f"{change} DROP DEFAULT",),
            needs=mentioned(default) | {place},
            owner=element.key,
            inline=parts.of.partition_of is None,
            automatic=inherited is not None and inherited.default == default,
        )
    for setting in column.settings:
        what = " ".join(setting.split()[:2])
        yield Element(
            kind="setting",
            name=f"{element.name} {what}",
            definition=setting,
            create=(f"{change} {setting}",),
            drop=(f"{change} {unset(setting)}",),
            owner=element.key,
        )
    yield from _column_notes(column, parts)


def _column_notes(column: Column, parts: Parts) -> Iterator[Element]:
    on = parts.key if parts.key[0] == "view" else ("column", parts.name(column.name))
    name = ("column", parts.name(column.name))
    place = f"COLUMN {parts.sql}.{quoted(column.name)}"
    for note in notes(name, place, column.comment):
        yield _owned(note, on)
    if column.grants:
        yield _owned(grant(name, parts.sql, column.grants, column.name), on)


def _owned(element: Element, owner: tuple[str, str]) -> Element:
    """A view's columns are no elements: what is on them comes and goes with the view."""
    return element if element.owner == owner else replace(element, owner=owner)


def _place(full_name: str) -> str:
    return quoted(*full_name.split(".", 1))


def _named(full_name: str) -> tuple[str, str]:
    schema, _, name = full_name.partition(".")
    return schema, name
