"""A snapshot as elements."""

from __future__ import annotations

from bedplate.catalog import Snapshot
from bedplate.operations.migrate.draft.element import Element
from bedplate.operations.migrate.draft.relations import elements_of
from bedplate.operations.migrate.draft.standing import (
    elements_beside,
    extension_element,
    other_element,
)


def flattened(snapshot: Snapshot) -> list[Element]:
    """Return everything that a snapshot holds, each as an element.

    Default privileges are left out: whoever creates, has them.
    """
    columns = {
        (table.schema, table.name): frozenset(column.name for column in table.columns)
        for table in snapshot.tables
    }
    found = [extension_element(each) for each in snapshot.extensions]
    found += [other_element(each) for each in snapshot.others]
    for schema in snapshot.schemas:
        found += elements_beside(schema)
        for table in schema.tables:
            found += elements_of(table, snapshot.table(table.partition_of or ""), columns)
    return found
