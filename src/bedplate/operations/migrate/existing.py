"""What is there already of a statement that was run before, and may have been cut off.

Compared by definition, never by name alone: an index of the right name on another column is not
the index that was asked for.
"""

from __future__ import annotations

from typing import Literal

from psycopg import sql

from bedplate.catalog import Connection
from bedplate.kernel.errors import DefinitionDiffers
from bedplate.operations.migrate.allowed import Allowed, Name

State = Literal["absent", "half", "there"]
"""Half: an INVALID index, or a partition whose detaching was cut off."""

PROBE = "bedplate_probe"

INDEX = """
SELECT i.indrelid = t.oid, i.indisvalid, pg_catalog.pg_get_indexdef(c.oid)
FROM pg_catalog.pg_class t
JOIN pg_catalog.pg_class c ON c.relnamespace = t.relnamespace AND c.relname = %s
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE t.oid = pg_catalog.to_regclass(%s)
"""
PROBED_INDEX = """
SELECT pg_catalog.pg_get_indexdef(indexrelid) FROM pg_catalog.pg_index
WHERE indrelid = pg_catalog.to_regclass(%s)
"""
CONSTRAINT = """
SELECT convalidated, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
WHERE conrelid = pg_catalog.to_regclass(%s) AND conname = %s
"""
DETACHING = """
SELECT inhdetachpending FROM pg_catalog.pg_inherits
WHERE inhparent = pg_catalog.to_regclass(%s) AND inhrelid = pg_catalog.to_regclass(%s)
"""
NOT_NULL = """
SELECT attnotnull FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass(%s) AND attname = %s AND NOT attisdropped
"""
LABELS = """
SELECT enumlabel::text FROM pg_catalog.pg_enum
WHERE enumtypid = pg_catalog.to_regtype(%s) ORDER BY enumsortorder
"""
LEFTOVERS = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND i.indrelid IN (
    pg_catalog.to_regclass(%(name)s),
    (SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass(%(name)s))
)
"""
NEXT_STEP = "Rename what is there or what the revision makes; nothing was changed."


def quoted(name: Name) -> str:
    """Return a name as SQL writes it."""
    return sql.Identifier(*name).as_string()


def state(connection: Connection, step: Allowed) -> State:
    """Ask how far a statement came. Raises DefinitionDiffers where something else has the name."""
    match step.kind:
        case "create index":
            return _index(connection, step)
        case "drop index":
            return "absent" if _exists(connection, step.name) else "there"
        case "detach partition" | "finish detaching":
            return _detached(connection, step)
        case "drop constraint":
            found = connection.execute(CONSTRAINT, [quoted(step.table), step.name[0]]).fetchone()
            return "there" if found is None else "absent"
        case "use index":
            return _unique(connection, step)
        case "set not null" | "drop not null":
            row = connection.execute(NOT_NULL, [quoted(step.table), step.name[0]]).fetchone()
            wanted = step.kind == "set not null"
            return "there" if row is not None and row[0] == wanted else "absent"
        case "validate constraint":
            found = connection.execute(CONSTRAINT, [quoted(step.table), step.name[0]]).fetchone()
            return "there" if found is not None and found[0] else "absent"
        case "add constraint":
            return _constraint(connection, step)
        case "add enum label":
            return _label(connection, step)
        case "reindex index" | "reindex table":
            return "half" if leftovers(connection, step.name) else "absent"


def leftovers(connection: Connection, name: Name) -> list[Name]:
    """Return the INVALID indexes that a REINDEX CONCURRENTLY of this index or table left."""
    return [
        (schema, index)
        for schema, index in connection.execute(LEFTOVERS, {"name": quoted(name)}).fetchall()
    ]


def _exists(connection: Connection, name: Name) -> bool:
    row = connection.execute(
        "SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [quoted(name)]
    ).fetchone()
    return row is not None and bool(row[0])


def _index(connection: Connection, step: Allowed) -> State:
    found = connection.execute(INDEX, [step.name[0], quoted(step.table)]).fetchone()
    if found is None:
        return "absent"
    ours, valid, definition = found
    if not ours:
        raise DefinitionDiffers(
            f"{step.name[0]} is there already, and is no index of {'.'.join(step.table)}.",
            NEXT_STEP,
        )
    unique = "UNIQUE " if step.unique else ""
    make = f"CREATE {unique}INDEX ON {_probe(step)} {step.rest}"
    wanted = _probed(connection, step, make, PROBED_INDEX, [_probe(step)])
    _compare(step, _of_index(definition), _of_index(wanted))
    return "there" if valid else "half"


def _constraint(connection: Connection, step: Allowed) -> State:
    found = connection.execute(CONSTRAINT, [quoted(step.table), step.name[0]]).fetchone()
    if found is None:
        return "absent"
    make = f"ALTER TABLE {_probe(step)} ADD CONSTRAINT {quoted(step.name)} {step.rest}"
    ask = f"SELECT pg_get_constraintdef FROM ({CONSTRAINT}) AS probed"
    wanted = _probed(connection, step, make, ask, [_probe(step), step.name[0]])
    _compare(step, found[1].removesuffix(" NOT VALID"), wanted.removesuffix(" NOT VALID"))
    return "there"


def _unique(connection: Connection, step: Allowed) -> State:
    """The index that it is to use was compared when it was made: it has its name."""
    found = connection.execute(CONSTRAINT, [quoted(step.table), step.name[0]]).fetchone()
    if found is None:
        return "absent"
    if not found[1].startswith("UNIQUE "):
        raise DefinitionDiffers(
            f"{step.name[0]} on {'.'.join(step.table)} is there already as {found[1]};"
            " the revision makes it unique.",
            NEXT_STEP,
        )
    return "there"


def _detached(connection: Connection, step: Allowed) -> State:
    found = connection.execute(DETACHING, [quoted(step.table), quoted(step.name)]).fetchone()
    if found is None:
        return "there" if _exists(connection, step.name) else "absent"
    return "half" if found[0] else "absent"


def _label(connection: Connection, step: Allowed) -> State:
    labels = [label for (label,) in connection.execute(LABELS, [quoted(step.table)]).fetchall()]
    (label,) = step.name
    if label not in labels:
        return "absent"
    if step.neighbour is not None:
        side, neighbour = step.neighbour
        place = labels.index(neighbour) if neighbour in labels else -1
        before = place >= 0 and labels.index(label) < place
        if place < 0 or before != (side == "BEFORE"):
            table = ".".join(step.table)
            raise DefinitionDiffers(
                f"{table} has the label {label!r} already, and not {side} {neighbour!r}.",
                NEXT_STEP,
            )
    return "there"


def _probe(step: Allowed) -> str:
    return quoted((*step.table[:-1], PROBE))


def _probed(connection: Connection, step: Allowed, make: str, ask: str, values: list[str]) -> str:
    """Return how the server writes what the statement would make, from an empty table's copy."""
    copy = f"CREATE TABLE {_probe(step)} AS SELECT * FROM {quoted(step.table)} WITH NO DATA"
    with connection.transaction(force_rollback=True):
        connection.execute(copy.encode())
        connection.execute(make.encode())
        row = connection.execute(ask.encode(), values).fetchone()
    assert row is not None, "what was made a line above is there"
    return str(row[0])


def _of_index(definition: str) -> str:
    head, _, body = definition.partition(" USING ")
    return f"{'UNIQUE ' if head.startswith('CREATE UNIQUE') else ''}{body}"


def _compare(step: Allowed, found: str, wanted: str) -> None:
    if found != wanted:
        raise DefinitionDiffers(
            f"{step.name[0]} on {'.'.join(step.table)} is there already as {found};"
            f" the revision makes {wanted}.",
            NEXT_STEP,
        )
