"""The verbs of `accounting`.

Who acts (`acting(user_id)`) is named by the audit log, in a transaction and on `db` alike; `by` is
who stands in the row, as `created_by` and `updated_by`.
"""

from bedplate.modules.accounting.actions.answers import (
    Aged,
    Billed,
    Document,
    Draft,
    Entry,
    Paid,
    Refunded,
    Revenue,
    Statement,
    Waiting,
)
from bedplate.modules.accounting.actions.billing import set_billing, set_seller
from bedplate.modules.accounting.actions.documents import document_of, render_document
from bedplate.modules.accounting.actions.invoices import (
    cancel_invoice,
    delete_draft,
    draft_invoice,
    edit_invoice,
    issue_invoice,
    issue_invoices,
    move_due_date,
)
from bedplate.modules.accounting.actions.messages import (
    make_pages,
    recall_messages,
    remind,
    send_due,
    send_invoice,
    send_receipt,
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
    pass_over,
    pause_template,
    price_at,
    resume_template,
    run_overdue,
    run_recurring,
    set_price,
    templates_waiting,
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
    "Document",
    "Draft",
    "Entry",
    "Paid",
    "Refunded",
    "Revenue",
    "Statement",
    "Waiting",
    "add_payment",
    "aged_receivables",
    "archive_price",
    "cancel_invoice",
    "create_template",
    "customer_statement",
    "delete_draft",
    "document_of",
    "draft_invoice",
    "edit_invoice",
    "edit_template",
    "end_template",
    "issue_invoice",
    "issue_invoices",
    "make_pages",
    "move_due_date",
    "pass_over",
    "pause_template",
    "price_at",
    "recall_messages",
    "refund_invoice",
    "remind",
    "remove_payment",
    "render_document",
    "resume_template",
    "revenue_by_month",
    "run_overdue",
    "run_recurring",
    "send_due",
    "send_invoice",
    "send_receipt",
    "set_billing",
    "set_price",
    "set_seller",
    "templates_waiting",
]
