"""The laws of accounting, recounted from the rows."""

from __future__ import annotations

from bedplate.kernel.checks import Check

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
)
