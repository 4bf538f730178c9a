"""The models of `accounting`: plan B's six, and what they need beside."""

from bedplate.modules.accounting.models.invoices import (
    AllocatedPayment,
    Invoice,
    InvoiceDocument,
    InvoicePayment,
    InvoiceRefund,
)
from bedplate.modules.accounting.models.notifications import AuditLog, InvoiceNotification
from bedplate.modules.accounting.models.recurring import (
    BilledCustomer,
    BillingSettings,
    CustomerPricingConfig,
    RecurringInvoice,
    TemplatePause,
)
from bedplate.modules.accounting.models.states import (
    SCHEMA,
    AuditAction,
    InvoiceStatus,
    NotificationStatus,
    NotificationType,
)

__all__ = [
    "SCHEMA",
    "AllocatedPayment",
    "AuditAction",
    "AuditLog",
    "BilledCustomer",
    "BillingSettings",
    "CustomerPricingConfig",
    "Invoice",
    "InvoiceDocument",
    "InvoiceNotification",
    "InvoicePayment",
    "InvoiceRefund",
    "InvoiceStatus",
    "NotificationStatus",
    "NotificationType",
    "RecurringInvoice",
    "TemplatePause",
]
