"""Which statement of a revision took which lock, and how long it was held."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from bedplate.catalog import Connection
from bedplate.kernel import clock
from bedplate.kernel.errors import MigrationFailed
from bedplate.operations.migrate import witnesses
from bedplate.operations.migrate.receipt import HeldLock
from bedplate.operations.migrate.tokens import SqlUnreadable, matches, statements

MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""Weakest first."""

STATEMENT_CHARACTERS_MAX = 120
ENDINGS = (
    ("COMMIT",),
    ("END",),
    ("ABORT",),
    ("BEGIN",),
    ("START", "TRANSACTION"),
    ("PREPARE", "TRANSACTION"),
    ("ROLLBACK",),
)
_ENDING = re.compile(r"\b(commit|end|abort|begin|start|prepare|rollback)\b", re.IGNORECASE)
_LITERAL = re.compile(r"'(?:[^']|'')*'")


class Timeline:
    """Asks after every statement what the transaction holds: locks last to its end.

    `tables` are those that existed before, by oid.
    """

    def __init__(self, connection: Connection, tables: Mapping[int, str]) -> None:
        self._connection = connection
        self._tables = tables
        self._taken: dict[int, tuple[str, str, int]] = {}
        self._began = clock.nanoseconds()
        self.cost_ns = 0

    def begins(self, statement: str) -> None:
        """Note that a statement is about to run; refuse one that would end the transaction."""
        refuse_ending(statement)
        self._began = clock.nanoseconds()

    def ended(self, statement: str) -> None:
        """Note what it holds now that it has run."""
        asked = clock.nanoseconds()
        held = witnesses.locks(self._connection)
        self.note(statement, held)
        self.cost_ns += clock.nanoseconds() - asked

    def note(self, statement: str, held: Mapping[int, Collection[str]]) -> None:
        """Give to a statement the locks that are stronger than what was held before it."""
        for oid, modes in held.items():
            mode = max(modes, key=MODES.index)
            taken = self._taken.get(oid)
            stronger = taken is None or MODES.index(mode) > MODES.index(taken[1])
            if oid in self._tables and stronger:
                self._taken[oid] = (shown(statement), mode, self._began)

    def locks(self) -> tuple[HeldLock, ...]:
        """Return the strongest lock on each table, from when its statement began until now."""
        now = clock.nanoseconds()
        return tuple(
            HeldLock(statement, self._tables[oid], mode, round((now - since) / 1e6, 3))
            for oid, (statement, mode, since) in self._taken.items()
        )


def shown(statement: str) -> str:
    """Return a statement's beginning on one line, its texts hidden: they may be of rows."""
    lines = " ".join(line.split("--")[0] for line in statement.splitlines())
    return _LITERAL.sub("'…'", " ".join(lines.split()))[:STATEMENT_CHARACTERS_MAX]


def refuse_ending(statement: str) -> None:
    """Raise MigrationFailed for COMMIT and its like: what follows nobody could take back."""
    if not _ENDING.search(statement):
        return
    try:
        found = statements(statement)
    except SqlUnreadable:
        return
    for each in found:
        back_to = matches(each, 0, "ROLLBACK", "TO") or matches(each, 1, "TO")
        if not back_to and any(matches(each, 0, *words) for words in ENDINGS):
            raise MigrationFailed(
                f"A revision ends its own transaction: {shown(statement)}.",
                "Nothing of it was kept. Leave the transaction to the runner, or write"
                " transactional = False.",
            )
