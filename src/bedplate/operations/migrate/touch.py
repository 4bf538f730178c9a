"""One thing that a revision touched of what existed before it, and whether it was declared."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from bedplate.kernel.footprint import Footprint

Verdict = Literal[
    "rows",  # inserted, updated or deleted
    "emptied",  # a new file without rows: truncated
    "attempted",  # a write that met no row
    "undone",  # written and taken back within the transaction
    "rewritten",  # the same rows in a new file
    "derived",  # a materialized view was refreshed
    "moved",  # a sequence
    "gone",  # dropped
    "shape",  # the definition changed, or a part of it is gone
    "behaviour",  # a trigger, rule or policy came, went or changed
    "additive",  # something new
    "said",  # a comment
    "external",  # changed by another session meanwhile
]

FIELDS: dict[Verdict, tuple[str, ...]] = {
    "rows": ("rows",),
    "emptied": ("rows",),
    "attempted": ("rows",),
    "moved": ("rows",),
    "rewritten": ("rewritten", "rows"),
    "derived": ("rewritten", "rows"),
    "gone": ("shape",),
    "shape": ("shape",),
    "behaviour": ("behaviour",),
    "additive": ("shape",),
    "said": ("shape",),
}
"""Which field of a Footprint has to name it, the first or any other; none: it is only noted."""

FREE_AT_HOME: frozenset[Verdict] = frozenset({"additive", "said"})
"""What needs no word in the revision's own schema."""

TABLE_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "m": "materialized view",
    "v": "view",
    "f": "foreign table",
}
RELATION_KINDS = {**TABLE_KINDS, "S": "sequence", "c": "composite type"}
"""What pg_class calls by a letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """What was touched and how.

    `name` is what it was called before, `within` are the tables (its partitioned parents too) or
    the extension it belongs to: to declare one of them is enough. `count` is of rows.
    """

    verdict: Verdict
    kind: str
    name: str
    schema: str
    within: tuple[str, ...] = ()
    count: int = 0

    @property
    def existing(self) -> str:
        """The name of what existed before: the table, where a trigger of it is new."""
        return self.within[0] if self.verdict == "behaviour" and self.within else self.name

    @property
    def sentence(self) -> str:
        """What happened, in a few words."""
        rows = f" ({self.count} rows)" if self.count else ""
        return f"{self.verdict}: {self.kind} {self.name}{rows}"

    def declared(self, footprint: Footprint) -> bool:
        """Tell whether the footprint names it, or what it is part of."""
        names = {self.name, *self.within}
        return any(
            not names.isdisjoint(getattr(footprint, field)) for field in FIELDS[self.verdict]
        )


def undeclared(
    touches: Iterable[Touch],
    footprint: Footprint,
    schema: str,
    made: Collection[tuple[str, str]] | None = (),
) -> tuple[Touch, ...]:
    """Return what goes beyond the footprint of a revision of `schema`.

    On the way back `made` is what the way there added, by kind and name: that may go. None where
    no receipt says what it was; whatever lies in the own schema may then go.
    """
    return tuple(
        touch
        for touch in touches
        if touch.verdict in FIELDS
        and not (touch.verdict in FREE_AT_HOME and touch.schema == schema)
        and not touch.declared(footprint)
        and not _taken_back(touch, schema, made)
    )


def line_to_add(footprint: Footprint, beyond: Iterable[Touch]) -> str:
    """Return the declaration that would cover them as well."""
    named: dict[str, list[str]] = {
        field: list(getattr(footprint, field))
        for field in ("rows", "rewritten", "shape", "behaviour")
    }
    for touch in beyond:
        field = FIELDS[touch.verdict][0]
        if touch.existing not in named[field]:
            named[field].append(touch.existing)
    said = ", ".join(
        f"{field}=[{', '.join(map(_quoted, names))}]" for field, names in named.items() if names
    )
    return f"touches = Footprint({said})"


def _taken_back(touch: Touch, schema: str, made: Collection[tuple[str, str]] | None) -> bool:
    if made is None:
        return touch.schema == schema and touch.verdict in ("gone", "shape", "behaviour")
    return (touch.kind, touch.name) in made or any(
        (kind, name) in made for name in touch.within for kind in RELATION_KINDS.values()
    )


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
