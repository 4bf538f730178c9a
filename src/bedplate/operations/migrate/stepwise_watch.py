"""The witnesses around statements that commit one by one: refused before, looked at after.

There is no transaction to roll back, so what a statement of the allow-list would touch is known
from the statement, and refused unless it is declared. What it did is then read from the catalog.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bedplate.catalog import Connection
from bedplate.kernel import clock
from bedplate.kernel.errors import UndeclaredTouch
from bedplate.operations.migrate import verdict, witnesses
from bedplate.operations.migrate.allowed import Allowed, Kind
from bedplate.operations.migrate.backfill_books import TABLES
from bedplate.operations.migrate.books import made_by, signed
from bedplate.operations.migrate.document import document
from bedplate.operations.migrate.existing import quoted
from bedplate.operations.migrate.receipt import HeldLock, Kept, Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.stepwise_books import TABLE, Note, StepwiseBooks
from bedplate.operations.migrate.timeline import MODES
from bedplate.operations.migrate.touch import TABLE_KINDS, Touch, Verdict, line_to_add, undeclared

ON_A_TABLE: Mapping[Kind, tuple[str, Verdict]] = {
    "add constraint": ("constraint", "additive"),
    "use index": ("constraint", "additive"),
    "drop constraint": ("constraint", "shape"),
    "validate constraint": ("validity", "additive"),
    "set not null": ("not null", "additive"),
    "drop not null": ("not null", "shape"),
}
"""What of a table each kind touches, and how."""

BESIDE_WRITERS = "ShareUpdateExclusiveLock"
OWN = frozenset({BESIDE_WRITERS})
SAFE_PATH = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)"
Held = Mapping[int, Collection[str]]
"""The modes in which relations are held, by oid."""

LEFTOVER = re.compile(r"_cc(new|old)\d*$")
PLACE = """
SELECT n.nspname || '.' || c.relname, n.nspname::text,
    (SELECT tn.nspname || '.' || t.relname FROM pg_catalog.pg_index i
     JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
     JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE i.indexrelid = c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%s)
"""
TYPE_PLACE = """
SELECT n.nspname || '.' || t.typname, n.nspname::text, NULL
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.oid = pg_catalog.to_regtype(%s)
"""


class StepwiseWatch:
    """One revision's watch over the statements that it commits one by one."""

    def __init__(self, connection: Connection, step: Step, revision: Revision) -> None:
        self.step = step
        self.revision = revision
        self.connection = connection
        self.books = StepwiseBooks(connection, step)
        self.books.create()
        self._notes: list[Note] = []
        self._note = Note()
        self._kept: list[Kept] = []
        self._started = clock.nanoseconds()
        self._cost_ns = 0
        self._caveats = witnesses.caveats(connection)
        self._made = (
            made_by(connection, step.line, revision.name) if step.direction == "down" else ()
        )
        self._before = self._read()

    def before(self, step: Allowed) -> None:
        """Refuse a statement that would touch what is not declared. Raises UndeclaredTouch."""
        foreseen = self._foreseen(step)
        self._refuse(foreseen, "Nothing of it was sent.")
        self._before = self._read()
        self._note = Note(foreseen, tuple(self._known_locks(step)))
        self.books.write(step.text, self._note, ended=False)

    def ran(self, step: Allowed, held: Held | None, began_ns: int) -> None:
        """Note what it locked since it began; `held` is None where it has no transaction left."""
        held_ms = round((clock.nanoseconds() - began_ns) / 1e6, 3)
        if held is None:
            locks = tuple(replace(each, held_ms=held_ms) for each in self._note.locks)
        else:
            modes = {
                relation.full_name: max(found, key=MODES.index)
                for oid, found in held.items()
                if (relation := self._before.relations.get(oid)) and relation.kind in TABLE_KINDS
            }
            locks = tuple(
                HeldLock(step.text, table, modes[table], held_ms) for table in sorted(modes)
            )
        self._note = replace(self._note, locks=locks)
        self.books.write(step.text, self._note, ended=True)

    def skipped(self, step: Allowed) -> None:
        """Note what is there already, of the very definition: a run that was cut off made it."""
        note = self.books.find(step.text)
        if note is None:
            foreseen = self._foreseen(step)
            note = Note(tuple(each for each in foreseen if each.verdict == "additive"))
        self._refuse(note.touches, "It is committed already: undo it, or declare it.")
        self._notes.append(note)

    def after(self, step: Allowed) -> None:
        """Note what a statement touched. Raises UndeclaredTouch where it was more than foreseen."""
        now = self._read()
        ours = {
            oid: OWN
            for name in (step.table, step.name)
            for oid in self._oids(name)
            if oid in self._before.relations
        }
        if step.kind == "drop index":
            ours |= dict.fromkeys(self._before.relations, OWN)
        found = verdict.touches(self._before, replace(now, locks=ours))
        found = tuple(each for each in found if not self._is_said(step, each))
        note = replace(self._note, touches=found)
        self.books.write(step.text, note, ended=True)
        self._notes.append(note)
        self._refuse(found, "It is committed already: undo it, or declare it.")

    def filled(self, table: str, rows: int) -> None:
        """Note the rows that a backfill wrote; its table is declared."""
        schema = table.partition(".")[0]
        touch = Touch(verdict="rows", kind="table", name=table, schema=schema, count=rows)
        self._notes.append(Note((touch,)))

    def kept(self, rows: Kept) -> None:
        """Note the rows that the way back of a backfill left as they are."""
        self._kept.append(rows)

    def end(self) -> tuple[Receipt, dict[str, Any]]:
        """Return the receipt, and the whole of it as it is stored."""
        touches = [each for note in self._notes for each in note.touches]
        added = self._added()
        shaped = dict.fromkeys(
            each.name
            for each in touches
            if each.verdict in ("shape", "behaviour", "gone")
            and (each.kind, each.name) not in added
        )
        receipt = Receipt(
            module=self.step.line.name,
            revision=self.revision.name,
            rows_touched=sum(each.count for each in touches if each.verdict == "rows"),
            rewritten=(),
            shape_changes=tuple(shaped),
            locks=tuple(lock for note in self._notes for lock in note.locks),
            tables_watched=sum(
                relation.kind in TABLE_KINDS for relation in self._before.relations.values()
            ),
            receipt_ms=round(self._cost_ns / 1e6, 3),
            caveats=self._caveats,
            kept=tuple(self._kept),
            external=tuple(each.name for each in touches if each.verdict == "external"),
        )
        whole = document(self.step, self.revision, receipt, touches, self._started)
        return receipt, {**whole, **signed(self.connection)}

    def _foreseen(self, step: Allowed) -> tuple[Touch, ...]:
        """What the statement will touch."""
        match step.kind:
            case "create index":
                table, schema, _ = self._place(PLACE, step.table)
                name = f"{schema}.{step.name[0]}"
                return (
                    Touch(
                        verdict="additive", kind="index", name=name, schema=schema, within=(table,)
                    ),
                )
            case "drop index":
                name, schema, table = self._place(PLACE, step.name)
                within = (table,) if table else ()
                return (
                    Touch(verdict="shape", kind="index", name=name, schema=schema, within=within),
                )
            case "detach partition" | "finish detaching":
                name, schema, _ = self._place(PLACE, step.name)
                parent, above, _ = self._place(PLACE, step.table)
                return (
                    Touch(
                        verdict="shape", kind="table", name=name, schema=schema, within=(parent,)
                    ),
                    Touch(verdict="shape", kind="child", name=parent, schema=above),
                )
            case "add enum label":
                name, schema, _ = self._place(TYPE_PLACE, step.table)
                return (Touch(verdict="shape", kind="enum", name=name, schema=schema),)
            case "reindex index" | "reindex table":
                return ()
            case _:
                table, schema, _ = self._place(PLACE, step.table)
                kind, said = ON_A_TABLE[step.kind]
                name = f"{table}.{step.name[0]}"
                return (Touch(verdict=said, kind=kind, name=name, schema=schema, within=(table,)),)

    def _known_locks(self, step: Allowed) -> Iterator[HeldLock]:
        """What a statement locks that may not run in a transaction, where its locks were read."""
        held: dict[str, str] = {}
        match step.kind:
            case "create index" | "reindex table":
                held = {self._place(PLACE, step.table)[0]: BESIDE_WRITERS}
            case "drop index" | "reindex index":
                held = {self._place(PLACE, step.name)[2]: BESIDE_WRITERS}
            case "detach partition":
                parent, part = self._place(PLACE, step.table), self._place(PLACE, step.name)
                held = {parent[0]: BESIDE_WRITERS, part[0]: "AccessExclusiveLock"}
            case _:
                pass
        for table, mode in held.items():
            if table:
                yield HeldLock(step.text, table, mode, 0.0)

    def _is_said(self, step: Allowed, touch: Touch) -> bool:
        """Whether a touch is but the flag that the statement sets (VALID), or its own leftover."""
        if touch.name in (*TABLES, TABLE) or (
            touch.kind == "index" and LEFTOVER.search(touch.name)
        ):
            return True
        if step.kind not in ("validate constraint", "create index", "add constraint"):
            return False
        return touch.verdict == "shape" and touch.name.rpartition(".")[2] == step.name[0]

    def _added(self) -> set[tuple[str, str]]:
        """What this revision added itself, by kind and name: it may take that away again."""
        return {
            (each.kind, each.name)
            for note in self._notes
            for each in note.touches
            if each.verdict == "additive"
        }

    def _refuse(self, touches: Sequence[Touch], outcome: str) -> None:
        declared, line = self.revision.touches, self.step.line
        made = None if self._made is None else {*self._made, *self._added()}
        beyond = undeclared(touches, declared, line.schema, made)
        if beyond:
            listed = "; ".join(dict.fromkeys(each.sentence for each in beyond))
            raise UndeclaredTouch(
                f"Module {line.name}, revision {self.revision.name} touches what it does not"
                f" declare: {listed}. {outcome}",
                f"If all of that is meant, write in its file: {line_to_add(declared, beyond)}",
            )

    def _read(self) -> witnesses.Reading:
        asked = clock.nanoseconds()
        with self.connection.transaction():
            self.connection.execute(SAFE_PATH)
            found = witnesses.read(self.connection)
        self._cost_ns += clock.nanoseconds() - asked
        # The counters are the session's: what stands in them is from statements before.
        return replace(found, rows={})

    def _place(self, query: str, name: tuple[str, ...]) -> tuple[str, str, str]:
        found = self.connection.execute(query.encode(), [quoted(name)]).fetchone()
        # What is not there is the server's to refuse.
        return found or (".".join(name), name[0] if len(name) > 1 else "", "")

    def _oids(self, name: tuple[str, ...]) -> list[int]:
        if not name:
            return []
        found = self.connection.execute(
            "SELECT pg_catalog.to_regclass(%s)::oid::bigint", [quoted(name)]
        ).fetchone()
        return [found[0]] if found is not None and found[0] is not None else []
