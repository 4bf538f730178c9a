"""What the witnesses mean: two readings become touches.

No witness is enough alone. TRUNCATE sets the counters back, a rewrite counts nothing, a label of an
enum is no lock on any table, a savepoint that was rolled back leaves counts without a lock. Where
they leave a doubt, the verdict is the worse one.
"""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.operations.migrate.definitions import parts, things, touched
from bedplate.operations.migrate.touch import Touch, Verdict
from bedplate.operations.migrate.witness_queries import DEFINING, LARGE_OBJECTS
from bedplate.operations.migrate.witnesses import Reading, Relation

WRITING = frozenset(
    {
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    }
)


def touches(before: Reading, after: Reading) -> tuple[Touch, ...]:
    """Return everything that was touched of what `before` saw, and what is new."""
    found = [
        *_rows(before, after),
        *_relations(before, after),
        *parts(before, after),
        *things(before, after),
        *_catalogs(after),
    ]
    return tuple(found)


def _rows(before: Reading, after: Reading) -> Iterator[Touch]:
    """The counters, with the locks that tell a write from one that was taken back."""
    for oid, name in LARGE_OBJECTS.items():
        # Catalogs let their locks go early: what counts is taken as written.
        count = after.rows.get(oid, 0) - before.rows.get(oid, 0)
        if count:
            yield Touch(
                verdict="rows", kind="large objects", name=name, schema="pg_catalog", count=count
            )
    counted = {
        oid: count
        for oid in {**before.rows, **after.rows}
        if (count := after.rows.get(oid, 0) - before.rows.get(oid, 0)) and oid in before.relations
    }
    # To write a partition is to lock its parents, which hold no rows themselves.
    parents = {name for oid in counted for name in before.lineage(before.relations[oid])[1:]}
    for oid in {**counted, **after.locks}:
        relation = before.relations.get(oid)
        held = after.locks.get(oid, frozenset())
        if relation is None:
            continue
        if oid in counted:
            kept: Verdict = "derived" if relation.kind == "m" else "rows"
            verdict = kept if held & WRITING else "undone"
            yield touched(before, relation, verdict, count=counted[oid])
        elif (
            "RowExclusiveLock" in held
            and relation.kind in "rpmf"
            and relation.full_name not in parents
        ):
            yield touched(before, relation, "attempted")


def _relations(before: Reading, after: Reading) -> Iterator[Touch]:
    for oid, old in before.relations.items():
        new = after.relations.get(oid)
        if new is old and old.kind != "S":
            continue
        held = after.locks.get(oid, frozenset())
        if new is None:
            yield touched(before, old, "gone" if held else "external")
            continue
        if old.kind == "S":
            yield from _sequence(before, after, old, new)
        elif old.filenode != new.filenode:
            yield touched(before, old, _new_file(before, after, old))
        if (old.schema, old.name, old.rest) != (new.schema, new.name, new.rest):
            yield touched(before, old, "shape")
        if old.security != new.security:
            yield touched(before, old, "behaviour")
    for oid, new in after.relations.items():
        if oid not in before.relations:
            mine = bool(after.locks.get(oid))
            yield touched(after, new, "additive" if mine else "external")


def _new_file(before: Reading, after: Reading, old: Relation) -> Verdict:
    if "AccessExclusiveLock" not in after.locks.get(old.oid, frozenset()):
        return "external"
    if old.kind == "m":
        return "derived"
    now, then = after.sizes[old.oid], before.sizes.get(old.oid)
    had_rows = now.rows_known > 0 or (then is not None and then.bytes > 0)
    return "emptied" if now.bytes == 0 and had_rows else "rewritten"


def _sequence(before: Reading, after: Reading, old: Relation, new: Relation) -> Iterator[Touch]:
    held = bool(after.locks.get(old.oid, frozenset()) & WRITING)
    known = old.oid in before.sequences and old.oid in after.sequences
    moved = known and before.sequences[old.oid] != after.sequences[old.oid]
    if old.filenode != new.filenode or (held and (moved or not known)):
        yield touched(before, old, "moved" if held else "external")
    elif moved:
        # A sequence is outside of every transaction: the app draws from it meanwhile.
        yield touched(before, old, "external")


def _catalogs(after: Reading) -> Iterator[Touch]:
    for oid, name in DEFINING.items():
        if after.locks.get(oid, frozenset()) & WRITING:
            yield Touch(verdict="shape", kind="catalog", name=name, schema="pg_catalog")
