"""What statements that lead from one snapshot to another touch of what is there before."""

from __future__ import annotations

from bedplate.catalog import Column, Snapshot, Table
from bedplate.kernel.footprint import Footprint
from bedplate.operations.migrate.draft.element import Element, Key
from bedplate.operations.migrate.draft.flatten import flattened
from bedplate.operations.migrate.draft.render import Way

WORDS_ONLY = ("comment", "grant")
BEHAVIOUR = ("trigger", "policy", "rule", "setting")
# Defaults that PostgreSQL works out once for all rows.
CONSTANT_CALLS = ("bedplate.now()", "'::")


def touches(before: Snapshot, after: Snapshot) -> Footprint:
    """Return what the revision that `statements(before, after)` makes up has to declare.

    Tables are named whole, which covers their columns, rules and indexes. What may have to be
    written anew is declared as such: to declare once too often refuses nothing.
    """
    way = Way(flattened(before), flattened(after))
    shape: set[str] = set()
    behaviour: set[str] = set()
    rewritten: set[str] = set()
    for key in way.touched:
        element = way.before[key]
        if element.kind in WORDS_ONLY or element.automatic:
            continue
        root = _root(element, way.before)
        (behaviour if element.kind in BEHAVIOUR else shape).add(root)
        if element.kind in BEHAVIOUR:
            shape.add(root)
        shape |= _parents(element, way.after.get(key))
        if element.kind == "column" and key in way.written_anew:
            rewritten.add(root)
    for key in way.added:
        element = way.after[key]
        root = _root(element, way.after)
        if ("table", root) not in way.before or element.automatic:
            if element.kind == "table":
                shape |= _parents(element, None) & {table.full_name for table in before.tables}
            continue
        if element.kind in BEHAVIOUR:
            behaviour.add(root)
        if element.kind == "column" and _is_worked_out(element):
            rewritten.add(root)
    return Footprint(
        rewritten=tuple(sorted(rewritten)),
        shape=tuple(sorted(shape)),
        behaviour=tuple(sorted(behaviour)),
    )


def _root(element: Element, known: dict[Key, Element]) -> str:
    while element.owner is not None and element.owner in known:
        element = known[element.owner]
    return element.name


def _parents(*elements: Element | None) -> set[str]:
    """The tables that partitions are of: to come or go changes what their parent shows."""
    tables = [each.source for each in elements if each is not None and each.kind == "table"]
    return {each.partition_of for each in tables if isinstance(each, Table) and each.partition_of}


def _is_worked_out(element: Element) -> bool:
    """Tell whether each row's value may be another, so that every row has to be written."""
    column = element.source
    if not isinstance(column, Column):
        return False
    if column.identity or column.generated == "stored":
        return True
    called = "(" in (column.default or "")
    return called and not any(each in (column.default or "") for each in CONSTANT_CALLS)
