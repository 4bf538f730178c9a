"""Events: what happened, told inside the same transaction to whoever asked to hear it.

An event is past tense and frozen. It is emitted by actions and heard in bridges; what a subscriber
writes commits or rolls back with the event's cause. A verb you need is a call you make, not an
event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.kernel.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all events; subclasses are frozen dataclasses too."""


Subscriber = Callable[["Transaction", Any], Awaitable[None]]
"""Called as `await subscriber(tx, event)`."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber and the type of event it hears (subtypes included)."""

    event: type[Event]
    subscriber: Subscriber


class Subscriptions:
    """Who hears what in one project, in the order in which it was declared."""

    def __init__(self, subscriptions: Iterable[Subscription] = ()) -> None:
        self._all = tuple(subscriptions)

    def hear(self, event: type[Event]) -> bool:
        """Tell whether anybody hears events of a type."""
        return any(issubclass(event, each.event) for each in self._all)

    async def tell(self, tx: Transaction, event: Event) -> None:
        """Call every subscriber of the event in turn; the first failure fails the transaction."""
        for subscription in self._all:
            if isinstance(event, subscription.event):
                await subscription.subscriber(tx, event)
