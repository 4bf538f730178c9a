"""What changed between two readings of the catalog, object by object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bedplate.operations.migrate.touch import RELATION_KINDS, Touch, Verdict
from bedplate.operations.migrate.witness_queries import DEFINING, FS, RS
from bedplate.operations.migrate.witness_rare import SHARED
from bedplate.operations.migrate.witnesses import Reading, Relation, Thing

ADDED_FREELY = frozenset({"column", "default", "constraint", "index", "statistics"})
"""Parts that change nothing of what is read through the others."""

LOCKLESS = frozenset({"grants", "statistics"})
"""Parts that can change under no lock at all: nothing tells by whom, so it was the revision."""

BEHAVIOUR = frozenset({"trigger", "policy", "rule"})
VIEW_RULE = "_RETURN"

Item = list[str]


def touched(reading: Reading, relation: Relation, verdict: Verdict, *, count: int = 0) -> Touch:
    """Return the touch of a relation as a whole."""
    name, *above = reading.lineage(relation)
    return Touch(
        verdict=verdict,
        kind=RELATION_KINDS[relation.kind],
        name=name,
        schema=relation.schema,
        within=tuple(above),
        count=count,
    )


def parts(before: Reading, after: Reading) -> Iterator[Touch]:
    """Return the touches of columns, constraints, indexes and whatever else a relation has."""
    written = not after.locks.keys().isdisjoint(DEFINING)
    for key in {**before.parts, **after.parts}:
        old, new = before.parts.get(key), after.parts.get(key)
        oid, kind = key
        if old == new or oid not in before.relations or oid not in after.relations:
            continue
        relation = before.relations[oid]
        mine = written or kind in LOCKLESS or oid in after.locks or oid in after.homes
        if not mine:
            # To drop a table that inherits locks that table, and not the one it inherits from.
            children = _items(old).keys() ^ _items(new).keys()
            if kind != "child" or not children or not all(int(c) in after.locks for c in children):
                yield touched(before, relation, "external")
            continue
        yield from _Part(before, after, relation, kind).touches(_items(old), _items(new))
    yield from _grants(before, after)


def things(before: Reading, after: Reading) -> Iterator[Touch]:
    """Return the touches of functions, types, schemas and other objects that are no relation."""
    for key in {**before.things, **after.things}:
        old, new = before.things.get(key), after.things.get(key)
        if old == new:
            continue
        kind, schema, name = key
        if kind in SHARED and SHARED[kind] not in after.locks:
            yield Touch(verdict="external", kind=kind, name=name, schema=schema)
        else:
            yield from _thing(key, old, new)


def _thing(key: tuple[str, str, str], old: Thing | None, new: Thing | None) -> Iterator[Touch]:
    kind, schema, name = key
    known = old or new
    within = (known.extension,) if known is not None and known.extension else ()
    full = ".".join(filter(None, (schema, name)))
    if kind == "function":
        within = (*within, full.split("(")[0])

    def touch(verdict: Verdict, what: str = kind) -> Touch:
        return Touch(verdict=verdict, kind=what, name=full, schema=schema, within=within)

    if old is None:
        yield touch("additive")
    elif new is None:
        yield touch("shape")
    else:
        if old.digest != new.digest or old.extension != new.extension:
            yield touch("shape")
        if old.grants != new.grants:
            yield touch(_granted(old.grants, new.grants), f"grants on {kind}")
        if old.comment != new.comment:
            yield touch("said", f"comment on {kind}")


class _Part:
    """The parts of one kind of one relation, before and after."""

    def __init__(self, before: Reading, after: Reading, relation: Relation, kind: str) -> None:
        self.before = before
        self.after = after
        self.relation = relation
        self.kind = kind
        self.columns = _items(before.parts.get((relation.oid, "column")))
        self.columns_now = _items(after.parts.get((relation.oid, "column")))

    def touches(self, old: Mapping[str, Item], new: Mapping[str, Item]) -> Iterator[Touch]:
        for key in {**old, **new}:
            was, now = old.get(key), new.get(key)
            if was == now or (self.kind == "default" and self._comes_or_goes(key)):
                continue
            if self.kind == "grants":
                item = was or now or []
                verdict = _granted(was[2] if was else "", now[2] if now else "")
                yield self.touch(verdict, key, item, "grants on column")
            elif was is None:
                yield self.touch(self._added(key), key, now or [])
            elif now is None:
                yield self.touch(self._changed(key), key, was)
            else:
                yield from self._different(key, was, now)

    def touch(self, verdict: Verdict, key: str, item: Item, kind: str = "") -> Touch:
        relation = self.relation
        table, *above = self.before.lineage(relation)
        name = {
            "index": f"{relation.schema}.{item[1]}",
            "statistics": f"{relation.schema}.{item[1]}",
            "column": f"{table}.{item[1]}",
            "grants": f"{table}.{item[1]}",
            "constraint": f"{table}.{item[1]}",
            "default": f"{table}.{self.columns.get(key, item)[1]}",
        }.get(self.kind, table)
        if self.kind in BEHAVIOUR and item[1] != VIEW_RULE:
            name = f"{table}.{item[1]}"
        return Touch(
            verdict=verdict,
            kind=kind or self.kind,
            name=name,
            schema=relation.schema,
            within=(table, *above) if name != table else tuple(above),
        )

    def _different(self, key: str, was: Item, now: Item) -> Iterator[Touch]:
        """A column's not null, and a constraint's validity, count by themselves."""
        if self.kind == "column":
            if was[2] != now[2]:
                verdict: Verdict = "additive" if now[2] == "t" else "shape"
                yield self.touch(verdict, key, was, "not null")
            if was[1] != now[1] or was[3:] != now[3:]:
                yield self.touch("shape", key, was)
        elif self.kind == "constraint" and was[3:] == now[3:]:
            yield self.touch("additive" if now[2] == "t" else "shape", key, was, "validity")
        else:
            yield self.touch(self._changed(key), key, was)

    def _added(self, key: str) -> Verdict:
        if self.kind == "child":
            # A new partition without rows adds nothing to what the parent reads.
            oid = int(key)
            size = self.after.sizes.get(oid)
            is_new = oid not in self.before.relations
            return "additive" if is_new and size is not None and size.bytes == 0 else "shape"
        return "additive" if self.kind in ADDED_FREELY else self._changed(key)

    def _changed(self, key: str) -> Verdict:
        if self.kind == "comment":
            return "said"
        if self.kind in BEHAVIOUR and key != VIEW_RULE:
            return "behaviour"
        return "shape"

    def _comes_or_goes(self, key: str) -> bool:
        """Tell whether the default's column is new or gone, which says it all."""
        return (key in self.columns) != (key in self.columns_now)


def _grants(before: Reading, after: Reading) -> Iterator[Touch]:
    for oid, old in before.relations.items():
        new = after.relations.get(oid)
        if new is not old and new is not None and old.grants != new.grants:
            name, *above = before.lineage(old)
            yield Touch(
                verdict=_granted(old.grants, new.grants),
                kind=f"grants on {RELATION_KINDS[old.kind]}",
                name=name,
                schema=old.schema,
                within=tuple(above),
            )


def _granted(old: str | None, new: str | None) -> Verdict:
    """Tell whether somebody may do more, or less, than before."""
    return "additive" if _privileges(old) <= _privileges(new) else "shape"


def _privileges(grants: str | None) -> set[tuple[str, str, str]]:
    """Take {role=arw/owner,...} apart: who, which privilege, from whom."""
    found: set[tuple[str, str, str]] = set()
    for grant in (grants or "").strip("{}").split(","):
        who, _, rest = grant.rpartition("=")
        letters, _, giver = rest.partition("/")
        found.update((who, letter, giver) for letter in letters)
    return found


def _items(text: str | None) -> dict[str, Item]:
    return {item.split(FS, 1)[0]: item.split(FS) for item in text.split(RS)} if text else {}
