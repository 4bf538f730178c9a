"""The witnesses around statements that commit one by one: refused before, looked at after.

There is no transaction to roll back, so what a statement of the allow-list would touch is known
from the statement, and refused unless it is declared. What it did is then read from the catalog.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bedplate.catalog import Connection
from bedplate.kernel import clock
from bedplate.kernel.errors import UndeclaredTouch
from bedplate.operations.migrate import verdict, witnesses
from bedplate.operations.migrate.allowed import Allowed
from bedplate.operations.migrate.backfill_books import TABLES
from bedplate.operations.migrate.books import made_by, signed
from bedplate.operations.migrate.document import document
from bedplate.operations.migrate.existing import quoted
from bedplate.operations.migrate.receipt import HeldLock, Kept, Receipt
from bedplate.operations.migrate.revision import Revision
from bedplate.operations.migrate.step import Step
from bedplate.operations.migrate.touch import TABLE_KINDS, Touch, line_to_add, undeclared

OWN = frozenset({"ShareUpdateExclusiveLock"})
SAFE_PATH = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)"
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
        self.locks: list[HeldLock] = []
        self._touches: list[Touch] = []
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
        if foreseen is not None:
            self._refuse([foreseen], "Nothing of it was sent.")
        self._before = self._read()

    def skipped(self, step: Allowed) -> None:
        """Note what is there already, of the very definition: a run that was cut off made it."""
        foreseen = self._foreseen(step)
        if foreseen is not None and foreseen.verdict == "additive":
            self._refuse([foreseen], "Nothing of it was sent.")
            self._touches.append(foreseen)

    def after(self, step: Allowed, held: HeldLock | None) -> None:
        """Note what a statement touched. Raises UndeclaredTouch where it was more than foreseen."""
        if held is not None:
            self.locks.append(held)
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
        self._touches.extend(found)
        self._refuse(found, "It is committed already: undo it, or declare it.")

    def filled(self, table: str, rows: int) -> None:
        """Note the rows that a backfill wrote; its table is declared."""
        schema = table.partition(".")[0]
        self._touches.append(
            Touch(verdict="rows", kind="table", name=table, schema=schema, count=rows)
        )

    def kept(self, rows: Kept) -> None:
        """Note the rows that the way back of a backfill left as they are."""
        self._kept.append(rows)

    def end(self) -> tuple[Receipt, dict[str, Any]]:
        """Return the receipt, and the whole of it as it is stored."""
        shaped = dict.fromkeys(
            each.name for each in self._touches if each.verdict in ("shape", "behaviour", "gone")
        )
        receipt = Receipt(
            module=self.step.line.name,
            revision=self.revision.name,
            rows_touched=sum(each.count for each in self._touches if each.verdict == "rows"),
            rewritten=(),
            shape_changes=tuple(shaped),
            locks=tuple(self.locks),
            tables_watched=sum(
                relation.kind in TABLE_KINDS for relation in self._before.relations.values()
            ),
            receipt_ms=round(self._cost_ns / 1e6, 3),
            caveats=self._caveats,
            kept=tuple(self._kept),
        )
        whole = document(self.step, self.revision, receipt, self._touches, self._started)
        return receipt, {**whole, **signed(self.connection)}

    def _foreseen(self, step: Allowed) -> Touch | None:
        """What the statement will touch, as far as it needs to be declared."""
        match step.kind:
            case "create index" | "add constraint":
                table, schema, _ = self._place(PLACE, step.table)
                kind = "index" if step.kind == "create index" else "constraint"
                name = f"{schema if kind == 'index' else table}.{step.name[0]}"
                return Touch(
                    verdict="additive", kind=kind, name=name, schema=schema, within=(table,)
                )
            case "drop index":
                name, schema, table = self._place(PLACE, step.name)
                within = (table,) if table else ()
                return Touch(verdict="gone", kind="index", name=name, schema=schema, within=within)
            case "detach partition" | "finish detaching":
                name, schema, _ = self._place(PLACE, step.name)
                parent, _, _ = self._place(PLACE, step.table)
                return Touch(
                    verdict="shape", kind="table", name=name, schema=schema, within=(parent,)
                )
            case "add enum label":
                name, schema, _ = self._place(TYPE_PLACE, step.table)
                return Touch(verdict="shape", kind="type", name=name, schema=schema)
            case "reindex index" | "reindex table" | "validate constraint":
                return None

    def _is_said(self, step: Allowed, touch: Touch) -> bool:
        """Whether a touch is but the flag that the statement sets (VALID), or its own leftover."""
        if touch.name in TABLES or (touch.kind == "index" and LEFTOVER.search(touch.name)):
            return True
        if step.kind not in ("validate constraint", "create index", "add constraint"):
            return False
        return touch.verdict == "shape" and touch.name.rpartition(".")[2] == step.name[0]

    def _refuse(self, touches: Sequence[Touch], outcome: str) -> None:
        declared, line = self.revision.touches, self.step.line
        beyond = undeclared(touches, declared, line.schema, self._made)
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
