"""The closed sets of plan B, member by member."""

from __future__ import annotations

import enum

SCHEMA = "accounting"

AMOUNT_MAX = "9999999999.99"
PRICE_MAX = "99999999.99"
"""To PostgreSQL NaN is more than any number, so an upper bound is what keeps it out of a column."""


class InvoiceStatus(enum.Enum):
    """Where an invoice stands; the database lets it go only along the arrows in `rules.py`."""

    DRAFT = "DRAFT"
    ISSUED = "ISSUED"
    OVERDUE = "OVERDUE"
    PAID = "PAID"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


class AuditAction(enum.Enum):
    """What the audit log of `accounting` records."""

    INVOICE_CREATED = "INVOICE_CREATED"
    INVOICE_UPDATED = "INVOICE_UPDATED"
    INVOICE_ISSUED = "INVOICE_ISSUED"
    INVOICE_SENT_TO_CUSTOMER = "INVOICE_SENT_TO_CUSTOMER"
    INVOICE_CANCELLED = "INVOICE_CANCELLED"
    PAYMENT_ADDED = "PAYMENT_ADDED"
    PAYMENT_REMOVED = "PAYMENT_REMOVED"
    PAYMENT_REFUNDED = "PAYMENT_REFUNDED"
    RECURRING_INVOICE_CREATED = "RECURRING_INVOICE_CREATED"
    RECURRING_INVOICE_UPDATED = "RECURRING_INVOICE_UPDATED"
    RECURRING_INVOICE_DELETED = "RECURRING_INVOICE_DELETED"
    RECURRING_INVOICE_PAUSED = "RECURRING_INVOICE_PAUSED"
    RECURRING_INVOICE_RESUMED = "RECURRING_INVOICE_RESUMED"
    PRICING_CONFIG_CREATED = "PRICING_CONFIG_CREATED"
    PRICING_CONFIG_UPDATED = "PRICING_CONFIG_UPDATED"
    PRICING_CONFIG_ARCHIVED = "PRICING_CONFIG_ARCHIVED"
    EMAIL_SENT = "EMAIL_SENT"
    EMAIL_FAILED = "EMAIL_FAILED"
    EMAIL_RETRY = "EMAIL_RETRY"


class NotificationType(enum.Enum):
    """What a customer is told about an invoice."""

    INVOICE_ISSUED = "INVOICE_ISSUED"
    PAYMENT_REMINDER = "PAYMENT_REMINDER"
    OVERDUE_REMINDER = "OVERDUE_REMINDER"
    PAYMENT_RECEIVED = "PAYMENT_RECEIVED"
    INVOICE_VIEWED = "INVOICE_VIEWED"


class NotificationStatus(enum.Enum):
    """How far a message came."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    BOUNCED = "BOUNCED"
    UNSUBSCRIBED = "UNSUBSCRIBED"
