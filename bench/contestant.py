"""What a Python contestant offers to the worker that drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

ACCOUNT_FIELDS = (
    "id", "email", "name", "is_active", "kind", "balance", "created_at", "updated_at",
)  # fmt: skip
PROFILE_FIELDS = ("id", "account_id", "bio", "locale", "settings")
ENTRY_FIELDS = ("id", "account_id", "amount", "note", "created_at")
EVENT_FIELDS = ("id", "tenant", "occurred_at", "payload")
LAST_ENTRIES = 10
PAGE_ROWS = 50
NO_VARIANTS: Mapping[str, tuple[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Mark:
    """The row after which a deep page starts, and how many rows come before that page."""

    occurred_at: datetime
    id: UUID
    offset: int


class Family(NamedTuple):
    """An account with its profile and its last entries, as a contestant holds them."""

    account: Any
    profile: Any
    entries: Sequence[Any]


class Contestant(Protocol):
    """The works of the bench; `blocking` says that they are plain functions for threads.

    An answer is a tuple in the order of the `..._FIELDS`, a dict, or an object with
    those attributes. `stage` turns the readings into what `bulk` takes, outside the
    measured time; whatever it leaves undone (ids, validation) is inside.
    """

    blocking: bool
    variants: Mapping[str, tuple[str, str]]
    """Other ways worth showing: the work, then what the way is called, and its method."""

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Connect with that many connections and name the versions in use."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...

    def get(self, key: UUID) -> Any:
        """Read one account by its key."""
        ...

    def relations(self, key: UUID) -> Any:
        """Read one account, its profile and its last ten entries."""
        ...

    def unfold(self, found: Any) -> Family:
        """Take apart what `relations` answered."""
        ...

    def page_first(self) -> Any:
        """Read the newest fifty events."""
        ...

    def page_deep(self, mark: Mark) -> Any:
        """Read fifty events at depth."""
        ...

    def create(self, fields: dict[str, Any]) -> Any:
        """Store one account and return it; the key is made here."""
        ...

    def stage(self, readings: list[dict[str, Any]]) -> Any:
        """Turn readings (no ids) into what `bulk` takes."""
        ...

    def bulk(self, staged: Any) -> Any:
        """Store the staged readings."""
        ...
