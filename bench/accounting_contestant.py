"""What a contestant offers to the accounting works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Protocol

BATCH = 1_000
"""How many templates one transaction of the shipped run bills."""
OVER_SESSIONS_SHARE = 10
"""A loop takes each invoice alike, so it bills a tenth of the templates a round."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bill a month: in which schema, and what share of its templates a round."""

    schema: str
    share: int = 1


class AccountingContestant(Protocol):
    """Bills what is due through a day, of at most so many templates; answers how many it billed.

    `ways` are the works it can do, each a method of its own name.
    """

    ways: ClassVar[Mapping[str, Way]]

    async def open(self, url: str) -> dict[str, str]:
        """Connect; return the versions of what it is made of."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...

    async def run(self, work: str, through: date, templates: int) -> int:
        """Bill; return how many invoices were issued."""
        ...
