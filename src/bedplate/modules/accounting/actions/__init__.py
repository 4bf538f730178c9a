"""The verbs of `accounting`."""

from bedplate.modules.accounting.actions.answers import (
    Aged,
    Billed,
    Draft,
    Entry,
    Paid,
    Refunded,
    Revenue,
    Statement,
)
from bedplate.modules.accounting.actions.billing import set_billing
from bedplate.modules.accounting.actions.invoices import (
    cancel_invoice,
    delete_draft,
    draft_invoice,
    edit_invoice,
    issue_invoice,
    issue_invoices,
    move_due_date,
)
from bedplate.modules.accounting.actions.payments import (
    add_payment,
    refund_invoice,
    remove_payment,
)
from bedplate.modules.accounting.actions.recurring import (
    OVERDUE_MAX,
    archive_price,
    create_template,
    edit_template,
    end_template,
    pause_template,
    price_at,
    resume_template,
    run_overdue,
    run_recurring,
    set_price,
)
from bedplate.modules.accounting.actions.reports import (
    aged_receivables,
    customer_statement,
    revenue_by_month,
)

__all__ = [
    "OVERDUE_MAX",
    "Aged",
    "Billed",
    "Draft",
    "Entry",
    "Paid",
    "Refunded",
    "Revenue",
    "Statement",
    "add_payment",
    "aged_receivables",
    "archive_price",
    "cancel_invoice",
    "create_template",
    "customer_statement",
    "delete_draft",
    "draft_invoice",
    "edit_invoice",
    "edit_template",
    "end_template",
    "issue_invoice",
    "issue_invoices",
    "move_due_date",
    "pause_template",
    "price_at",
    "refund_invoice",
    "remove_payment",
    "resume_template",
    "revenue_by_month",
    "run_overdue",
    "run_recurring",
    "set_billing",
    "set_price",
]
