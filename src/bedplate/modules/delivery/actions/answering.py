"""What comes back for a mail that went: opened, bounced, wanted no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, text

from bedplate.kernel import audit
from bedplate.kernel.database import Writer, joined
from bedplate.kernel.query import Query
from bedplate.modules.delivery.actions.choosing import choose
from bedplate.modules.delivery.actions.delivering import hash_of
from bedplate.modules.delivery.actions.telling import tell
from bedplate.modules.delivery.errors import MailOver, UnknownMail, UnknownToken
from bedplate.modules.delivery.events import MailBounced, MailOpened, MailUnsubscribed
from bedplate.modules.delivery.models import AuditAction, AuditLog, MailStatus, TokenPurpose
from bedplate.modules.delivery.repositories import BECAME, OF_TOKEN

REASON_CHARACTERS_MAX = 300

_OPEN: Query[Any] = Query(
    text(
        "UPDATE delivery.outgoing_mails SET opened_at = bedplate.now() "
        "WHERE id = :id AND opened_at IS NULL RETURNING true"
    ).bindparams(bindparam("id", type_=Uuid))
)
_END: Query[Any] = Query(
    text(
        "UPDATE delivery.outgoing_mails SET status = :status, failure_reason = :reason "
        "WHERE id = :id AND status = 'SENT' RETURNING true"
    ).bindparams(
        bindparam("id", type_=Uuid),
        bindparam("status", type_=Text),
        bindparam("reason", type_=Text),
    )
)


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """Who wants no more mail of which category."""

    mail_id: UUID
    category: str
    recipient: str


async def record_open(db: Writer, token: str) -> bool:
    """Note that the mail with this link was opened; the first time counts.

    Returns False for a link that is none of ours: whoever serves a picture has nothing to say to
    the person who looks at it. Programs that fetch pictures count as persons.
    """
    async with joined(db) as tx:
        found = await tx.first(OF_TOKEN, token_hash=hash_of(token), purpose=TokenPurpose.OPEN.value)
        if found is None:
            return False
        if await tx.first(_OPEN, id=found) is not None:
            await tell(tx, MailOpened, found)
        return True


async def record_bounce(db: Writer, mail_id: UUID, reason: str) -> None:
    """Note that a mail that was SENT came back: a provider's report, or a bounce that was read.

    Told twice it is the same. Raises UnknownMail, and MailOver for a mail that was not SENT.
    """
    async with joined(db) as tx:
        line = " ".join(reason.split())[:REASON_CHARACTERS_MAX]
        if await tx.first(_END, id=mail_id, status=MailStatus.BOUNCED.value, reason=line):
            await tell(tx, MailBounced, mail_id)
            return
        became = await tx.first(BECAME, id=mail_id)
        if became is None:
            raise UnknownMail(f"There is no mail {mail_id}.")
        if became[5] != MailStatus.BOUNCED:
            raise MailOver(f"The mail {mail_id} is {became[5]}; only one that was SENT bounces.")


async def unsubscribe(db: Writer, token: str) -> Unsubscribed:
    """Take the addressee of the mail with this link off its category; told twice it is the same.

    It is the user's choice where the mail was a user's, else the address's. Raises UnknownToken.
    """
    async with joined(db) as tx:
        found = await tx.first(
            OF_TOKEN, token_hash=hash_of(token), purpose=TokenPurpose.UNSUBSCRIBE.value
        )
        if found is None:
            raise UnknownToken("No mail has this link.")
        became = await tx.one(BECAME, id=found)
        mail_id, category, user_id, recipient = became[0], became[2], became[3], became[4]
        address = recipient if user_id is None else None
        await choose(tx, category, False, user_id=user_id, address=address)
        reason = "Its addressee unsubscribed."
        if await tx.first(_END, id=mail_id, status=MailStatus.UNSUBSCRIBED.value, reason=reason):
            await audit.record(
                tx,
                AuditLog(
                    action=AuditAction.UNSUBSCRIBED,
                    entity_type="outgoing_mails",
                    entity_id=str(mail_id),
                    description=f"Addressee unsubscribed from {category}.",
                ),
            )
            await tell(tx, MailUnsubscribed, mail_id)
        return Unsubscribed(mail_id, category, recipient)
