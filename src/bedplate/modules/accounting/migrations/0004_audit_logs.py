"""The audit log, written by the database itself: whoever changes a row, the action is noted."""

from __future__ import annotations

from bedplate.kernel import audit, lines
from bedplate.kernel.footprint import Footprint

revision = "0004_audit_logs"
down_revision = "0003_rules"

AUDITED = (
    "invoices",
    "invoice_payments",
    "invoice_refunds",
    "recurring_invoices",
    "customer_pricing_config",
)
touches = Footprint(behaviour=[f"accounting.{table}" for table in AUDITED])

ACTIONS = (
    "INVOICE_CREATED",
    "INVOICE_UPDATED",
    "INVOICE_ISSUED",
    "INVOICE_SENT_TO_CUSTOMER",
    "INVOICE_CANCELLED",
    "PAYMENT_ADDED",
    "PAYMENT_REMOVED",
    "PAYMENT_REFUNDED",
    "RECURRING_INVOICE_CREATED",
    "RECURRING_INVOICE_UPDATED",
    "RECURRING_INVOICE_DELETED",
    "RECURRING_INVOICE_PAUSED",
    "RECURRING_INVOICE_RESUMED",
    "PRICING_CONFIG_CREATED",
    "PRICING_CONFIG_UPDATED",
    "PRICING_CONFIG_ARCHIVED",
    "EMAIL_SENT",
    "EMAIL_FAILED",
    "EMAIL_RETRY",
)

# What of a row may change at all: an entry holds those columns that did, before and after. A
# template's last_generated_date is missing on purpose: the invoice that was made has an entry, and
# the run notes by itself the days that it passes over.
MAY_CHANGE = {
    "invoices": (
        "user_id",
        "total_miners",
        "unit_price",
        "due_date",
        "invoice_number",
        "total_amount",
        "status",
        "issued_date",
        "paid_date",
        "paid_amount",
        "refunded_amount",
        "updated_by",
    ),
    "recurring_invoices": (
        "day_of_month",
        "unit_price",
        "end_date",
        "is_active",
        "last_day_of_month",
        "due_days",
        "deleted_at",
        "updated_by",
    ),
    "customer_pricing_config": ("effective_to", "updated_by"),
}

# {event} {table} {name} {rows} {action} {entity} {description} {changes}: one trigger per event,
# because only one event may have tables of what it changed; one entry per row, in one statement.
LOG = """
CREATE FUNCTION accounting.log_{table}_{event}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO accounting.audit_logs (action, entity_type, entity_id, changes, description)
    SELECT ({action})::accounting.audit_action, '{entity}', {id}::text, {changes}, {description}
    FROM {rows};
    RETURN NULL;
END $$;
COMMENT ON FUNCTION accounting.log_{table}_{event}() IS
    'Note every {event} of {table} in the audit log.';
CREATE TRIGGER tr_{table}_log_{event} AFTER {event} ON accounting.{table}
    REFERENCING {referencing} FOR EACH STATEMENT
    EXECUTE FUNCTION accounting.log_{table}_{event}();
"""
FRESH = ("NEW TABLE AS fresh", "fresh n", "jsonb_build_object('after', to_jsonb(n))")
GONE = ("OLD TABLE AS gone", "gone n", "jsonb_build_object('before', to_jsonb(n))")


def _both(table: str) -> tuple[str, str, str]:
    """Rows of an UPDATE, each before and after, of which only what changed is written down.

    Column by column, as taking two whole rows for jsonb apart costs more than the rest of the log.
    Every row has both; FULL has PostgreSQL hash them. It keeps a session's first plan, and where
    that was made for one row, it would go on to compare each of thousands with each other.
    """
    columns = MAY_CHANGE[table]
    before, after = (
        " || ".join(
            f"CASE WHEN o.{name} IS DISTINCT FROM n.{name}"
            f" THEN jsonb_build_object('{name}', {side}.{name}) ELSE '{{}}' END"
            for name in columns
        )
        for side in ("o", "n")
    )
    changed = " OR ".join(f"o.{name} IS DISTINCT FROM n.{name}" for name in columns)
    return (
        "OLD TABLE AS was NEW TABLE AS became",
        f"was o FULL JOIN became n ON n.id = o.id WHERE {changed}",
        f"jsonb_build_object('before', {before}, 'after', {after})",
    )


INVOICE_UPDATE = """CASE
        WHEN o.status = 'DRAFT' AND n.status = 'ISSUED' THEN 'INVOICE_ISSUED'
        WHEN o.status <> n.status AND n.status = 'CANCELLED' THEN 'INVOICE_CANCELLED'
        ELSE 'INVOICE_UPDATED' END"""
INVOICE_SAID = """CASE
        WHEN o.status <> n.status
        THEN 'Invoice ' || n.invoice_number || ' went from ' || o.status || ' to ' || n.status
        ELSE 'Invoice ' || n.invoice_number || ' changed' END"""
TEMPLATE_UPDATE = """CASE
        WHEN o.deleted_at IS NULL AND n.deleted_at IS NOT NULL THEN 'RECURRING_INVOICE_DELETED'
        WHEN o.is_active AND NOT n.is_active THEN 'RECURRING_INVOICE_PAUSED'
        WHEN NOT o.is_active AND n.is_active THEN 'RECURRING_INVOICE_RESUMED'
        ELSE 'RECURRING_INVOICE_UPDATED' END"""
PRICE_UPDATE = """CASE
        WHEN o.effective_to IS NULL AND n.effective_to IS NOT NULL THEN 'PRICING_CONFIG_ARCHIVED'
        ELSE 'PRICING_CONFIG_UPDATED' END"""

# An invoice that the run makes is drafted and issued in one stroke: its log tells both, as that of
# any other invoice does.
ISSUED = ("invoice_number", "status", "issued_date")
DRAFT = (
    "jsonb_build_object('invoice_number', 'DRAFT-' || n.id, 'status', 'DRAFT', 'issued_date', NULL)"
)
BORN = (
    "NEW TABLE AS fresh",
    f"""fresh n CROSS JOIN LATERAL (
        SELECT 'INVOICE_CREATED' AS action, 'Invoice drafted' AS said, jsonb_build_object(
            'after', CASE WHEN n.status = 'DRAFT' THEN to_jsonb(n)
                          ELSE to_jsonb(n) || {DRAFT} END) AS changes
        UNION ALL
        SELECT 'INVOICE_ISSUED',
               'Invoice ' || n.invoice_number || ' went from DRAFT to ISSUED',
               jsonb_build_object('before', {DRAFT}, 'after', jsonb_build_object(
                   {", ".join(f"'{name}', n.{name}" for name in ISSUED)}))
        WHERE n.status = 'ISSUED') AS e""",
    "e.changes",
)

# table, event, rows, action, entity, id, description
LOGS = (
    ("invoices", "INSERT", BORN, "e.action", "Invoice", "n.id", "e.said"),
    ("invoices", "UPDATE", _both("invoices"), INVOICE_UPDATE, "Invoice", "n.id", INVOICE_SAID),
    ("invoices", "DELETE", GONE, "'INVOICE_CANCELLED'", "Invoice", "n.id", "'Draft deleted'"),
    (
        "invoice_payments",
        "INSERT",
        FRESH,
        "'PAYMENT_ADDED'",
        "Invoice",
        "n.invoice_id",
        "n.amount_paid || ' paid'",
    ),
    (
        "invoice_payments",
        "DELETE",
        GONE,
        "'PAYMENT_REMOVED'",
        "Invoice",
        "n.invoice_id",
        "n.amount_paid || ' no longer allocated'",
    ),
    (
        "invoice_refunds",
        "INSERT",
        FRESH,
        "'PAYMENT_REFUNDED'",
        "Invoice",
        "n.invoice_id",
        "n.amount || ' given back'",
    ),
    (
        "recurring_invoices",
        "INSERT",
        FRESH,
        "'RECURRING_INVOICE_CREATED'",
        "RecurringInvoice",
        "n.id",
        "'Template made'",
    ),
    (
        "recurring_invoices",
        "UPDATE",
        _both("recurring_invoices"),
        TEMPLATE_UPDATE,
        "RecurringInvoice",
        "n.id",
        "'Template changed'",
    ),
    (
        "customer_pricing_config",
        "INSERT",
        FRESH,
        "'PRICING_CONFIG_CREATED'",
        "CustomerPricingConfig",
        "n.id",
        "'Price ' || n.default_unit_price || ' from ' || n.effective_from",
    ),
    (
        "customer_pricing_config",
        "UPDATE",
        _both("customer_pricing_config"),
        PRICE_UPDATE,
        "CustomerPricingConfig",
        "n.id",
        "'Price ' || n.default_unit_price || ' until ' || coalesce(n.effective_to::text, 'ever')",
    ),
)


def upgrade() -> None:
    """Create the log and the triggers that write it; no audited table can be truncated."""
    audit.create_log(ACTIONS)
    run = lines.current().execute
    for table, event, (referencing, rows, changes), action, entity, id_, said in LOGS:
        run(
            LOG.format(
                table=table,
                event=event,
                referencing=referencing,
                rows=rows,
                changes=changes,
                action=action,
                entity=entity,
                id=id_,
                description=said,
            )
        )
    for table in AUDITED:
        run(
            f"CREATE TRIGGER tr_{table}_no_truncate BEFORE TRUNCATE ON accounting.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION bedplate.refuse_change()"
        )


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    for table in AUDITED:
        run(f"DROP TRIGGER tr_{table}_no_truncate ON accounting.{table}")
    for table, event, *_ in LOGS:
        run(f"DROP TRIGGER tr_{table}_log_{event} ON accounting.{table}")
        run(f"DROP FUNCTION accounting.log_{table}_{event}()")
    audit.drop_log()
