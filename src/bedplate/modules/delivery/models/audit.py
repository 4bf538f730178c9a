"""The audit log of `delivery`: what addressees want. A mail's own row says what became of it.

Who chose is who is acting; where nobody is known to act, as behind an unsubscribe link, SYSTEM.
"""

from __future__ import annotations

import enum

from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel.audit import LOG_TABLE, AuditLogged, table_args
from bedplate.kernel.model import Model
from bedplate.kernel.types import enum_type
from bedplate.modules.delivery.models.mails import SCHEMA


class AuditAction(enum.Enum):
    """What was done; the last four are rows of preferences and quiet hours, whoever wrote them."""

    UNSUBSCRIBED = "UNSUBSCRIBED"
    MAIL_CANCELLED = "MAIL_CANCELLED"
    MAIL_RETRIED = "MAIL_RETRIED"
    ROW_INSERTED = "ROW_INSERTED"
    ROW_UPDATED = "ROW_UPDATED"
    ROW_DELETED = "ROW_DELETED"
    TABLE_TRUNCATED = "TABLE_TRUNCATED"


class AuditLog(AuditLogged, Model):
    """Who changed what addressees want, and who stopped or repeated a mail; rows are only added."""

    __tablename__ = LOG_TABLE

    action: Mapped[AuditAction] = mapped_column(
        enum_type(AuditAction, SCHEMA), comment="What was done."
    )

    __table_args__ = table_args(SCHEMA, users="auth.users.id")
