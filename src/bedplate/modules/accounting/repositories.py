"""The named reads of `accounting`."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Date, Integer, Numeric, String, bindparam, func, select, text

from bedplate.kernel.context import UserId
from bedplate.kernel.handle import Handle
from bedplate.kernel.query import Query
from bedplate.kernel.repository import Repository
from bedplate.kernel.types import moment, user_key
from bedplate.modules.accounting.models import (
    BillingSettings,
    CustomerPricingConfig,
    Invoice,
    InvoiceDocument,
    InvoiceNotification,
    InvoicePayment,
    InvoiceRefund,
    InvoiceStatus,
    RecurringInvoice,
)

P = CustomerPricingConfig

PRICE_AT = Query(
    select(P).where(
        P.user_id == bindparam("user_id", type_=user_key()),
        P.effective_from <= bindparam("day", type_=Date()),
        P.effective_to.is_(None) | (P.effective_to > bindparam("day", type_=Date())),
    )
)
BILLING_DAY: Query[date] = Query(
    text("SELECT accounting.billing_day(bedplate.clock())").columns(day=Date())
)
AGES = ((-100_000, 0), (1, 30), (31, 60), (61, 90), (91, 100_000))
"""How many days overdue an amount is, column by column: from, to."""

# Asked once, by a subquery of its own: as a plain call it is asked anew for each invoice.
TODAY = select(func.accounting.billing_day(func.bedplate.clock())).scalar_subquery()
OVERDUE_FOR = TODAY - Invoice.due_date
AGED: Query[Any] = Query(
    select(
        Invoice.user_id,
        func.sum(Invoice.total_amount - Invoice.paid_amount).label("due"),
        *(
            func.coalesce(
                func.sum(Invoice.total_amount - Invoice.paid_amount).filter(
                    OVERDUE_FOR.between(first, last)
                ),
                0,
            ).cast(Numeric(14, 2))
            for first, last in AGES
        ),
    )
    .where(Invoice.status.in_([InvoiceStatus.ISSUED, InvoiceStatus.OVERDUE]))
    .group_by(Invoice.user_id)
    .order_by(Invoice.user_id)
)
# A day ends where the next one begins. What was taken off since then stands in the audit log: a
# payment that was removed, and the due date before it was first moved. A cancelled invoice has not
# changed since it was cancelled.
AGED_AT: Query[Any] = Query(
    text(
        """
WITH day AS (
    SELECT (cast(:day AS date) + 1)::timestamp AT TIME ZONE coalesce(
        (SELECT s.time_zone FROM accounting.billing_settings s), 'UTC') AS over
), paid AS (
    SELECT e.invoice_id, sum(e.amount) AS amount FROM (
        SELECT p.invoice_id, p.amount_paid AS amount
        FROM accounting.invoice_payments p, day WHERE p.created_at < day.over
        UNION ALL
        SELECT a.entity_id::uuid, (a.changes -> 'before' ->> 'amount_paid')::numeric
        FROM accounting.audit_logs a, day
        WHERE a.action = 'PAYMENT_REMOVED' AND a.created_at >= day.over
          AND (a.changes -> 'before' ->> 'created_at')::timestamptz < day.over
    ) AS e GROUP BY e.invoice_id
), moved AS (
    SELECT DISTINCT ON (a.entity_id)
           a.entity_id, (a.changes -> 'before' ->> 'due_date')::date AS due_date
    FROM accounting.audit_logs a, day
    WHERE a.action = 'INVOICE_UPDATED' AND a.created_at >= day.over
      AND a.changes -> 'before' -> 'due_date' IS NOT NULL
    ORDER BY a.entity_id, a.created_at, a.id
), owed AS (
    SELECT i.user_id, i.total_amount - coalesce(p.amount, 0) AS amount,
           :day - coalesce(m.due_date, i.due_date) AS age
    FROM accounting.invoices i CROSS JOIN day
    LEFT JOIN paid p ON p.invoice_id = i.id
    LEFT JOIN moved m ON m.entity_id = i.id::text
    WHERE i.issued_date < day.over AND (i.status <> 'CANCELLED' OR i.updated_at >= day.over)
)
SELECT o.user_id, sum(o.amount) AS due, """
        + ", ".join(
            f"coalesce(sum(o.amount) FILTER (WHERE o.age BETWEEN {first} AND {last}), 0)"
            f" AS age_{place}"
            for place, (first, last) in enumerate(AGES)
        )
        + """
FROM owed o WHERE o.amount > 0 GROUP BY o.user_id ORDER BY o.user_id
"""
    )
    .bindparams(bindparam("day", type_=Date()))
    .columns(
        user_id=user_key(),
        due=Numeric(14, 2),
        **{f"age_{place}": Numeric(14, 2) for place in range(len(AGES))},
    )
)
# What moved a balance, each at the moment it did: nothing that was told is taken back, it is told
# again the other way round. A cancelled invoice has not changed since it was cancelled; a payment
# that was taken off stands in the audit log. Keys are compared as text there: what somebody wrote
# by hand may say anything. LEFT JOIN, which PostgreSQL leaves out where nobody asks whose it was.
ENTRIES = """(
    SELECT i.user_id, i.issued_date AS at, 'invoice' AS kind, i.invoice_number AS number,
           i.total_amount AS amount
    FROM accounting.invoices i WHERE i.issued_date IS NOT NULL
    UNION ALL
    SELECT i.user_id, greatest(i.updated_at, i.issued_date), 'cancellation', i.invoice_number,
           -i.total_amount
    FROM accounting.invoices i WHERE i.status = 'CANCELLED' AND i.issued_date IS NOT NULL
    UNION ALL
    SELECT i.user_id, p.created_at, 'payment', i.invoice_number, -p.amount_paid
    FROM accounting.invoice_payments p LEFT JOIN accounting.invoices i ON i.id = p.invoice_id
    UNION ALL
    SELECT i.user_id, e.at, e.kind, i.invoice_number, e.sign * e.amount
    FROM accounting.audit_logs a
    JOIN accounting.invoices i ON i.id::text = a.entity_id
    CROSS JOIN LATERAL (
        SELECT (a.changes -> 'before' ->> 'created_at')::timestamptz AS paid_at,
               (a.changes -> 'before' ->> 'amount_paid')::numeric AS amount) AS b
    CROSS JOIN LATERAL (
        VALUES ('payment', -1, b.paid_at, b.amount),
               ('removal', 1, greatest(a.created_at, b.paid_at), b.amount)
    ) AS e (kind, sign, at, amount)
    WHERE a.action = 'PAYMENT_REMOVED' AND a.entity_type = 'Invoice'
    UNION ALL
    SELECT i.user_id, r.created_at, e.kind, i.invoice_number, e.sign * r.amount
    FROM accounting.invoice_refunds r LEFT JOIN accounting.invoices i ON i.id = r.invoice_id
    CROSS JOIN (VALUES ('credit', -1), ('refund', 1)) AS e (kind, sign)
)"""
REVENUE: Query[Any] = Query(
    text(
        f"""
WITH zone AS MATERIALIZED (
    SELECT coalesce((SELECT s.time_zone FROM accounting.billing_settings s), 'UTC') AS name)
SELECT date_trunc('month', e.at AT TIME ZONE (SELECT z.name FROM zone z))::date AS month,
       coalesce(sum(e.amount) FILTER (WHERE e.kind IN ('invoice', 'cancellation')), 0) AS billed,
       coalesce(-sum(e.amount) FILTER (WHERE e.kind IN ('payment', 'removal', 'refund')), 0)
           AS kept
FROM {ENTRIES} AS e
WHERE e.at >= (SELECT make_timestamptz(:year, 1, 1, 0, 0, 0, z.name) FROM zone z)
  AND e.at < (SELECT make_timestamptz(:year + 1, 1, 1, 0, 0, 0, z.name) FROM zone z)
GROUP BY 1 ORDER BY 1
"""
    )
    .bindparams(bindparam("year", type_=Integer()))
    .columns(month=Date(), billed=Numeric(14, 2), kept=Numeric(14, 2))
)
STATEMENT: Query[Any] = Query(
    text(
        f"""
SELECT e.at, e.kind, e.number, e.amount FROM {ENTRIES} AS e
WHERE e.user_id = :user_id AND e.at < :until
ORDER BY e.at, e.kind = 'cancellation', e.number, e.kind
"""
    )
    .bindparams(bindparam("user_id", type_=user_key()), bindparam("until", type_=moment()))
    .columns(at=moment(), kind=String(), number=String(), amount=Numeric(14, 2))
)


class PriceRepository(Repository[CustomerPricingConfig]):
    """Prices of customers over time."""

    async def at(self, db: Handle, user_id: UserId, day: date) -> CustomerPricingConfig | None:
        """Return the price that holds for a customer on a day, or None."""
        return await db.first(PRICE_AT, user_id=user_id, day=day)


invoices = Repository(Invoice)
invoice_payments = Repository(InvoicePayment)
invoice_refunds = Repository(InvoiceRefund)
invoice_documents = Repository(InvoiceDocument)
invoice_notifications = Repository(InvoiceNotification)
recurring_invoices = Repository(RecurringInvoice)
customer_pricing_config = PriceRepository(CustomerPricingConfig)
billing_settings = Repository(BillingSettings)
