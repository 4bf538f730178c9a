"""What a revision says it touches of what existed before it; nothing, unless it says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The declared touch of one revision, written at the top of its file:

        touches = Footprint(rows=["shop.items"], shape=["shop.items.price"])

    Names are schema-qualified; a table's name covers its columns, indexes, rules and triggers.
    `rows`: tables whose rows it inserts, updates, deletes or truncates. `rewritten`: tables that
    PostgreSQL writes anew. `shape`: objects whose definition, through which existing data is read
    or written, it changes or drops. `behaviour`: tables that get or lose a trigger, rule or
    policy. What lies in the revision's own schema may be added to without a word. Going back
    touches at most the same.
    """

    rows: Iterable[str] = ()
    rewritten: Iterable[str] = ()
    shape: Iterable[str] = ()
    behaviour: Iterable[str] = ()

    def __post_init__(self) -> None:
        for name in ("rows", "rewritten", "shape", "behaviour"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


NOTHING = Footprint()
