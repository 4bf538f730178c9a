"""The statements that may run outside of a transaction, read strictly: what is not here, may not.

Each can be asked afterwards whether it was done, so a run that was killed can be taken up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bedplate.kernel.errors import StepNotAllowed
from bedplate.operations.migrate.tokens import SqlUnreadable, Token, matches, statements

Kind = Literal[
    "create index",
    "drop index",
    "reindex index",
    "reindex table",
    "detach partition",
    "finish detaching",
    "validate constraint",
    "add constraint",
    "drop constraint",
    "use index",
    "set not null",
    "drop not null",
    "add enum label",
]

# These wait for every older transaction, or read a whole table, while others read and write on: a
# short lock timeout would only make them fail again and again. The others must give way.
PATIENT: frozenset[Kind] = frozenset(
    {
        *("create index", "drop index", "reindex index", "reindex table"),
        *("detach partition", "validate constraint"),
    }
)
NEXT_STEP = (
    "Outside of a transaction there may be CREATE INDEX, DROP INDEX and REINDEX … CONCURRENTLY,"
    " DETACH PARTITION … CONCURRENTLY, ADD CONSTRAINT … NOT VALID, VALIDATE and DROP CONSTRAINT,"
    " ADD CONSTRAINT i UNIQUE USING INDEX i, SET and DROP NOT NULL, ALTER TYPE … ADD VALUE and"
    " backfills; put the rest into a revision of its own."
)
TEXT_CHARACTERS_MAX = 120

Name = tuple[str, ...]
"""An object's name, with its schema where one was written: ("shop", "items")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One statement that may run: its kind, the table (or type), and the object's name on it.

    `rest` is what defines a new object: the text after the table's name (an index) or after the
    constraint's. `neighbour` says where a new enum label stands: ("BEFORE", "LARGE").
    """

    text: str
    kind: Kind
    table: Name = ()
    name: Name = ()
    rest: str = ""
    unique: bool = False
    neighbour: tuple[str, str] | None = None


def allowed(text: str) -> Allowed:
    """Read one statement. Raises StepNotAllowed for any other, and for two in one text."""
    try:
        found = statements(text)
    except SqlUnreadable as error:
        raise StepNotAllowed(f"This cannot be read ({error}): {_short(text)}.", NEXT_STEP) from None
    if len(found) != 1:
        raise StepNotAllowed(
            f"One text holds {len(found)} statements: {_short(text)}.",
            "Outside of a transaction each statement is executed by itself.",
        )
    reader = _Reader(text, found[0])
    read = reader.index() or reader.reindex() or reader.on_table() or reader.on_type()
    if read is None:
        raise StepNotAllowed(
            f"This may not run outside of a transaction: {_short(text)}.", NEXT_STEP
        )
    return read


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARACTERS_MAX else f"{line[:TEXT_CHARACTERS_MAX]} …"


class _Reader:
    """Reads one statement from its tokens, from left to right."""

    def __init__(self, text: str, found: Sequence[Token]) -> None:
        self._text = text
        self._found = found
        self._at = 0

    def index(self) -> Allowed | None:
        """CREATE [UNIQUE] INDEX CONCURRENTLY, DROP INDEX CONCURRENTLY."""
        if self._take("DROP", "INDEX", "CONCURRENTLY"):
            self._take("IF", "EXISTS")
            name = self._name()
            self._take("RESTRICT")
            return self._ended(kind="drop index", name=name)
        unique = self._take("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY")
        if not unique and not self._take("CREATE", "INDEX", "CONCURRENTLY"):
            return None
        self._take("IF", "NOT", "EXISTS")
        name = self._name()
        if len(name) != 1 or not self._take("ON"):
            return None
        table = self._name()
        rest = self._rest()
        if not table or not rest:
            return None
        return self._read(kind="create index", table=table, name=name, rest=rest, unique=unique)

    def reindex(self) -> Allowed | None:
        """REINDEX INDEX|TABLE CONCURRENTLY."""
        if self._take("REINDEX", "INDEX", "CONCURRENTLY"):
            return self._ended(kind="reindex index", name=self._name())
        if self._take("REINDEX", "TABLE", "CONCURRENTLY"):
            table = self._name()
            return self._ended(kind="reindex table", name=table, table=table)
        return None

    def on_table(self) -> Allowed | None:
        """ALTER TABLE, with exactly one action."""
        if not self._take("ALTER", "TABLE"):
            return None
        self._take("ONLY")
        table = self._name()
        if self._take("DETACH", "PARTITION"):
            name = self._name()
            if self._take("FINALIZE"):
                return self._ended(kind="finish detaching", table=table, name=name)
            if self._take("CONCURRENTLY"):
                return self._ended(kind="detach partition", table=table, name=name)
            return None
        if self._take("VALIDATE", "CONSTRAINT"):
            return self._ended(kind="validate constraint", table=table, name=self._name())
        if self._take("DROP", "CONSTRAINT"):
            self._take("IF", "EXISTS")
            name = self._name()
            self._take("RESTRICT")
            return self._ended(kind="drop constraint", table=table, name=name)
        if self._take("ADD", "CONSTRAINT"):
            return self._constraint(table)
        if self._take("ALTER"):
            self._take("COLUMN")
            return self._nullability(table, self._name())
        return None

    def on_type(self) -> Allowed | None:
        """ALTER TYPE … ADD VALUE."""
        if not self._take("ALTER", "TYPE"):
            return None
        table = self._name()
        if not self._take("ADD", "VALUE"):
            return None
        self._take("IF", "NOT", "EXISTS")
        label = self._string()
        neighbour = None
        for side in ("BEFORE", "AFTER"):
            if self._take(side):
                neighbour = (side, self._string())
        return self._ended(kind="add enum label", table=table, name=(label,), neighbour=neighbour)

    def _nullability(self, table: Name, column: Name) -> Allowed | None:
        if self._take("SET", "NOT", "NULL"):
            return self._ended(kind="set not null", table=table, name=column)
        if self._take("DROP", "NOT", "NULL"):
            return self._ended(kind="drop not null", table=table, name=column)
        return None

    def _constraint(self, table: Name) -> Allowed | None:
        name = self._name()
        if self._take("UNIQUE", "USING", "INDEX"):
            # Of another name it would be renamed, and not be found when it is asked for again.
            same = self._name() == name
            return self._ended(kind="use index", table=table, name=name) if same else None
        rest = self._rest()
        last = len(self._found) - 2
        kinds = (("CHECK",), ("FOREIGN", "KEY"), ("NOT", "NULL"))
        if not any(matches(self._found, self._at, *kind) for kind in kinds):
            return None
        if not matches(self._found, last, "NOT", "VALID") or self._has_second_action():
            return None
        return self._read(kind="add constraint", table=table, name=name, rest=rest)

    def _has_second_action(self) -> bool:
        depth = 0
        for token in self._found[self._at :]:
            if token.kind == "symbol":
                depth += {"(": 1, ")": -1}.get(token.value, 0)
                if token.value == "," and depth == 0:
                    return True
        return False

    def _take(self, *words: str) -> bool:
        if not matches(self._found, self._at, *words):
            return False
        self._at += len(words)
        return True

    def _name(self) -> Name:
        parts: list[str] = []
        while self._at < len(self._found):
            part = self._found[self._at].identifier
            if part is None:
                return ()
            parts.append(part)
            self._at += 1
            if not self._take("."):
                break
        return tuple(parts)

    def _string(self) -> str:
        if self._at < len(self._found) and self._found[self._at].kind == "string":
            self._at += 1
            return self._found[self._at - 1].value
        return ""

    def _rest(self) -> str:
        if self._at >= len(self._found):
            return ""
        return self._text[self._found[self._at].start : self._found[-1].end]

    def _ended(
        self,
        *,
        kind: Kind,
        name: Name,
        table: Name = (),
        neighbour: tuple[str, str] | None = None,
    ) -> Allowed | None:
        """The statement, when nothing stands behind what was read of it."""
        if self._at != len(self._found):
            return None
        return self._read(kind=kind, table=table, name=name, neighbour=neighbour)

    def _read(
        self,
        *,
        kind: Kind,
        name: Name,
        table: Name,
        rest: str = "",
        unique: bool = False,
        neighbour: tuple[str, str] | None = None,
    ) -> Allowed | None:
        if not all(name) or not name:
            return None
        return Allowed(
            text=self._text,
            kind=kind,
            table=table,
            name=name,
            rest=rest,
            unique=unique,
            neighbour=neighbour,
        )
