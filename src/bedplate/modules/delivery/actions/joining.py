"""One transaction for what has to happen together, whatever handle a verb was given."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bedplate.kernel.database import Writer
from bedplate.kernel.transaction import Transaction
from bedplate.modules.delivery.settings import DeliverySettings


@asynccontextmanager
async def joined(db: Writer) -> AsyncGenerator[Transaction]:
    """Yield the caller's transaction, or one of our own where there is none."""
    if isinstance(db, Transaction):
        yield db
        return
    async with db.transaction() as tx:
        yield tx


def settings_of(db: Writer) -> DeliverySettings:
    """Return what the project has set for `delivery`."""
    database = db.database if isinstance(db, Transaction) else db
    return database.settings(DeliverySettings)
