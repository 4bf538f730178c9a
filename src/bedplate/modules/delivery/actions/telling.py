"""Telling the other modules what became of a mail."""

from __future__ import annotations

from uuid import UUID

from bedplate.kernel.telemetry import logger
from bedplate.kernel.transaction import Transaction
from bedplate.modules.delivery.events import MailChanged
from bedplate.modules.delivery.models import MailStatus
from bedplate.modules.delivery.repositories import BECAME


async def tell(tx: Transaction, kind: type[MailChanged], mail_id: UUID) -> None:
    """Emit the event, with the mail as it is by now; a subscriber's failure is the caller's."""
    if not tx.database.subscriptions.hear(kind):
        return
    row = await tx.one(BECAME, id=mail_id)
    await tx.emit(
        kind(
            mail_id=row[0],
            dedupe_key=row[1],
            category=row[2],
            user_id=row[3],
            recipient=row[4],
            status=MailStatus(row[5]),
            retry_count=row[6],
            next_retry_at=row[7],
            failure_reason=row[8],
            sent_at=row[9],
            opened_at=row[10],
        )
    )


async def tell_what_happened(tx: Transaction, kind: type[MailChanged], mail_id: UUID) -> None:
    """Do the same for what cannot be taken back: a subscriber's failure is logged, not raised.

    A mail that went would otherwise count as one that did not, and go again.
    """
    if not tx.database.subscriptions.hear(kind):
        return
    try:
        async with tx.savepoint():
            await tell(tx, kind, mail_id)
    except Exception as error:
        logger.error(
            "a subscriber of %s failed for mail %s: %s",
            kind.__name__,
            mail_id,
            type(error).__name__,
        )
