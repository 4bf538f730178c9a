"""A check: a law that must always hold, as SQL that returns the rows that break it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select

from bedplate.kernel.errors import UsageError

_ID = re.compile(r"[a-z][a-z0-9_]*\.[EW]\d{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One law. `id` is stable (`auth.E001`; E is an error, W a warning).

    `query` returns the offending rows, none when all is well; it runs in a read-only transaction.
    It is SQL, or a select of fields where a project may adopt the table: such a check is left out
    where the host's table lacks a field. `next_step` tells a person what to do about such a row.
    Raises UsageError for a malformed id.
    """

    id: str
    title: str
    query: str | Select[*tuple[Any, ...]]
    next_step: str

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise UsageError(f"The check id {self.id!r} is not like auth.E001.", "Rename it.")
