"""Asking for mail, taking it back, and asking for it again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    bindparam,
    text,
)

from bedplate.kernel import audit, ids
from bedplate.kernel.database import Writer, database_of, joined
from bedplate.kernel.errors import ForeignKeyViolation, SerializationFailure, UniqueViolation
from bedplate.kernel.jobs import JobOptions, enqueue
from bedplate.kernel.leased import State
from bedplate.kernel.query import Query
from bedplate.kernel.types import moment, user_key
from bedplate.modules.delivery.actions.delivering import DELIVER
from bedplate.modules.delivery.actions.telling import tell
from bedplate.modules.delivery.errors import MailConflict, MailOver, UnknownAddressee, UnknownMail
from bedplate.modules.delivery.events import MailFailed, MailRetried
from bedplate.modules.delivery.models import AuditAction, AuditLog
from bedplate.modules.delivery.repositories import BECAME, MAIL_LEASES
from bedplate.modules.delivery.rules import Mail, content_hash
from bedplate.modules.delivery.settings import DeliverySettings

RETRIED_MAX = 100
"""How many mails one transaction lets be tried anew; it holds them for as long."""

_TRIES = 10

# A conflict with a row that this statement does not see yet gives no row: it is asked again.
_SEND: Query[Any] = Query(
    text(
        """
        WITH made AS (
            INSERT INTO delivery.outgoing_mails (
                id, dedupe_key, category, is_mandatory, is_on_by_default, is_urgent, user_id,
                recipient, reply_to, subject, body_text, body_html, content_hash, run_at,
                max_attempts
            ) VALUES (
                :id, :dedupe_key, :category, :is_mandatory, :is_on_by_default, :is_urgent, :user_id,
                :recipient, :reply_to, :subject, :body_text, :body_html, :content_hash,
                greatest(:not_before, bedplate.now()), :max_attempts
            )
            ON CONFLICT (dedupe_key) DO NOTHING RETURNING id, content_hash
        ),
        attached AS (
            INSERT INTO delivery.mail_attachments
                (mail_id, position, filename, content_type, content)
            SELECT made.id, given.position, given.filename, given.content_type, given.content
            FROM made, unnest(
                CAST(:filenames AS text[]), CAST(:content_types AS text[]),
                CAST(:contents AS bytea[])
            ) WITH ORDINALITY AS given (filename, content_type, content, position)
        )
        SELECT id, content_hash, true AS is_new FROM made
        UNION ALL
        SELECT id, content_hash, false FROM delivery.outgoing_mails
        WHERE dedupe_key = :dedupe_key AND NOT EXISTS (SELECT FROM made)
        """
    ).bindparams(
        bindparam("id", type_=Uuid),
        bindparam("is_mandatory", type_=Boolean),
        bindparam("is_on_by_default", type_=Boolean),
        bindparam("is_urgent", type_=Boolean),
        bindparam("user_id", type_=user_key()),
        bindparam("content_hash", type_=LargeBinary),
        bindparam("not_before", type_=moment()),
        bindparam("max_attempts", type_=SmallInteger),
        bindparam("filenames", type_=ARRAY(Text)),
        bindparam("content_types", type_=ARRAY(Text)),
        bindparam("contents", type_=ARRAY(LargeBinary)),
        *(
            bindparam(name, type_=Text)
            for name in (
                *("dedupe_key", "category", "recipient", "reply_to", "subject"),
                *("body_text", "body_html"),
            )
        ),
    )
)


_GIVEN_UP: Query[UUID] = Query(
    text(
        """
        SELECT id FROM delivery.outgoing_mails
        WHERE status = 'FAILED' AND state = 'FAILED' AND category = coalesce(:category, category)
        ORDER BY created_at, id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
        """
    )
    .bindparams(bindparam("category", type_=Text), bindparam("most", type_=Integer))
    .columns(id=Uuid())
)


async def send(db: Writer, mail: Mail) -> UUID:
    """Ask for a mail, in the caller's transaction; return its id. A worker delivers it.

    The same mail again, under the same dedupe key, is the same mail: its id is answered and
    nothing is sent twice, for good. Raises MailConflict for another letter under the key, and for
    an id that another mail has; UnknownAddressee for a user that is none. After the last two the
    transaction cannot go on.
    """
    digest = content_hash(mail)
    for _ in range(_TRIES):
        found = await _sent(db, mail, digest)
        if found is None:
            continue
        mail_id, stored, is_new = found
        if bytes(stored) != digest or (mail.id is not None and mail_id != mail.id):
            raise MailConflict("Another mail was asked for under this dedupe_key.")
        if is_new:
            await enqueue(db, DELIVER, None, options=JobOptions(run_at=mail.not_before))
        return UUID(str(mail_id))
    raise SerializationFailure("The mail's dedupe_key is taken by a transaction that is not seen.")


async def _sent(db: Writer, mail: Mail, digest: bytes) -> Any:
    category = mail.category
    try:
        return await db.first(
            _SEND,
            id=mail.id or ids.new(),
            dedupe_key=mail.dedupe_key,
            category=category.name,
            is_mandatory=category.is_mandatory,
            is_on_by_default=category.is_on_by_default,
            is_urgent=category.is_urgent,
            user_id=mail.user_id,
            recipient=mail.to,
            reply_to=mail.reply_to,
            subject=mail.subject,
            body_text=mail.text,
            body_html=mail.html,
            content_hash=digest,
            not_before=mail.not_before,
            max_attempts=database_of(db).settings(DeliverySettings).attempts_max,
            filenames=[each.filename for each in mail.attachments],
            content_types=[each.content_type for each in mail.attachments],
            contents=[each.content for each in mail.attachments],
        )
    except UniqueViolation:
        raise MailConflict("Another mail has this id.") from None
    except ForeignKeyViolation:
        raise UnknownAddressee("There is no such user to send mail to.") from None


async def cancel(db: Writer, mail_id: UUID) -> bool:
    """Take a mail back; return False where a worker has it in hand and may still send it.

    A mail that waits, or that waits for another attempt, becomes FAILED for good. Raises
    UnknownMail, and MailOver for a mail that went or ended.
    """
    async with joined(db) as tx:
        state = await MAIL_LEASES.cancel(tx, mail_id)
        if state is None:
            raise await _refused(tx, mail_id, "cancelled")
        if state != State.CANCELLED:
            return False
        await audit.record(tx, _entry(AuditAction.MAIL_CANCELLED, mail_id, "Mail cancelled."))
        await tell(tx, MailFailed, mail_id)
        return True


async def retry(db: Writer, mail_id: UUID) -> None:
    """Let a mail that FAILED for good be tried anew, at once and with all its attempts.

    Raises UnknownMail, and MailOver for any other mail, a cancelled one too.
    """
    async with joined(db) as tx:
        if not await MAIL_LEASES.retry(tx, mail_id):
            raise await _refused(tx, mail_id, "tried anew")
        await audit.record(tx, _entry(AuditAction.MAIL_RETRIED, mail_id, "Mail tried anew."))
        await tell(tx, MailRetried, mail_id)
        await enqueue(tx, DELIVER, None)


async def retry_failed(
    db: Writer, *, category: str | None = None, most: int = RETRIED_MAX
) -> tuple[UUID, ...]:
    """Let up to `most` mails that FAILED for good be tried anew, of one category or of all.

    Those that were asked for first come first; call it until it returns nothing. Cancelled mails
    stay as they are.
    """
    async with joined(db) as tx:
        found: list[UUID] = await tx.all(_GIVEN_UP, category=category, most=most)
        for mail_id in found:
            await retry(tx, mail_id)
        return tuple(found)


async def _refused(db: Writer, mail_id: UUID, what: str) -> UnknownMail | MailOver:
    if await db.first(BECAME, id=mail_id) is None:
        return UnknownMail(f"There is no mail {mail_id}.")
    return MailOver(f"The mail {mail_id} cannot be {what} any more.")


def _entry(action: AuditAction, mail_id: UUID, description: str) -> AuditLog:
    return AuditLog(
        action=action,
        entity_type="outgoing_mails",
        entity_id=str(mail_id),
        description=description,
    )
