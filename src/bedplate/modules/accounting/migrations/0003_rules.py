"""The rules of invoices and payments, so that raw SQL cannot break them either."""

from __future__ import annotations

from bedplate.kernel import lines
from bedplate.kernel.footprint import Footprint

revision = "0003_rules"
down_revision = "0002_invoices"

touches = Footprint(
    behaviour=[
        f"accounting.{table}"
        for table in (
            "invoices",
            "invoice_payments",
            "invoice_refunds",
            "invoice_notifications",
        )
    ]
)

INVOICES = """
CREATE FUNCTION accounting.may_become(
    p_old accounting.invoice_status, p_new accounting.invoice_status
) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN CASE p_old
        WHEN 'DRAFT' THEN p_new IN ('ISSUED', 'CANCELLED')
        WHEN 'ISSUED' THEN p_new IN ('OVERDUE', 'PAID', 'CANCELLED')
        WHEN 'OVERDUE' THEN p_new IN ('ISSUED', 'PAID', 'CANCELLED')
        WHEN 'PAID' THEN p_new IN ('ISSUED', 'OVERDUE', 'REFUNDED')
        ELSE false END;
COMMENT ON FUNCTION accounting.may_become(accounting.invoice_status, accounting.invoice_status) IS
    'Whether an invoice may go from one status to another.';

CREATE FUNCTION accounting.number_of(p_day date, p_serial bigint) RETURNS text
    LANGUAGE sql STABLE
    RETURN to_char(p_day, 'YYYYMMDD')
        || lpad(p_serial::text, greatest(2, length(p_serial::text)), '0');
COMMENT ON FUNCTION accounting.number_of(date, bigint) IS
    'An invoice''s number: its day, and the serial in two digits or more.';

CREATE FUNCTION accounting.require_given(p_numbers text[], p_day date) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_last bigint := (
        SELECT s.last_number FROM bedplate.number_series s
        WHERE s.series = 'accounting.invoices' AND s.period = to_char(p_day, 'YYYYMMDD'));
BEGIN
    -- Every number up to the last is taken but for those a batch has just set aside for itself.
    -- Written in its one way: the unique key would let 001 pass beside 01.
    IF v_last IS NULL OR EXISTS (
        SELECT FROM unnest(p_numbers) AS g (number)
        WHERE CASE WHEN g.number ~ '^[0-9]{10,18}$' THEN
            substr(g.number, 9)::bigint NOT BETWEEN 1 AND v_last
            OR g.number <> accounting.number_of(p_day, substr(g.number, 9)::bigint)
            ELSE true END)
    THEN
        PERFORM accounting.refuse('invoices', 'number', 'Numbers are given by the database.');
    END IF;
END $$;
COMMENT ON FUNCTION accounting.require_given(text[], date) IS
    'Refuse numbers that the counter of their day did not give.';

CREATE FUNCTION accounting.guard_invoice() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_at timestamptz := bedplate.clock();
    v_day date;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'DRAFT' THEN
            PERFORM accounting.refuse('invoices', 'draft_only', 'Only a draft can be deleted.');
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'DRAFT' OR NEW.paid_amount <> 0 OR NEW.refunded_amount <> 0 THEN
            PERFORM accounting.refuse('invoices', 'transition', 'An invoice begins as a draft.');
        END IF;
        IF NEW.recurring_invoice_id IS NOT NULL THEN
            -- Whoever drafts for a template takes it first, as the run does: it then never numbers
            -- an invoice of a month that somebody else is about to have.
            PERFORM FROM accounting.recurring_invoices r WHERE r.id = NEW.recurring_invoice_id
            FOR NO KEY UPDATE;
        END IF;
        NEW.invoice_number := 'DRAFT-' || NEW.id;
        NEW.issued_date := NULL;
        NEW.paid_date := NULL;
        RETURN NEW;
    END IF;
    IF OLD.status IN ('CANCELLED', 'REFUNDED') THEN
        PERFORM accounting.refuse('invoices', 'final', 'A ' || lower(OLD.status::text)
            || ' invoice never changes.');
    END IF;
    IF (NEW.id, NEW.created_by, NEW.created_at, NEW.invoice_generated_date)
        IS DISTINCT FROM (OLD.id, OLD.created_by, OLD.created_at, OLD.invoice_generated_date)
       OR (NEW.recurring_invoice_id, NEW.billing_date)
        IS DISTINCT FROM (OLD.recurring_invoice_id, OLD.billing_date)
       OR OLD.status <> 'DRAFT'
          AND (NEW.user_id, NEW.total_miners, NEW.unit_price, NEW.invoice_number, NEW.issued_date)
        IS DISTINCT FROM
              (OLD.user_id, OLD.total_miners, OLD.unit_price, OLD.invoice_number, OLD.issued_date)
    THEN
        PERFORM accounting.refuse('invoices', 'frozen', 'What an invoice bills is fixed.');
    END IF;
    IF OLD.status = 'DRAFT' AND NEW.status <> 'ISSUED'
       AND (NEW.invoice_number, NEW.issued_date)
        IS DISTINCT FROM (OLD.invoice_number, OLD.issued_date)
       OR (OLD.status = 'PAID') = (NEW.status = 'PAID')
       AND NEW.paid_date IS DISTINCT FROM OLD.paid_date
    THEN
        PERFORM accounting.refuse('invoices', 'frozen', 'Number and dates come with the status.');
    END IF;
    -- With the day that is moved, and not after it: at no moment is it overdue too early.
    IF OLD.status = 'OVERDUE' AND NEW.status = 'OVERDUE' AND NEW.due_date <> OLD.due_date
       AND NEW.due_date >= accounting.billing_day(v_at)
    THEN
        NEW.status := 'ISSUED';
    END IF;
    IF NEW.status <> OLD.status THEN
        IF NOT accounting.may_become(OLD.status, NEW.status) THEN
            PERFORM accounting.refuse('invoices', 'transition',
                'An invoice does not go from ' || OLD.status || ' to ' || NEW.status || '.');
        END IF;
        v_day := accounting.billing_day(v_at);
        IF NEW.status = 'ISSUED' AND OLD.status = 'DRAFT' THEN
            IF NEW.invoice_number = OLD.invoice_number THEN
                NEW.issued_date := v_at;
                NEW.invoice_number := accounting.number_of(v_day, bedplate.next_numbers(
                    'accounting.invoices', to_char(v_day, 'YYYYMMDD'), 1));
            ELSE
                -- Of the day of its own issue, which began before it waited for the counter.
                PERFORM accounting.require_given(
                    ARRAY[NEW.invoice_number], accounting.billing_day(NEW.issued_date));
            END IF;
        ELSIF NEW.status = 'OVERDUE' AND NEW.due_date >= v_day
           OR NEW.status = 'ISSUED' AND NEW.due_date < v_day
        THEN
            PERFORM accounting.refuse('invoices', 'due',
                'An invoice is overdue from the day after its due date.');
        END IF;
        IF OLD.status = 'PAID' AND NEW.status <> 'REFUNDED' THEN
            NEW.paid_date := NULL;
        END IF;
    END IF;
    IF NEW.paid_amount <> OLD.paid_amount AND NEW.paid_amount <> (
        SELECT coalesce(sum(p.amount_paid), 0) FROM accounting.invoice_payments p
        WHERE p.invoice_id = NEW.id)
       OR NEW.refunded_amount <> OLD.refunded_amount AND NEW.refunded_amount <> (
        SELECT coalesce(sum(r.amount), 0) FROM accounting.invoice_refunds r
        WHERE r.invoice_id = NEW.id)
    THEN
        PERFORM accounting.refuse('invoices', 'sums', 'Paid and refunded are sums of their rows.');
    END IF;
    NEW.updated_at := bedplate.now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.guard_invoice() IS
    'Keep an invoice to its transitions, number it at its issue, and fix what it bills.';
CREATE TRIGGER tr_invoices_guard BEFORE UPDATE OR DELETE ON accounting.invoices
    FOR EACH ROW EXECUTE FUNCTION accounting.guard_invoice();
-- All but what the run makes: an invoice that is issued as it begins, and untouched otherwise.
CREATE TRIGGER tr_invoices_draft BEFORE INSERT ON accounting.invoices
    FOR EACH ROW
    WHEN (NEW.status <> 'ISSUED' OR NEW.issued_date IS NULL OR NEW.paid_date IS NOT NULL
          OR NEW.paid_amount <> 0 OR NEW.refunded_amount <> 0)
    EXECUTE FUNCTION accounting.guard_invoice();

-- No definer's: the run is told from everybody else by whose rights it has, which are the owner's.
CREATE FUNCTION accounting.guard_born() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM born b WHERE b.status = 'ISSUED') THEN
        RETURN NULL;
    END IF;
    IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'MEMBER') THEN
        PERFORM accounting.refuse('invoices', 'transition', 'An invoice begins as a draft.');
    END IF;
    IF EXISTS (
        SELECT FROM born b WHERE b.status = 'ISSUED'
          AND b.issued_date NOT BETWEEN bedplate.now() AND bedplate.clock())
    THEN
        PERFORM accounting.refuse('invoices', 'number', 'An invoice is issued now.');
    END IF;
    -- The counter is read once, however many there are.
    PERFORM accounting.require_given(
        array_agg(b.invoice_number::text), accounting.billing_day(b.issued_date))
    FROM born b WHERE b.status = 'ISSUED' GROUP BY b.issued_date;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION accounting.guard_born() IS
    'Let the run alone begin invoices as issued ones, now and with numbers of the counter.';
CREATE TRIGGER tr_invoices_born AFTER INSERT ON accounting.invoices
    REFERENCING NEW TABLE AS born FOR EACH STATEMENT EXECUTE FUNCTION accounting.guard_born();
"""

PAYMENTS = """
CREATE FUNCTION accounting.allocate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_invoice record;
    v_paid record;
    v_allocated numeric;
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- The invoice first, as every payment does: two who meet never wait in a circle.
        PERFORM FROM accounting.invoices i WHERE i.id = OLD.invoice_id FOR NO KEY UPDATE;
        RETURN OLD;
    END IF;
    SELECT i.status, i.total_amount, i.paid_amount, i.user_id INTO v_invoice
    FROM accounting.invoices i WHERE i.id = NEW.invoice_id FOR NO KEY UPDATE;
    IF v_invoice.status IS NULL THEN
        RETURN NEW;  -- The foreign key says it better.
    END IF;
    IF v_invoice.status NOT IN ('ISSUED', 'OVERDUE') THEN
        PERFORM accounting.refuse('invoice_payments', 'payable',
            'A ' || lower(v_invoice.status::text) || ' invoice takes no payment.');
    END IF;
    IF v_invoice.paid_amount + NEW.amount_paid > v_invoice.total_amount THEN
        PERFORM accounting.refuse('invoice_payments', 'over_invoice',
            'More would be paid than the invoice asks for.');
    END IF;
    -- The host's row is not ours to lock: whoever allocates a payment changes this one instead.
    INSERT INTO accounting.allocated_payments AS a (cost_payment_id, amount_allocated)
    VALUES (NEW.cost_payment_id, NEW.amount_paid)
    ON CONFLICT (cost_payment_id)
        DO UPDATE SET amount_allocated = a.amount_allocated + NEW.amount_paid
    RETURNING a.amount_allocated INTO v_allocated;
    SELECT c.{cost_payments.user_id} AS payer, c.{cost_payments.amount} AS amount INTO v_paid
    FROM {cost_payments_table} c WHERE c.{cost_payments_id} = NEW.cost_payment_id;
    IF v_paid.payer IS DISTINCT FROM v_invoice.user_id THEN
        PERFORM accounting.refuse('invoice_payments', 'payer',
            'The payment came from another customer.');
    END IF;
    IF v_allocated > v_paid.amount THEN
        PERFORM accounting.refuse('invoice_payments', 'over_payment',
            'More would be allocated than was paid.');
    END IF;
    NEW.created_at := bedplate.now();  -- What was told of days that are over stays.
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.allocate() IS
    'Refuse a payment of more than the invoice asks for or the customer paid.';
CREATE TRIGGER tr_invoice_payments_allocate
    BEFORE INSERT OR DELETE ON accounting.invoice_payments
    FOR EACH ROW EXECUTE FUNCTION accounting.allocate();

CREATE FUNCTION accounting.settle_payment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_invoice_id uuid := CASE TG_OP WHEN 'INSERT' THEN NEW.invoice_id ELSE OLD.invoice_id END;
    v_paid numeric;
BEGIN
    -- The whole sum: a statement may bring several, all of which are there before the first of
    -- them is settled. The rest of them then find nothing to do. The lock comes before it, so that
    -- the sum has what was committed while we waited.
    PERFORM FROM accounting.invoices i WHERE i.id = v_invoice_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(p.amount_paid), 0) INTO v_paid FROM accounting.invoice_payments p
    WHERE p.invoice_id = v_invoice_id;
    IF TG_OP = 'INSERT' THEN
        UPDATE accounting.invoices i
        SET paid_amount = v_paid,
            status = CASE WHEN v_paid = i.total_amount THEN 'PAID' ELSE i.status END,
            paid_date = CASE WHEN v_paid = i.total_amount THEN NEW.paid_date END
        WHERE i.id = v_invoice_id AND i.paid_amount <> v_paid;
        RETURN NULL;
    END IF;
    UPDATE accounting.allocated_payments a
    SET amount_allocated = a.amount_allocated - OLD.amount_paid
    WHERE a.cost_payment_id = OLD.cost_payment_id;
    UPDATE accounting.invoices i
    SET paid_amount = v_paid,
        status = CASE WHEN i.status <> 'PAID' THEN i.status
                      WHEN i.due_date < accounting.billing_day(bedplate.clock()) THEN 'OVERDUE'
                      ELSE 'ISSUED' END::accounting.invoice_status,
        paid_date = NULL
    WHERE i.id = v_invoice_id AND i.status <> 'DRAFT' AND i.paid_amount <> v_paid;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION accounting.settle_payment() IS
    'Bring an invoice''s paid amount and status in step with its payments.';
CREATE TRIGGER tr_invoice_payments_settle AFTER INSERT OR DELETE ON accounting.invoice_payments
    FOR EACH ROW EXECUTE FUNCTION accounting.settle_payment();

CREATE FUNCTION accounting.refund() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_invoice record;
BEGIN
    SELECT i.status, i.paid_amount, i.refunded_amount INTO v_invoice
    FROM accounting.invoices i WHERE i.id = NEW.invoice_id FOR NO KEY UPDATE;
    IF v_invoice.status <> 'PAID' THEN
        PERFORM accounting.refuse('invoice_refunds', 'refundable',
            'Only a paid invoice is refunded.');
    END IF;
    IF v_invoice.refunded_amount + NEW.amount > v_invoice.paid_amount THEN
        PERFORM accounting.refuse('invoice_refunds', 'over_refund',
            'More would be given back than was paid.');
    END IF;
    NEW.created_at := bedplate.now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.refund() IS
    'Refuse to give back more than was paid, and on an invoice that is not PAID.';
CREATE TRIGGER tr_invoice_refunds_refund BEFORE INSERT ON accounting.invoice_refunds
    FOR EACH ROW EXECUTE FUNCTION accounting.refund();

CREATE FUNCTION accounting.settle_refund() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_refunded numeric;
BEGIN
    PERFORM FROM accounting.invoices i WHERE i.id = NEW.invoice_id FOR NO KEY UPDATE;
    SELECT sum(r.amount) INTO v_refunded FROM accounting.invoice_refunds r
    WHERE r.invoice_id = NEW.invoice_id;
    UPDATE accounting.invoices i
    SET refunded_amount = v_refunded,
        status = CASE WHEN v_refunded = i.total_amount THEN 'REFUNDED' ELSE i.status END
    WHERE i.id = NEW.invoice_id AND i.refunded_amount <> v_refunded;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION accounting.settle_refund() IS
    'Bring an invoice''s refunded amount and status in step with its refunds.';
CREATE TRIGGER tr_invoice_refunds_settle AFTER INSERT ON accounting.invoice_refunds
    FOR EACH ROW EXECUTE FUNCTION accounting.settle_refund();
"""

MESSAGES = """
CREATE FUNCTION accounting.guard_notification() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- What is tried anew by hand counts from 0 again.
    IF NEW.status <> OLD.status AND NOT (CASE OLD.status
        WHEN 'PENDING' THEN NEW.status IN ('SENT', 'FAILED', 'BOUNCED', 'UNSUBSCRIBED')
        WHEN 'FAILED' THEN NEW.status = 'PENDING' AND least(OLD.retry_count, NEW.retry_count) < 49
        WHEN 'SENT' THEN NEW.status IN ('BOUNCED', 'UNSUBSCRIBED')
        ELSE false END)
    THEN
        PERFORM accounting.refuse('invoice_notifications', 'transition',
            'A message does not go from ' || OLD.status || ' to ' || NEW.status || '.');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.guard_notification() IS 'Keep a message to its transitions.';
CREATE TRIGGER tr_invoice_notifications_guard BEFORE UPDATE ON accounting.invoice_notifications
    FOR EACH ROW EXECUTE FUNCTION accounting.guard_notification();
"""

TRIGGERS = {
    "invoice_notifications": ("guard",),
    "invoice_refunds": ("settle", "refund"),
    "invoice_payments": ("settle", "allocate"),
    "invoices": ("born", "draft", "guard"),
}
FUNCTIONS = (
    "guard_notification()",
    "settle_refund()",
    "refund()",
    "settle_payment()",
    "allocate()",
    "guard_born()",
    "guard_invoice()",
    "require_given(text[], date)",
    "number_of(date, bigint)",
    "may_become(accounting.invoice_status, accounting.invoice_status)",
)


def upgrade() -> None:
    """Create the functions and their triggers."""
    run = lines.current().execute
    for text in (INVOICES, PAYMENTS, MESSAGES):
        run(lines.with_places(text))


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    for table, names in TRIGGERS.items():
        for name in names:
            run(f"DROP TRIGGER tr_{table}_{name} ON accounting.{table}")
    for signature in FUNCTIONS:
        run(f"DROP FUNCTION accounting.{signature}")
