"""Who is acting, on whose request: carried by the task, read by every transaction.

The edge (a web framework, a job) says it once with `acting(...)`; transactions take it along as
transaction-local settings, so triggers and row-level security see it and no verb needs it as an
argument.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

UserId = UUID | str | int
"""A user's key: a UUID here, whatever the host uses where its users table is adopted."""

ActorType = Literal["USER", "SYSTEM"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One request: its actor (None is the system itself), id, address and user agent."""

    actor: UserId | None = None
    request_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None

    @property
    def actor_type(self) -> ActorType:
        """`USER` when somebody acts, `SYSTEM` when nobody does."""
        return "SYSTEM" if self.actor is None else "USER"

    def named(self) -> dict[str, str]:
        """Return what is known, by the names that PostgreSQL is told: actor, request_id, ip …"""
        values = {
            "actor": self.actor,
            "request_id": self.request_id,
            "ip": self.ip,
            "user_agent": self.user_agent,
        }
        return {name: str(value) for name, value in values.items() if value is not None}


_NOBODY = Context()
_current: ContextVar[Context] = ContextVar("bedplate_context", default=_NOBODY)


def current() -> Context:
    """Return the context of the running task."""
    return _current.get()


def is_empty(context: Context) -> bool:
    """Tell whether nothing is known of the request, so that nothing need be sent."""
    return context is _NOBODY or context == _NOBODY


@contextmanager
def acting(
    actor: UserId | None = None,
    *,
    request_id: str | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
) -> Generator[Context]:
    """Run the block as `actor`; what is not given is kept from the surrounding context."""
    outer = _current.get()
    inner = replace(
        outer,
        actor=outer.actor if actor is None else actor,
        request_id=outer.request_id if request_id is None else request_id,
        ip=outer.ip if ip is None else ip,
        user_agent=outer.user_agent if user_agent is None else user_agent,
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)
