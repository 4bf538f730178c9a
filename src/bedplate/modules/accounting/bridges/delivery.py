"""Messages go as mail, and each notification says what became of its mail.

The mail is asked for in the transaction that writes the notification, and has its id. What becomes
of the mail is copied in the transaction in which it becomes so: once, or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Text, Uuid, bindparam, text

from bedplate.kernel import audit, ids
from bedplate.kernel.checks import Check
from bedplate.kernel.database import Writer, joined
from bedplate.kernel.events import Subscription
from bedplate.kernel.query import Query
from bedplate.kernel.transaction import Transaction
from bedplate.kernel.types import enum_type, moment, user_key
from bedplate.modules.accounting.events import MessageRecalled, MessageWritten
from bedplate.modules.accounting.models import (
    SCHEMA,
    AuditAction,
    AuditLog,
    NotificationType,
)
from bedplate.modules.delivery import (
    Attachment,
    Category,
    DeliverySettings,
    Mail,
    MailBounced,
    MailChanged,
    MailDelivered,
    MailFailed,
    MailInvalid,
    MailOpened,
    MailOver,
    MailRetried,
    MailStatus,
    MailUnsubscribed,
    UnknownMail,
    cancel,
    send,
)

CATEGORIES = {
    NotificationType.INVOICE_ISSUED: Category("accounting.invoice", is_mandatory=True),
    NotificationType.PAYMENT_REMINDER: Category("accounting.reminder"),
    NotificationType.OVERDUE_REMINDER: Category("accounting.overdue", is_mandatory=True),
    NotificationType.PAYMENT_RECEIVED: Category("accounting.receipt"),
}
"""An invoice and a notice that it is overdue are sent whatever their addressee wants."""

_OUTCOMES: dict[type[MailChanged], tuple[AuditAction, str]] = {
    MailDelivered: (AuditAction.EMAIL_SENT, "sent"),
    MailRetried: (AuditAction.EMAIL_RETRY, "tried again"),
    MailFailed: (AuditAction.EMAIL_FAILED, "not sent"),
    MailBounced: (AuditAction.EMAIL_FAILED, "refused or returned"),
    MailUnsubscribed: (AuditAction.EMAIL_FAILED, "not wanted"),
}

_KINDS: dict[MailStatus, type[MailChanged]] = {
    MailStatus.PENDING: MailRetried,
    MailStatus.SENT: MailDelivered,
    MailStatus.FAILED: MailFailed,
    MailStatus.BOUNCED: MailBounced,
    MailStatus.UNSUBSCRIBED: MailUnsubscribed,
}

COPIED_MAX = 100
"""How many notifications one transaction brings in step."""

UNSUBSCRIBE = "To get no more mail of this kind: {{unsubscribe_url}}"
PIXEL = '<img src="{{open_url}}" width="1" height="1" alt="">\n'


@dataclass(frozen=True, slots=True)
class _Message:
    """One notification, as the audit log tells of it."""

    id: UUID
    invoice_id: UUID
    type: NotificationType
    stage: int


FOLLOW: Query[Any] = Query(
    text(
        """
UPDATE accounting.invoice_notifications
SET status = CAST(:status AS accounting.notification_status), sent_at = :sent_at,
    failure_reason = :reason, retry_count = :retry_count,
    next_retry_at = :next_retry_at, opened_at = :opened_at,
    is_read = CAST(:opened_at AS timestamptz) IS NOT NULL
WHERE mail_id = :mail_id AND (status <> 'FAILED' OR :status IN ('PENDING', 'FAILED'))
RETURNING id, invoice_id, notification_type, stage
"""
    )
    .bindparams(
        bindparam("mail_id", type_=Uuid()),
        bindparam("status", type_=Text()),
        bindparam("sent_at", type_=moment()),
        bindparam("reason", type_=Text()),
        bindparam("retry_count", type_=Integer()),
        bindparam("next_retry_at", type_=moment()),
        bindparam("opened_at", type_=moment()),
    )
    .columns(
        id=Uuid(),
        invoice_id=Uuid(),
        notification_type=enum_type(NotificationType, SCHEMA),
        stage=Integer(),
    )
)
TAKE_UP: Query[Any] = Query(
    text(
        "UPDATE accounting.invoice_notifications SET status = 'PENDING', retry_count = 0"
        " WHERE mail_id = :mail_id AND status = 'FAILED'"
    ).bindparams(bindparam("mail_id", type_=Uuid()))
)
# A mail in a worker's hands is told of when it is settled; one that is put off to the end of quiet
# hours was not tried.
DRIFT = """m.state <> 'RUNNING' AND (
    n.status::text <> m.status OR n.opened_at IS DISTINCT FROM m.opened_at
    OR n.sent_at IS DISTINCT FROM m.sent_at OR n.next_retry_at IS DISTINCT FROM m.next_retry_at
    OR m.status <> 'PENDING' AND (
        n.retry_count <> m.retry_count OR n.failure_reason IS DISTINCT FROM m.failure_reason))"""
BECAME: dict[str, Any] = {
    "mail_id": Uuid(),
    "dedupe_key": Text(),
    "category": Text(),
    "user_id": user_key(),
    "recipient": Text(),
    "status": Text(),
    "retry_count": Integer(),
    "next_retry_at": moment(),
    "failure_reason": Text(),
    "sent_at": moment(),
    "opened_at": moment(),
}
BEHIND: Query[Any] = Query(
    text(
        f"""
SELECT m.id AS mail_id, {", ".join(f"m.{name}" for name in list(BECAME)[1:])}
FROM accounting.invoice_notifications n JOIN delivery.outgoing_mails m ON m.id = n.mail_id
WHERE {DRIFT} ORDER BY m.id LIMIT :most FOR NO KEY UPDATE OF n SKIP LOCKED
"""
    )
    .bindparams(bindparam("most", type_=Integer()))
    .columns(**BECAME)
)
REFUSE: Query[Any] = Query(
    text(
        "UPDATE accounting.invoice_notifications"
        " SET status = 'FAILED', failure_reason = :reason, mail_id = NULL WHERE id = :id"
    ).bindparams(bindparam("id", type_=Uuid()), bindparam("reason", type_=Text()))
)
VIEWED: Query[Any] = Query(
    text(
        """
INSERT INTO accounting.invoice_notifications
    (id, invoice_id, notification_type, sent_to, status, sent_at, is_read, opened_at)
VALUES (:id, :invoice_id, 'INVOICE_VIEWED', :sent_to, 'SENT', :at, true, :at)
ON CONFLICT DO NOTHING
"""
    ).bindparams(
        bindparam("id", type_=Uuid()),
        bindparam("invoice_id", type_=Uuid()),
        bindparam("sent_to", type_=Text()),
        bindparam("at", type_=moment()),
    )
)


async def carry(tx: Transaction, written: MessageWritten) -> None:
    """Ask for a message's mail; an address that cannot be one makes the message FAILED."""
    settings = tx.database.settings(DeliverySettings)
    try:
        mail = _mail(written, has_links=settings.links_url is not None)
    except MailInvalid as error:
        await tx.run(REFUSE, id=written.notification_id, reason=str(error))
        message = _Message(
            written.notification_id,
            written.invoice_id,
            written.notification_type,
            written.stage,
        )
        await _record(tx, AuditAction.EMAIL_FAILED, message, "cannot be sent", {})
        return
    await send(tx, mail)


async def recall(tx: Transaction, recalled: MessageRecalled) -> None:
    """Take a mail back; what went meanwhile, or is in a worker's hands, may not be."""
    id = recalled.notification_id
    try:
        await cancel(tx, id)
    except UnknownMail:
        await tx.run(REFUSE, id=id, reason="It was taken back before its page was made.")
    except MailOver:
        return


async def follow(tx: Transaction, changed: MailChanged) -> None:
    """Copy what became of a mail to its notification, and record it."""
    if not changed.category.startswith("accounting."):
        return
    became = {
        "mail_id": changed.mail_id,
        "status": changed.status.name,
        "sent_at": changed.sent_at,
        "reason": changed.failure_reason,
        "retry_count": changed.retry_count,
        "next_retry_at": changed.next_retry_at,
        "opened_at": changed.opened_at,
    }
    found = await tx.first(FOLLOW, **became)
    if found is None and await tx.run(TAKE_UP, mail_id=changed.mail_id):
        # That it was tried once more was told, and not heard.
        found = await tx.first(FOLLOW, **became)
    if found is None:
        return
    message = _Message(*found)
    is_invoice = message.type is NotificationType.INVOICE_ISSUED
    if isinstance(changed, MailOpened):
        if is_invoice:
            await tx.run(
                VIEWED,
                id=ids.new(),
                invoice_id=message.invoice_id,
                sent_to=changed.recipient,
                at=changed.opened_at,
            )
        return
    action, said = _OUTCOMES[type(changed)]
    after = {"status": changed.status.name, "retry_count": changed.retry_count}
    await _record(tx, action, message, said, after)
    if is_invoice and isinstance(changed, MailDelivered):
        await _record(tx, AuditAction.INVOICE_SENT_TO_CUSTOMER, message, said, {})


async def copy_again(db: Writer, *, most: int = COPIED_MAX) -> int:
    """Follow mails whose notifications were left behind; return how many, at most `most`.

    They are those that `bedplate check` names (accounting.E101). Call it until it returns 0.
    """
    async with joined(db) as tx:
        rows = await tx.all(BEHIND, most=most)
        for row in rows:
            values = dict(zip(BECAME, row, strict=True))
            status = MailStatus(values.pop("status"))
            await follow(tx, _KINDS[status](status=status, **values))
        return len(rows)


def _mail(written: MessageWritten, *, has_links: bool) -> Mail:
    category = CATEGORIES[written.notification_type]
    letter = written.letter
    words, markup = letter.text, letter.html
    if has_links:
        markup = markup.replace("</body>", f"{PIXEL}</body>")
        if not category.is_mandatory:
            words += f"\n{UNSUBSCRIBE}\n"
            markup = markup.replace("</body>", f"<p>{UNSUBSCRIBE}</p>\n</body>")
    page = () if written.page is None else (_attached(written.invoice_number, written.page),)
    key = [written.invoice_id, written.notification_type.name, written.stage]
    key += [] if written.due_date is None else [written.due_date]
    return Mail(
        id=written.notification_id,
        to=written.sent_to,
        subject=letter.subject,
        text=words,
        html=markup,
        category=category,
        dedupe_key="accounting:" + ":".join(str(part) for part in key),
        user_id=written.user_id,
        attachments=page,
    )


def _attached(number: str, page: bytes) -> Attachment:
    return Attachment(f"invoice-{number}.pdf", page, "application/pdf")


async def _record(
    tx: Transaction, action: AuditAction, message: _Message, said: str, after: dict[str, Any]
) -> None:
    told = {"notification_id": str(message.id), "type": message.type.name, "stage": message.stage}
    await audit.record(
        tx,
        AuditLog(
            action=action,
            entity_type="Invoice",
            entity_id=str(message.invoice_id),
            description=f"Message {message.type.name} {said}",
            changes={"after": {**told, **after}},
        ),
    )


CHECKS = (
    Check(
        id="accounting.E101",
        title="a notification says what became of its mail",
        query=f"""
            SELECT n.id AS invoice_notification_id, m.id AS outgoing_mail_id, n.invoice_id,
                   n.status, m.status AS mail_status
            FROM (SELECT * FROM accounting.invoice_notifications WHERE mail_id IS NOT NULL) n
            FULL JOIN (
                SELECT * FROM delivery.outgoing_mails WHERE starts_with(category, 'accounting.')) m
                ON m.id = n.mail_id
            WHERE n.id IS NULL OR m.id IS NULL OR {DRIFT}
        """,
        next_step="Mend what the worker's log says of `follow`, and run"
        " accounting.bridges.delivery.copy_again.",
    ),
    Check(
        id="accounting.W101",
        title="no invoice has waited for its page to be sent for more than an hour",
        query="""
            SELECT id AS invoice_notification_id, invoice_id, created_at
            FROM accounting.invoice_notifications
            WHERE notification_type = 'INVOICE_ISSUED' AND status = 'PENDING' AND mail_id IS NULL
              AND created_at < bedplate.now() - interval '1 hour'
        """,
        next_step="Run `bedplate work`; see what failed of accounting.render.",
    ),
)
"""Laws of two modules; numbered from 101."""

SUBSCRIPTIONS = (
    Subscription(MessageWritten, carry),
    Subscription(MessageRecalled, recall),
    Subscription(MailChanged, follow),
)
