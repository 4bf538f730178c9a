"""The receipt of one revision: what it touched of what existed before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock on a table that existed before, and how long it was held (to the commit)."""

    statement: str
    table: str
    mode: str
    held_ms: float


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows that the way back of a backfill left as they are, because they were changed since.

    `keys` are those of the first `rows`, at most a thousand; their old values stay in
    bedplate.before_images.
    """

    backfill: str
    rows: int
    keys: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one revision touched; names are those of objects that existed before it.

    No row of a table that existed before was inserted, updated, deleted, truncated or rewritten
    by the revision's transaction, and no definition through which it is read changed, except as
    listed. `shape_changes` holds behaviour too: triggers, rules and policies. `locks` are held to
    the commit; `receipt_ms` is what the witnesses cost. `caveats` say what could have escaped
    them, and `kept` what a way back did not take back. `external` is what came, went or changed
    meanwhile by other sessions: on a live database the application's business, on a rehearsal's
    copy nobody's.
    """

    module: str
    revision: str
    rows_touched: int
    rewritten: tuple[str, ...]
    shape_changes: tuple[str, ...]
    locks: tuple[HeldLock, ...]
    tables_watched: int
    receipt_ms: float
    caveats: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    external: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as `bedplate migrate apply --json` prints it."""
        document = asdict(self)
        del document["caveats"], document["kept"], document["external"]
        return document


OnReceipt = Callable[[Receipt], None]
"""Told of each receipt once its revision is committed."""
