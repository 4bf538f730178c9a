"""An enum type's labels, changed in place."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.draft.element import Element
from bedplate.operations.migrate.draft.names import literal, quoted

# Every column of the type, whoever's table it is in, in the schemas the statement's author sees.
SWAP = """\
DO $swap$
DECLARE
    place record;
BEGIN
    FOR place IN
        SELECT a.attrelid::regclass AS name, a.attname AS attribute,
               t.typelem <> 0 AND t.typcategory = 'A' AS is_array
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE {old}::regtype IN (t.oid, t.typelem)
          AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT a.attisdropped
    LOOP
        EXECUTE format(
            'ALTER TABLE %s ALTER COLUMN %I TYPE {new}%s USING %I::text%s::{new}%s',
            place.name, place.attribute, CASE WHEN place.is_array THEN '[]' ELSE '' END,
            place.attribute, CASE WHEN place.is_array THEN '[]' ELSE '' END,
            CASE WHEN place.is_array THEN '[]' ELSE '' END
        );
    END LOOP;
END
$swap$"""


def changed_labels(
    element: Element, before: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[str]:
    """Add labels where that is all; else make the type anew and have every column take it.

    PostgreSQL can neither drop nor move a label. A row that holds a label which went makes the
    statement fail, and with it the revision.
    """
    schema, _, name = element.name.partition(".")
    place = quoted(schema, name)
    kept = [label for label in after if label in before]
    if list(before) == kept:
        yield from _added(place, before, after)
        return
    aside = f"{name[:55]}_before"
    yield f"ALTER TYPE {place} RENAME TO {quoted(aside)}"
    labels = ", ".join(literal(label) for label in after)
    yield f"CREATE TYPE {place} AS ENUM ({labels})"
    old = literal(quoted(schema, aside))
    yield SWAP.format(old=old, new=place.replace("'", "''").replace("%", "%%"))
    yield f"DROP TYPE {quoted(schema, aside)}"


def _added(place: str, before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[str]:
    known = list(before)
    for position, label in enumerate(after):
        if label in known:
            continue
        behind = f" AFTER {literal(after[position - 1])}" if position else ""
        if not position and known:
            behind = f" BEFORE {literal(known[0])}"
        yield f"ALTER TYPE {place} ADD VALUE {literal(label)}{behind}"
        known.insert(position, label)
