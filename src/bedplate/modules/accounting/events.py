"""What `accounting` tells, in the transaction that made it so.

Whoever hears `MessageWritten` carries the message: the bridge to `delivery`, or a module of yours
that sends in another way and then notes what became of it on the InvoiceNotification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from bedplate.kernel.context import UserId
from bedplate.kernel.events import Event
from bedplate.modules.accounting.models import NotificationType
from bedplate.modules.accounting.rules import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageWritten(Event):
    """A customer is to be told something about an invoice, once: the notification is PENDING.

    Told as it is noted; of an invoice to send, when a worker has made its page.

    `due_date` is the one that a reminder is of, `stage` the days from it. `page` is the invoice as
    a PDF where it goes along.
    """

    notification_id: UUID
    invoice_id: UUID
    notification_type: NotificationType
    stage: int
    user_id: UserId
    sent_to: str
    invoice_number: str
    letter: Letter = field(repr=False)
    due_date: date | None = None
    page: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecalled(Event):
    """A message that still waits is not true any more: its invoice is paid or cancelled."""

    notification_id: UUID
