"""What `auth` tells."""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.kernel.context import UserId
from bedplate.kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreated(Event):
    """A user was created, in this very transaction."""

    user_id: UserId
    clerk_id: str | None
