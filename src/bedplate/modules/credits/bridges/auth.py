"""Every new user gets an account, in the write that makes the user (plan D, createUser)."""

from __future__ import annotations

from bedplate.kernel.events import Subscription
from bedplate.kernel.transaction import Transaction
from bedplate.modules.auth import UserCreated
from bedplate.modules.credits.actions import open_account


async def open_for(tx: Transaction, event: UserCreated) -> None:
    """Open the new user's account."""
    await open_account(tx, event.user_id)


SUBSCRIPTIONS = (Subscription(UserCreated, open_for),)
