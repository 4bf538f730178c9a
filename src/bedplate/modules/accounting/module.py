"""The manifest of `accounting`."""

from __future__ import annotations

from bedplate.kernel.module import ModuleManifest
from bedplate.modules.accounting import samples
from bedplate.modules.accounting.checks import CHECKS
from bedplate.modules.accounting.jobs import JOBS
from bedplate.modules.accounting.models import (
    AllocatedPayment,
    AuditLog,
    BilledCustomer,
    BillingSettings,
    CustomerPricingConfig,
    Invoice,
    InvoiceDocument,
    InvoiceNotification,
    InvoicePayment,
    InvoiceRefund,
    RecurringInvoice,
    TemplatePause,
)
from bedplate.modules.mining import CostPayment, Miner

MODULE = ModuleManifest(
    name="accounting",
    package="bedplate.modules.accounting",
    models=(
        BillingSettings,
        BilledCustomer,
        CustomerPricingConfig,
        RecurringInvoice,
        TemplatePause,
        Invoice,
        AllocatedPayment,
        InvoicePayment,
        InvoiceRefund,
        InvoiceDocument,
        InvoiceNotification,
        AuditLog,
    ),
    requires=("auth", "mining"),
    instead={"mining": {"cost_payments": CostPayment, "miners": Miner}},
    bridges=("delivery",),
    checks=CHECKS,
    jobs=JOBS,
    samples=samples.load,
)
