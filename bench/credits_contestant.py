"""What a Python contestant of the credits works offers to the worker that drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID

Charged = tuple[int, int] | None
"""The credits used and the balance right after; None where the account has too few."""
Holder = Literal["spread", "hot", "lone", "naive"]
OPERATION = "AI_TEXT_CHAT"
BATCH = 1_000
"""How many charges one call of `deduct_many` carries."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One more work: called with a user and a key, or with a list of `charges` keys."""

    operation: Callable[[UUID, Any], Any]
    holder: Holder
    charges: int = 1
    clients: int | None = None
    """How many clients call it; None: as many as in every other work."""


class CreditsContestant(Protocol):
    """Charges credits once per key; `blocking` says that its methods are for threads."""

    blocking: bool

    async def open(self, url: str, connections: int) -> dict[str, str]:
        """Connect with that many connections and name the versions in use."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...

    def deduct(self, user: UUID, key: str, amount: int = 1) -> Any:
        """Charge the account once under the key and answer as `Charged` says."""
        ...

    def further(self) -> Mapping[str, Offer]:
        """Return the works it has beside `deduct`, by their names."""
        ...
