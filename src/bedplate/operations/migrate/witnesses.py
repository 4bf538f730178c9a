"""The witnesses of what a revision touches, read inside its own transaction.

Five that no statement escapes together: the transaction's own row counters, the file under each
relation, the locks it holds, what the catalog says of every object, sequences and large objects.
`verdict` says what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from psycopg import sql

from bedplate.catalog import Connection
from bedplate.kernel.errors import MigrationFailed
from bedplate.operations.migrate import witness_queries as queries
from bedplate.operations.migrate import witness_rare

SEQUENCES_MAX = 1_000
"""How many sequences' values are read; of the others only the lock tells that they moved."""

SETTLE = "SET CONSTRAINTS ALL IMMEDIATE"
SAFE_PATH = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)"
SIZES = """
SELECT oid::bigint, pg_catalog.pg_relation_size(oid), pg_catalog.pg_stat_get_live_tuples(oid)
FROM unnest(%s::oid[]) AS oid
"""


class Relation(NamedTuple):
    """A table, partition, view, sequence or composite type as the catalog has it."""

    oid: int
    schema: str
    name: str
    kind: str
    filenode: int
    parent: int | None
    grants: str
    security: str
    rest: str

    @property
    def full_name(self) -> str:
        """Its name with the schema's."""
        return f"{self.schema}.{self.name}"


class Size(NamedTuple):
    """A relation's file in bytes, and the rows that the statistics knew before the transaction."""

    bytes: int
    rows_known: int


class Thing(NamedTuple):
    """An object that is no relation: its definition's digest and what belongs to it."""

    digest: str
    grants: str | None
    comment: str | None
    extension: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the witnesses said at one moment.

    `parts` are texts by relation and kind (of what may have changed, around a revision), `things`
    by kind, schema and name. `locks` are the modes held by relation; `sizes` are those of the
    relations asked for, and `homes` the tables that an index is held of. `opened` is when the
    cursor was that keeps the parts, `oldest` the first transaction that may commit since.
    """

    relations: Mapping[int, Relation]
    things: Mapping[tuple[str, str, str], Thing]
    rows: Mapping[int, int]
    locks: Mapping[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    parts: Mapping[tuple[int, str], str] = field(default_factory=dict[tuple[int, str], str])
    sequences: Mapping[int, tuple[Any, ...]] = field(default_factory=dict[int, tuple[Any, ...]])
    sizes: Mapping[int, Size] = field(default_factory=dict[int, Size])
    homes: frozenset[int] = frozenset()
    opened: str = ""
    oldest: str = ""

    def lineage(self, relation: Relation) -> tuple[str, ...]:
        """Return its name, and those of its partitioned parents or of a sequence's table."""
        names = [relation.full_name]
        parent = relation.parent
        if relation.kind == "S":
            owner = self.parts.get((relation.oid, "owner of a sequence"))
            parent = int(owner.split(queries.FS)[0]) if owner else None
        while parent is not None and (found := self.relations.get(parent)) is not None:
            names.append(found.full_name)
            parent = found.parent
        return tuple(names)


def before_begin(connection: Connection) -> dict[int, tuple[Any, ...]]:
    """Make an autocommit connection ready to be a witness; return the sequences' values.

    Counters of earlier transactions of the session would count again, so they are flushed. To
    read a sequence locks it for as long as the transaction lasts, so it is read before there is
    one.
    """
    connection.execute("SELECT pg_catalog.pg_stat_force_next_flush()")
    connection.execute("SET jit = off")
    return sequences(connection)


def caveats(connection: Connection) -> tuple[str, ...]:
    """Return what the witnesses could be kept from seeing, in sentences; empty as it should be."""
    row = connection.execute(queries.CAVEATS).fetchone()
    assert row is not None, "the current role exists"
    superuser, extensions, triggers = row
    found = [
        f"The extension {name} lets a statement write through a connection of its own."
        for name in extensions
    ]
    found += [
        f"The event trigger {name} runs with every statement of DDL: what it writes counts as the"
        f" revision's. If that is what was touched, have an administrator switch it off meanwhile:"
        f" ALTER EVENT TRIGGER {name} DISABLE."
        for name in triggers
    ]
    if superuser:
        found.insert(
            0,
            "The owner is a superuser: nothing keeps a revision from switching the counters off"
            " or writing through a connection of its own. Use a role that is none.",
        )
    return tuple(found)


def read(connection: Connection) -> Reading:
    """Read the whole of the witnesses, for statements that commit one by one."""
    found = _read(connection)
    return replace(found, parts=_parts(connection.execute(queries.PARTS.encode(), prepare=True)))


def begin(
    connection: Connection, *, sequences: Mapping[int, tuple[Any, ...]], sizes: Iterable[str] = ()
) -> Reading:
    """Read the witnesses before a revision; the sizes too of the relations named in `sizes`.

    The parts are not read but kept: a cursor goes on to see the catalog as it was when it was
    opened, and what it costs is paid at the end, for those few relations that were touched.
    """
    found = replace(_read(connection), sequences=sequences)
    connection.execute(f"SET LOCAL {queries.CHOSEN} = '{{}}'".encode())
    connection.execute(f"DECLARE {queries.CURSOR} NO SCROLL CURSOR FOR {queries.PARTS_OF}".encode())
    named = set(sizes)
    wanted = [
        each.oid
        for each in found.relations.values()
        if named and not named.isdisjoint(found.lineage(each))
    ]
    return _sized(connection, replace(found, opened=_opened(connection)), wanted)


def end(connection: Connection, before: Reading) -> tuple[Reading, Reading]:
    """Read them after it; return what they said before, with the parts, and what they say now.

    Every deferred trigger and constraint runs first: what was put off to the COMMIT would else
    write when nobody looks any more. Raises MigrationFailed where the revision has touched what
    the witnesses left in its transaction.
    """
    connection.execute(SETTLE)
    connection.execute(SAFE_PATH)
    held = locks(connection)
    found = replace(_read(connection, before), locks=held, homes=_homes(connection, held))
    before, found = _parts_of_both(connection, before, found)
    known = [oid for oid in before.sequences if oid in found.relations]
    found = replace(found, sequences=sequences(connection, known))
    moved = [
        oid
        for oid, relation in found.relations.items()
        if oid in before.relations
        and relation.filenode != before.relations[oid].filenode
        and "AccessExclusiveLock" in held.get(oid, ())
    ]
    grown = [
        int(child.split(queries.FS)[0])
        for (oid, kind), text in found.parts.items()
        if kind == "child" and oid in before.relations and before.parts.get((oid, kind)) != text
        for child in text.split(queries.RS)
    ]
    return before, _sized(connection, found, [*moved, *grown])


def locks(connection: Connection) -> dict[int, frozenset[str]]:
    """Return the modes in which the transaction holds relations, by oid."""
    held: dict[int, set[str]] = {}
    for oid, mode in connection.execute(queries.LOCKS.encode(), prepare=True):
        held.setdefault(oid, set()).add(mode)
    return {oid: frozenset(modes) for oid, modes in held.items()}


def sequences(
    connection: Connection, among: Iterable[int] | None = None
) -> dict[int, tuple[Any, ...]]:
    """Return last_value and is_called of at most SEQUENCES_MAX sequences that the role may read."""
    wanted = None if among is None else set(among)
    if wanted is not None and not wanted:
        return {}
    named = connection.execute(queries.SEQUENCES.encode(), [SEQUENCES_MAX]).fetchall()
    selects = [
        sql.SQL("SELECT {}::bigint, last_value, is_called FROM {}").format(
            sql.Literal(oid), sql.Identifier(schema, name)
        )
        for oid, schema, name in named
        if wanted is None or oid in wanted
    ]
    if not selects:
        return {}
    rows = connection.execute(sql.SQL(" UNION ALL ").join(selects)).fetchall()
    return {oid: (value, called) for oid, value, called in rows}


def _read(connection: Connection, before: Reading | None = None) -> Reading:
    """Read all but the parts and the locks."""

    def rows(query: str) -> list[Any]:
        # Prepared, so that the second reading is not planned again.
        return connection.execute(query.encode(), prepare=True).fetchall()

    ((oldest,),) = rows(queries.OLDEST)
    things = {
        (kind, schema, name): Thing(digest, grants, comment, extension)
        for query in (queries.FUNCTIONS, queries.TYPES, queries.SCHEMAS)
        for kind, schema, name, digest, grants, comment, extension in rows(query)
    }
    for kind, oid, name, digest in rows(witness_rare.RARE):
        things[kind, "", name if name != str(oid) else f"{kind} {oid}"] = Thing(
            digest, None, None, None
        )
    return Reading(
        relations=_relations(connection, before),
        things=things,
        rows=dict(rows(queries.COUNTS_HELD if before is None else queries.COUNTS)),
        oldest=oldest,
    )


def _relations(connection: Connection, before: Reading | None) -> dict[int, Relation]:
    """Read them; the second time only those that somebody has written since."""
    query, given = queries.RELATIONS, []
    if before is not None:
        query, given = query + queries.SINCE, [before.oldest]
    rows = connection.execute(query.encode(), given).fetchall()
    found = {row[0]: Relation._make(row) for row in rows}
    if before is None:
        return found
    ((oids,),) = connection.execute(queries.PRESENT.encode())
    present = set(map(int, oids.split(","))) if oids else ()
    return {oid: each for oid, each in {**before.relations, **found}.items() if oid in present}


def _parts_of_both(
    connection: Connection, before: Reading, after: Reading
) -> tuple[Reading, Reading]:
    """Read the parts, then and now, of what may have changed.

    That is what is locked, and what can be granted without a lock; what is neither was changed by
    nobody here. A lock on the catalog itself leaves nothing certain, and on a rehearsal's copy
    there is nobody else: it is of everything then.
    """
    ((is_rehearsed,),) = connection.execute(queries.IS_REHEARSED.encode())
    if after.locks.keys().isdisjoint(queries.DEFINING) and not is_rehearsed:
        changed = (
            oid
            for oid, relation in before.relations.items()
            if after.relations.get(oid) != relation
        )
        granted = (oid for (oid,) in connection.execute(queries.GRANTED.encode()))
        chosen = {*after.locks, *after.homes, *changed, *granted}
    else:
        chosen = {*before.relations, *after.relations}
    connection.execute(
        "SELECT pg_catalog.set_config(%s, %s, true)",
        [queries.CHOSEN, f"{{{','.join(map(str, chosen))}}}"],
    )
    then = _kept(connection, before.opened)
    now = connection.execute(queries.PARTS_OF.encode()).fetchall()
    return replace(before, parts=_parts(then)), replace(after, parts=_parts(now))


def _kept(connection: Connection, opened: str) -> list[Any]:
    """Fetch the parts as they were; raise MigrationFailed where the cursor is not as we left it."""
    if opened and _opened(connection) == opened:
        rows = connection.execute(f"FETCH ALL FROM {queries.CURSOR}".encode()).fetchall()
        if rows[:1] == [queries.OPENED]:
            connection.execute(f"CLOSE {queries.CURSOR}".encode())
            return rows
    raise MigrationFailed(
        f"The revision closed or read the cursor {queries.CURSOR}, which keeps what its tables were"
        " before.",
        "Nothing of it was kept. Leave out CLOSE ALL, and name cursors otherwise.",
    )


def _opened(connection: Connection) -> str:
    """Return when the cursor was opened: another of its name would be a later one."""
    row = connection.execute(queries.CURSOR_OPENED.encode()).fetchone()
    return row[0] if row is not None else ""


def _homes(connection: Connection, held: Mapping[int, frozenset[str]]) -> frozenset[int]:
    """Return the tables of the indexes that are locked: ALTER INDEX does not lock the table."""
    return frozenset(oid for (oid,) in connection.execute(queries.INDEXED, [[*held]]))


def _parts(rows: Iterable[tuple[int, str, str]]) -> dict[tuple[int, str], str]:
    return {(oid, kind): text for oid, kind, text in rows if oid}


def _sized(connection: Connection, found: Reading, oids: list[int]) -> Reading:
    if not oids:
        return found
    rows = connection.execute(SIZES, [oids]).fetchall()
    return replace(found, sizes={oid: Size(size, known) for oid, size, known in rows})
