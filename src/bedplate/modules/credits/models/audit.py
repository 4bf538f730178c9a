"""The audit log of `credits`."""

from __future__ import annotations

import enum

from sqlalchemy.orm import Mapped, mapped_column

from bedplate.kernel.audit import LOG_TABLE, AuditLogged, table_args
from bedplate.kernel.model import Model
from bedplate.kernel.types import enum_type
from bedplate.modules.credits.models.operations import SCHEMA


class AuditAction(enum.Enum):
    """What was done with credits; the last four are rows changed outside of the verbs."""

    ACCOUNT_OPENED = "ACCOUNT_OPENED"
    CREDITS_GRANTED = "CREDITS_GRANTED"
    CREDITS_DEDUCTED = "CREDITS_DEDUCTED"
    CREDITS_REFUNDED = "CREDITS_REFUNDED"
    CREDITS_RESERVED = "CREDITS_RESERVED"
    CREDITS_CAPTURED = "CREDITS_CAPTURED"
    CREDITS_RELEASED = "CREDITS_RELEASED"
    CREDITS_EXPIRED = "CREDITS_EXPIRED"
    FEATURE_COSTS_SET = "FEATURE_COSTS_SET"
    ROW_INSERTED = "ROW_INSERTED"
    ROW_UPDATED = "ROW_UPDATED"
    ROW_DELETED = "ROW_DELETED"
    TABLE_TRUNCATED = "TABLE_TRUNCATED"


class AuditLog(AuditLogged, Model):
    """Who did what with credits, when and from where; rows are added, never changed."""

    __tablename__ = LOG_TABLE

    action: Mapped[AuditAction] = mapped_column(
        enum_type(AuditAction, SCHEMA), comment="What was done."
    )

    __table_args__ = table_args(SCHEMA, users="auth.users.id")
