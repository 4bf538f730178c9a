"""Sample mail and choices: for a first look. The mail stays where it is until a server is set."""

from __future__ import annotations

from bedplate.kernel.transaction import Transaction
from bedplate.modules.delivery.actions import send, set_preference
from bedplate.modules.delivery.models import OutgoingMail
from bedplate.modules.delivery.repositories import outgoing_mails
from bedplate.modules.delivery.rules import Category, Mail

NEWS = Category("samples.news", is_on_by_default=False)
WELCOME = Category("samples.welcome")
PEOPLE = ("ada", "grace", "edsger")


async def load(tx: Transaction) -> int:
    """Ask for the sample mails that are not there yet; return how many were asked for."""
    added = 0
    for name in PEOPLE:
        key = f"sample-welcome-{name}"
        if await outgoing_mails.exists(tx, OutgoingMail.dedupe_key == key):
            continue
        address = f"{name}@example.com"
        welcome = Mail(
            to=address,
            subject="Welcome",
            text=f"Welcome, {name.title()}.\n",
            category=WELCOME,
            dedupe_key=key,
        )
        await send(tx, welcome)
        await set_preference(tx, NEWS, True, address=address)
        added += 1
    return added
