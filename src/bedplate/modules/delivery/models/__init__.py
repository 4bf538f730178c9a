"""Outgoing mail, what it carries, and what its addressees want."""

from bedplate.modules.delivery.models.audit import AuditAction, AuditLog
from bedplate.modules.delivery.models.mails import (
    SCHEMA,
    MailAttachment,
    MailStatus,
    MailToken,
    OutgoingMail,
    TokenPurpose,
)
from bedplate.modules.delivery.models.preferences import MailPreference, MailQuietHours

__all__ = [
    "SCHEMA",
    "AuditAction",
    "AuditLog",
    "MailAttachment",
    "MailPreference",
    "MailQuietHours",
    "MailStatus",
    "MailToken",
    "OutgoingMail",
    "TokenPurpose",
]
