"""Mail on its way: the letter, what is attached to it, and how far it is."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel import clock
from bedplate.kernel.columns import Identified
from bedplate.kernel.leased import Leased, leased_args
from bedplate.kernel.model import Model
from bedplate.kernel.types import moment, user_key

SCHEMA = "delivery"


class MailStatus(enum.StrEnum):
    """What became of a mail (plan B's NotificationStatus).

    PENDING waits for its turn or is being sent; FAILED waits for another attempt
    (`next_retry_at`) or has none left; the others are over.
    """

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    BOUNCED = "BOUNCED"
    UNSUBSCRIBED = "UNSUBSCRIBED"


class TokenPurpose(enum.StrEnum):
    """What a link in a mail is for."""

    OPEN = "OPEN"
    UNSUBSCRIBE = "UNSUBSCRIBE"


class OutgoingMail(Leased, Model):
    """One letter to one addressee. `state` is the work's, `status` the mail's.

    The letter never changes once it is stored; the database derives `status` from `state` and
    refuses every way from one status to another that `rules.TRANSITIONS` does not name.
    """

    __tablename__ = "outgoing_mails"

    dedupe_key: Mapped[str] = mapped_column(Text, comment="One mail per key, for good.")
    category: Mapped[str] = mapped_column(Text, comment="What kind of mail: accounting.reminder.")
    is_mandatory: Mapped[bool] = mapped_column(comment="Sent whatever the addressee wants.")
    is_on_by_default: Mapped[bool] = mapped_column(comment="Wanted by who said nothing.")
    is_urgent: Mapped[bool] = mapped_column(comment="Sent in quiet hours too.")
    user_id: Mapped[UUID | None] = mapped_column(
        user_key(),
        ForeignKey("auth.users.id", ondelete="SET NULL"),
        comment="Whose mail it is, where it is a user's.",
    )
    recipient: Mapped[str] = mapped_column(Text, comment="The address it goes to.")
    reply_to: Mapped[str | None] = mapped_column(Text, comment="Where an answer goes.")
    subject: Mapped[str] = mapped_column(Text, comment="Its subject.")
    body_text: Mapped[str] = mapped_column(Text, comment="Its plain text.")
    body_html: Mapped[str | None] = mapped_column(Text, comment="The same in HTML.")
    content_hash: Mapped[bytes] = mapped_column(
        LargeBinary, comment="SHA-256 of the letter and what is attached to it."
    )
    status: Mapped[str] = mapped_column(
        Text, init=False, server_default="PENDING", comment="What became of it; see MailStatus."
    )
    retry_count: Mapped[int] = mapped_column(
        SmallInteger,
        Computed("greatest(attempts - 1, 0)", persisted=True),
        init=False,
        comment="Attempts after the first.",
    )
    tried_from: Mapped[datetime] = mapped_column(
        moment(),
        init=False,
        server_default=clock.sql_now(),
        comment="When it was first to go; from then on an outage is waited for.",
    )
    next_retry_at: Mapped[datetime | None] = mapped_column(
        moment(), init=False, default=None, comment="When it is tried again, while it is FAILED."
    )
    failure_reason: Mapped[str | None] = mapped_column(
        Text, init=False, default=None, comment="What the last failure was."
    )
    sent_at: Mapped[datetime | None] = mapped_column(
        moment(), init=False, default=None, comment="When a server accepted it."
    )
    opened_at: Mapped[datetime | None] = mapped_column(
        moment(),
        init=False,
        default=None,
        comment="When it was first opened, as far as that shows.",
    )
    is_read: Mapped[bool] = mapped_column(
        Computed("opened_at IS NOT NULL", persisted=True),
        init=False,
        comment="Whether it was opened.",
    )
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was asked for."
    )

    __table_args__: Any = (
        UniqueConstraint("dedupe_key", name="uq_outgoing_mails_dedupe_key"),
        CheckConstraint("length(dedupe_key) BETWEEN 1 AND 255", name="dedupe_key"),
        CheckConstraint("length(recipient) BETWEEN 3 AND 254", name="recipient"),
        CheckConstraint(
            "(recipient || coalesce(reply_to, '') || subject) !~ '[[:cntrl:]]'",
            name="header",
        ),
        CheckConstraint("length(content_hash) = 32", name="content_hash"),
        CheckConstraint(
            "status IN ('PENDING', 'SENT', 'FAILED', 'BOUNCED', 'UNSUBSCRIBED')", name="status"
        ),
        CheckConstraint(
            "(state = 'SUCCEEDED') = (status IN ('SENT', 'BOUNCED', 'UNSUBSCRIBED'))",
            name="settled",
        ),
        CheckConstraint(
            "CASE WHEN state IN ('FAILED', 'CANCELLED') THEN status = 'FAILED' ELSE true END",
            name="given_up",
        ),
        CheckConstraint(
            "(next_retry_at IS NOT NULL) = (status = 'FAILED' AND state = 'PENDING')",
            name="next_retry_at",
        ),
        CheckConstraint(
            "CASE status WHEN 'SENT' THEN sent_at IS NOT NULL"
            " WHEN 'PENDING' THEN sent_at IS NULL WHEN 'FAILED' THEN sent_at IS NULL"
            " ELSE true END",
            name="sent_at",
        ),
        CheckConstraint("status <> 'UNSUBSCRIBED' OR NOT is_mandatory", name="mandatory"),
        CheckConstraint("retry_count < max_attempts", name="retry_count"),
        Index("ix_outgoing_mails_recipient", "recipient", "created_at"),
        Index(
            "ix_outgoing_mails_user_id",
            "user_id",
            "created_at",
            postgresql_where=text("user_id IS NOT NULL"),
        ),
        Index("ix_outgoing_mails_status", "status", "created_at"),
        *leased_args("outgoing_mails"),
        {"schema": SCHEMA, "comment": "Mail on its way, and mail that went."},
    )


class MailAttachment(Model):
    """One file that goes along with a mail."""

    __tablename__ = "mail_attachments"

    mail_id: Mapped[UUID] = mapped_column(
        ForeignKey("delivery.outgoing_mails.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The mail.",
    )
    position: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False, comment="Its place, from 1."
    )
    filename: Mapped[str] = mapped_column(Text, comment="Its name in the mail.")
    content_type: Mapped[str] = mapped_column(Text, comment="Its kind, such as application/pdf.")
    content: Mapped[bytes] = mapped_column(LargeBinary, comment="Its bytes.")

    __table_args__: Any = (
        CheckConstraint("position > 0", name="position"),
        CheckConstraint("(filename || content_type) !~ '[[:cntrl:]]'", name="header"),
        {"schema": SCHEMA, "comment": "Files that go along with mail."},
    )


class MailToken(Identified, Model):
    """What proves that a link came from a mail; only its hash is kept.

    Every attempt has tokens of its own; where a mail arrived twice, the links of both work.
    """

    __tablename__ = "mail_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, comment="SHA-256 of the token.")
    mail_id: Mapped[UUID] = mapped_column(
        ForeignKey("delivery.outgoing_mails.id", ondelete="CASCADE"), comment="The mail."
    )
    purpose: Mapped[str] = mapped_column(Text, comment="OPEN or UNSUBSCRIBE.")
    created_at: Mapped[datetime] = mapped_column(
        moment(), init=False, server_default=clock.sql_now(), comment="When it was made."
    )

    __table_args__: Any = (
        UniqueConstraint("token_hash", name="uq_mail_tokens_token_hash"),
        CheckConstraint("length(token_hash) = 32", name="token_hash"),
        CheckConstraint("purpose IN ('OPEN', 'UNSUBSCRIBE')", name="purpose"),
        Index("ix_mail_tokens_mail_id", "mail_id"),
        {"schema": SCHEMA, "comment": "Hashes of the tokens in mails' links."},
    )
