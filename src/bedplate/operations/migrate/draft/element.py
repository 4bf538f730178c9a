"""One thing of a schema that statements of its own make and take away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bedplate.operations.migrate.draft.names import Named

# In the order in which they are made where nothing else decides; dropped the other way round.
Kind = Literal[
    "schema",
    "extension",
    "enum",
    "domain",
    "composite type",
    "sequence",
    "function",
    "table",
    "column",
    "default",
    "sequence owner",
    "constraint",
    "index",
    "statistics",
    "foreign key",
    "view",
    "rule",
    "trigger",
    "policy",
    "setting",
    "comment",
    "grant",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Key = tuple[str, str]
"""An element's kind and its full name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """`create` and `drop` are whole statements; two elements of one key are equal by `definition`.

    `provides` are the names by which others need it, `needs` those it cannot be without. Tables,
    types, views and functions go by schema and name; a column by its table's full name and its
    own, a key that foreign keys may point at by its table's and `(columns)`.

    `owner` is the key of what takes it along when it goes; `inline` says that the owner's own
    CREATE makes it too. `source` is the object of the catalog it was made from.
    """

    kind: Kind
    name: str
    definition: str
    create: tuple[str, ...]
    drop: tuple[str, ...]
    provides: Named | None = None
    needs: frozenset[Named] = frozenset()
    owner: Key | None = None
    inline: bool = False
    automatic: bool = False
    source: object = None

    @property
    def key(self) -> Key:
        """Kind and full name."""
        return (self.kind, self.name)
