"""What the document of an invoice says, fixed when it is issued, and its page once it is made."""

from __future__ import annotations

from bedplate.kernel import lines
from bedplate.kernel.footprint import Footprint

revision = "0007_documents"
down_revision = "0006_messages"

touches = Footprint(behaviour=["accounting.invoice_documents", "accounting.invoices"])

GUARD = """
CREATE FUNCTION accounting.guard_document() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.invoice_id, NEW.content, NEW.content_sha256, NEW.created_at)
        IS DISTINCT FROM (OLD.invoice_id, OLD.content, OLD.content_sha256, OLD.created_at)
       OR OLD.pdf IS NOT NULL
    THEN
        PERFORM accounting.refuse('invoice_documents', 'frozen', 'A document is made once.');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.guard_document() IS
    'Keep a document''s content, and its page once it is made.';
CREATE TRIGGER tr_invoice_documents_guard BEFORE UPDATE ON accounting.invoice_documents
    FOR EACH ROW EXECUTE FUNCTION accounting.guard_document();
"""

# {event} {referencing} {issued} {drafted}: one function per event, because only an update has rows
# from before it. It is asked first whether anything was issued, which most updates say no to.
FIX = """
CREATE FUNCTION accounting.fix_documents_{event}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM {issued}) THEN
        RETURN NULL;
    END IF;
    WITH issued AS (
        SELECT n.id, jsonb_build_object(
            'invoice_number', n.invoice_number,
            'issued_on', (n.issued_date AT TIME ZONE coalesce(s.time_zone, 'UTC'))::date,
            'due_on', n.due_date,
            'billed_on', n.billing_date,
            'seller', coalesce(s.seller, ''),
            'currency', coalesce(s.currency, ''),
            'customer', jsonb_build_object(
                'id', n.user_id::text, 'name', u.name, 'email', u.email),
            'miners', n.total_miners,
            'unit_price', n.unit_price::text,
            'total', n.total_amount::text) AS content
        FROM became n
        LEFT JOIN (
            SELECT {users_id} AS id, {users.name?} AS name, {users.email?} AS email
            FROM {users_table}
        ) u ON u.id = n.user_id
        LEFT JOIN accounting.billing_settings s ON true
        WHERE n.status = 'ISSUED' {drafted}
    ), fixed AS (
        INSERT INTO accounting.invoice_documents (invoice_id, content, content_sha256)
        SELECT i.id, i.content, sha256(convert_to(i.content::text, 'UTF8')) FROM issued i
        RETURNING invoice_id
    ), placed AS (
        SELECT f.invoice_id, (row_number() OVER (ORDER BY f.invoice_id) - 1) / 200 AS batch
        FROM fixed f
    )
    -- Asked for here, the pages are made whoever issues, and only if the issue commits.
    INSERT INTO bedplate.jobs (id, kind, payload)
    SELECT bedplate.uuid7(), 'accounting.render', jsonb_agg(p.invoice_id ORDER BY p.invoice_id)
    FROM placed p GROUP BY p.batch;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION accounting.fix_documents_{event}() IS
    'Fix what the documents of invoices say that an {event} issued, and ask for their pages.';
CREATE TRIGGER tr_invoices_documents_{event} AFTER {event} ON accounting.invoices
    REFERENCING {referencing} FOR EACH STATEMENT
    EXECUTE FUNCTION accounting.fix_documents_{event}();
"""

# event, its tables, what tells whether any was issued, what those were before. NOT IN is hashed
# whatever plan a session began with; a join that was planned for one row would not be.
EVENTS = (
    ("INSERT", "NEW TABLE AS became", "became n WHERE n.status = 'ISSUED'", ""),
    (
        "UPDATE",
        "OLD TABLE AS was NEW TABLE AS became",
        "was o WHERE o.status = 'DRAFT'",
        "AND n.id NOT IN (SELECT o.id FROM was o WHERE o.status <> 'DRAFT')",
    ),
)


def upgrade() -> None:
    """Create the functions and their triggers."""
    run = lines.current().execute
    run(GUARD)
    for event, referencing, issued, drafted in EVENTS:
        text = FIX.replace("{event}", event).replace("{referencing}", referencing)
        run(lines.with_places(text.replace("{issued}", issued).replace("{drafted}", drafted)))


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    for event, *_ in EVENTS:
        run(f"DROP TRIGGER tr_invoices_documents_{event} ON accounting.invoices")
        run(f"DROP FUNCTION accounting.fix_documents_{event}()")
    run("DROP TRIGGER tr_invoice_documents_guard ON accounting.invoice_documents")
    run("DROP FUNCTION accounting.guard_document()")
