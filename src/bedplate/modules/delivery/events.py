"""What `delivery` tells, in the transaction that made it so.

A bridge hears `MailChanged`, or one of its kinds: each carries all that became of the mail by then,
ready to be copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bedplate.kernel.context import UserId
from bedplate.kernel.events import Event
from bedplate.modules.delivery.models import MailStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class MailChanged(Event):
    """Something became of a mail. `category` begins with the name of the module that sent it."""

    mail_id: UUID
    dedupe_key: str
    category: str
    user_id: UserId | None
    recipient: str
    status: MailStatus
    retry_count: int
    next_retry_at: datetime | None
    failure_reason: str | None
    sent_at: datetime | None
    opened_at: datetime | None


class MailDelivered(MailChanged):
    """A server accepted it: SENT."""


class MailRetried(MailChanged):
    """It is being tried once more: PENDING."""


class MailFailed(MailChanged):
    """An attempt failed, or it was cancelled: FAILED.

    For good where `next_retry_at` is None.
    """


class MailBounced(MailChanged):
    """Its addressee's server refused it for good: BOUNCED."""


class MailUnsubscribed(MailChanged):
    """Its addressee does not want it, or no more of its kind: UNSUBSCRIBED."""


class MailOpened(MailChanged):
    """Its addressee opened it for the first time."""
