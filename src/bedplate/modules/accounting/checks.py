"""The laws of accounting, recounted from the rows."""

from __future__ import annotations

from sqlalchemy import func, select

from bedplate.kernel.checks import Check
from bedplate.modules.accounting.models import Invoice, InvoicePayment
from bedplate.modules.mining import CostPayment

RESTORE = "Find who changed the rows in the audit log, and restore them from a backup."

CHECKS = (
    Check(
        id="accounting.E001",
        title="what is paid on an invoice is the sum of its payments",
        query="""
            SELECT i.id AS invoice_id, i.invoice_number, i.paid_amount,
                   coalesce(p.amount, 0) AS recounted
            FROM accounting.invoices i
            LEFT JOIN (SELECT invoice_id, sum(amount_paid) AS amount
                       FROM accounting.invoice_payments GROUP BY invoice_id) p
                ON p.invoice_id = i.id
            WHERE i.paid_amount <> coalesce(p.amount, 0)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="accounting.E002",
        title="what is given back on an invoice is the sum of its refunds",
        query="""
            SELECT i.id AS invoice_id, i.invoice_number, i.refunded_amount,
                   coalesce(r.amount, 0) AS recounted
            FROM accounting.invoices i
            LEFT JOIN (SELECT invoice_id, sum(amount) AS amount
                       FROM accounting.invoice_refunds GROUP BY invoice_id) r
                ON r.invoice_id = i.id
            WHERE i.refunded_amount <> coalesce(r.amount, 0)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="accounting.E003",
        title="what is allocated of a payment is the sum of its allocations",
        query="""
            SELECT coalesce(a.cost_payment_id, p.cost_payment_id) AS cost_payment_id,
                   a.amount_allocated, coalesce(p.amount, 0) AS recounted
            FROM accounting.allocated_payments a
            FULL JOIN (SELECT cost_payment_id, sum(amount_paid) AS amount
                       FROM accounting.invoice_payments GROUP BY cost_payment_id) p
                ON p.cost_payment_id = a.cost_payment_id
            WHERE coalesce(a.amount_allocated, 0) <> coalesce(p.amount, 0)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="accounting.E004",
        title="an invoice is PAID when nothing is due, and only then",
        query="""
            SELECT i.id AS invoice_id, i.invoice_number, i.status, i.total_amount, i.paid_amount
            FROM accounting.invoices i
            WHERE (i.status IN ('PAID', 'REFUNDED')) <> (i.paid_amount = i.total_amount)
        """,
        next_step=RESTORE,
    ),
    Check(
        id="accounting.E005",
        title="the numbers of each billing day go from 1 to the last, without a gap",
        query="""
            SELECT s.period AS day, s.last_number, count(i.id) AS issued
            FROM bedplate.number_series s
            LEFT JOIN accounting.invoices i
                ON i.issued_date IS NOT NULL AND left(i.invoice_number, 8) = s.period
            WHERE s.series = 'accounting.invoices'
            GROUP BY s.period, s.last_number
            HAVING count(i.id) <> s.last_number
        """,
        next_step=RESTORE,
    ),
    Check(
        id="accounting.E006",
        title="no two prices of a customer hold on the same day",
        query="""
            SELECT a.id AS price_id, b.id AS other_price_id, a.user_id
            FROM accounting.customer_pricing_config a
            JOIN accounting.customer_pricing_config b ON b.user_id = a.user_id AND b.id > a.id
            WHERE daterange(a.effective_from, a.effective_to)
                  && daterange(b.effective_from, b.effective_to)
        """,
        next_step="End the earlier of the two with accounting.archive_price.",
    ),
    Check(
        id="accounting.E007",
        title="every issued invoice has a document that says the same, and the document its hash",
        query="""
            SELECT i.id AS invoice_id, i.invoice_number
            FROM accounting.invoices i
            LEFT JOIN accounting.invoice_documents d ON d.invoice_id = i.id
            WHERE i.issued_date IS NOT NULL
              AND (d.invoice_id IS NULL
                   OR d.content_sha256 <> sha256(convert_to(d.content::text, 'UTF8'))
                   OR d.pdf_sha256 <> sha256(d.pdf)
                   OR d.content ->> 'invoice_number' <> i.invoice_number
                   OR d.content ->> 'miners' <> i.total_miners::text
                   OR d.content ->> 'unit_price' <> i.unit_price::text
                   OR d.content ->> 'total' <> i.total_amount::text)
        """,
        next_step=RESTORE,
    ),
    # A month is accounted for by its invoice, a pause, a draft that was deleted, or the run's word
    # that there was nothing to bill. The first may have begun after its billing day. Entries are
    # compared as text: one that somebody wrote by hand may say anything.
    Check(
        id="accounting.E008",
        title="no month that a template says is billed was left out",
        query="""
            SELECT r.id AS recurring_invoice_id, m.month::date AS month, r.last_generated_date
            FROM accounting.recurring_invoices r
            CROSS JOIN LATERAL (
                SELECT date_trunc('month', r.start_date::timestamp) AS first,
                       date_trunc('month', r.last_generated_date::timestamp) AS last) AS w
            CROSS JOIN LATERAL generate_series(
                greatest(w.first, least(w.first + interval '1 month', w.last)),
                least(w.last, w.first + interval '100 years'), interval '1 month') AS m (month)
            WHERE r.last_generated_date IS NOT NULL
              AND NOT EXISTS (
                    SELECT FROM accounting.invoices i
                    WHERE i.recurring_invoice_id = r.id
                      AND date_trunc('month', i.billing_date::timestamp) = m.month)
              AND NOT EXISTS (
                    SELECT FROM accounting.template_pauses p
                    WHERE p.recurring_invoice_id = r.id AND NOT p.billed
                      AND p.paused_on < m.month + interval '1 month'
                      AND coalesce(p.resumed_on, 'infinity') >= m.month)
              AND NOT EXISTS (
                    SELECT FROM accounting.audit_logs a
                    WHERE a.entity_id = r.id::text AND a.entity_type = 'RecurringInvoice'
                      AND left(a.changes -> 'after' ->> 'last_generated_date', 7)
                          = to_char(m.month, 'YYYY-MM'))
              AND NOT EXISTS (
                    SELECT FROM accounting.audit_logs a
                    WHERE a.action = 'INVOICE_CANCELLED' AND a.entity_type = 'Invoice'
                      AND a.changes -> 'before' ->> 'recurring_invoice_id' = r.id::text
                      AND left(a.changes -> 'before' ->> 'billing_date', 7)
                          = to_char(m.month, 'YYYY-MM'))
        """,
        next_step="Draft its invoice (invoices.create with recurring_invoice_id and a billing_date"
        " in that month), and find out who moved last_generated_date.",
    ),
    # Where days begin first on earth: it may have been marked in another billing time zone.
    Check(
        id="accounting.E009",
        title="no invoice is overdue before its due date is past",
        query="""
            SELECT i.id AS invoice_id, i.invoice_number, i.due_date
            FROM accounting.invoices i
            WHERE i.status = 'OVERDUE'
              AND i.due_date >= (bedplate.clock() AT TIME ZONE 'Pacific/Kiritimati')::date
        """,
        next_step="Set its status to ISSUED, and find out in the audit log who moved its due date.",
    ),
    # Of a host's table too: whoever keeps the payments may change them under what was allocated.
    Check(
        id="accounting.E010",
        title="no more is allocated of a payment than it brought",
        query=select(
            InvoicePayment.cost_payment_id,
            CostPayment.amount,
            func.sum(InvoicePayment.amount_paid).label("allocated"),
        )
        .join(CostPayment, CostPayment.id == InvoicePayment.cost_payment_id)
        .group_by(InvoicePayment.cost_payment_id, CostPayment.amount)
        .having(func.sum(InvoicePayment.amount_paid) > CostPayment.amount),
        next_step="Give the payment its amount again, or take off what it did not bring"
        " (accounting.remove_payment).",
    ),
    Check(
        id="accounting.E011",
        title="what pays an invoice came from its customer",
        query=select(
            InvoicePayment.id.label("invoice_payment_id"),
            InvoicePayment.cost_payment_id,
            CostPayment.user_id.label("payer"),
            Invoice.invoice_number,
            Invoice.user_id,
        )
        .join(CostPayment, CostPayment.id == InvoicePayment.cost_payment_id)
        .join(Invoice, Invoice.id == InvoicePayment.invoice_id)
        .where(CostPayment.user_id.is_distinct_from(Invoice.user_id))
        .order_by(InvoicePayment.id),
        next_step="Give the payment its payer again, or take it off (accounting.remove_payment).",
    ),
    Check(
        id="accounting.W001",
        title="no template waits to be billed",
        query="SELECT * FROM accounting.waiting()",
        next_step="NO_PRICE: set a price from the day (accounting.set_price). TOO_MANY: see whether"
        " start_date is right; if so raise catch_up_months (accounting.set_billing). Days that are"
        " not to be billed: accounting.pass_over.",
    ),
)
