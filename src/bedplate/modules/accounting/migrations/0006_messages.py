"""What customers are to be told: each message once, whoever asks and however often."""

from __future__ import annotations

from bedplate.kernel import lines
from bedplate.kernel.footprint import Footprint

revision = "0006_messages"
down_revision = "0005_runs"

touches = Footprint(behaviour=["accounting.billing_settings"])

MESSAGE = """
CREATE TYPE accounting.message AS (
    invoice_id uuid, notification_type accounting.notification_type, stage int
);
COMMENT ON TYPE accounting.message IS 'One message about an invoice.';
"""

WRITTEN = """TABLE (
    notification_id uuid, invoice_id uuid, notification_type accounting.notification_type,
    stage int, sent_to text, is_ready boolean, user_id {users_key}, customer text,
    invoice_number text, due_on date, total numeric, balance numeric, seller text, currency text
)"""

WRITE = """
CREATE FUNCTION accounting.letters_of(p_ids uuid[])
    RETURNS {written}
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT n.id, n.invoice_id, n.notification_type, n.stage, n.sent_to::text,
           n.mail_id IS NOT NULL, i.user_id,
           (SELECT ({users.name?})::text FROM {users_table} u WHERE u.{users_id} = i.user_id),
           i.invoice_number::text, i.due_date, i.total_amount, i.total_amount - i.paid_amount,
           coalesce(d.content ->> 'seller', ''), coalesce(d.content ->> 'currency', '')
    FROM accounting.invoice_notifications n
    JOIN accounting.invoices i ON i.id = n.invoice_id
    JOIN accounting.invoice_documents d ON d.invoice_id = i.id
    WHERE n.id = ANY (p_ids) ORDER BY n.id;
END $$;
COMMENT ON FUNCTION accounting.letters_of(uuid[]) IS 'Return what messages are about.';

CREATE FUNCTION accounting.write_messages(p_messages accounting.message[])
    RETURNS {written}
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_made uuid[];
BEGIN
    WITH letter AS (
        SELECT bedplate.uuid7() AS id, m.invoice_id, m.notification_type, m.stage, i.due_date,
               m.notification_type <> 'INVOICE_ISSUED' OR d.pdf IS NOT NULL AS is_ready,
               (SELECT ({users.email?})::text FROM {users_table} u
                WHERE u.{users_id} = i.user_id) AS email
        FROM unnest(p_messages) AS m
        JOIN accounting.invoices i ON i.id = m.invoice_id
        JOIN accounting.invoice_documents d ON d.invoice_id = i.id
    ), made AS (
        -- Whoever comes second waits here for the first to commit, and then writes nothing.
        INSERT INTO accounting.invoice_notifications AS n
            (id, invoice_id, notification_type, stage, due_date, sent_to, mail_id)
        SELECT l.id, l.invoice_id, l.notification_type, l.stage,
               CASE WHEN l.notification_type IN ('PAYMENT_REMINDER', 'OVERDUE_REMINDER')
                    THEN l.due_date END,
               l.email, CASE WHEN l.is_ready THEN l.id END
        FROM letter l WHERE l.email <> '' ORDER BY l.invoice_id
        ON CONFLICT DO NOTHING
        RETURNING n.id
    )
    SELECT array_agg(m.id) INTO v_made FROM made m;
    -- An invoice waits for its page. It was asked for at the issue; but whoever made it meanwhile
    -- did not see that somebody waits.
    INSERT INTO bedplate.jobs (id, kind, payload)
    SELECT bedplate.uuid7(), 'accounting.render', jsonb_agg(n.invoice_id ORDER BY n.id)
    FROM accounting.invoice_notifications n
    WHERE n.id = ANY (v_made) AND n.mail_id IS NULL HAVING count(*) > 0;
    RETURN QUERY SELECT * FROM accounting.letters_of(v_made);
END $$;
COMMENT ON FUNCTION accounting.write_messages(accounting.message[]) IS
    'Note messages to customers, each once; return those that are new, with what they are about.';

CREATE FUNCTION accounting.write_waiting(p_invoices uuid[], p_limit int)
    RETURNS {written}
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_made uuid[];
BEGIN
    -- Two who made pages of the same invoices come one after the other, and who cancels one of them
    -- before or after.
    PERFORM FROM accounting.invoices i WHERE i.id = ANY (p_invoices) AND EXISTS (
        SELECT FROM accounting.invoice_notifications n
        WHERE n.invoice_id = i.id AND n.status = 'PENDING' AND n.mail_id IS NULL)
    ORDER BY i.id FOR NO KEY UPDATE;
    WITH waiting AS (
        SELECT n.id FROM accounting.invoice_notifications n
        JOIN accounting.invoices i ON i.id = n.invoice_id
        WHERE n.invoice_id = ANY (p_invoices) AND n.notification_type = 'INVOICE_ISSUED'
          AND n.status = 'PENDING' AND n.mail_id IS NULL
          AND i.status IN ('ISSUED', 'OVERDUE', 'PAID')
        ORDER BY n.id LIMIT p_limit
    ), made AS (
        UPDATE accounting.invoice_notifications n SET mail_id = n.id
        FROM waiting w WHERE n.id = w.id RETURNING n.id
    )
    SELECT array_agg(m.id) INTO v_made FROM made m;
    RETURN QUERY SELECT * FROM accounting.letters_of(v_made);
END $$;
COMMENT ON FUNCTION accounting.write_waiting(uuid[], int) IS
    'Take up to so many messages that waited for pages; return what they are about.';

CREATE FUNCTION accounting.write_message(
    p_invoice_id uuid, p_type accounting.notification_type, p_again boolean
)
    RETURNS {written}
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_stage int := 0;
    v_stands boolean;
BEGIN
    SELECT CASE p_type WHEN 'PAYMENT_RECEIVED' THEN i.status = 'PAID'
        ELSE i.status IN ('ISSUED', 'OVERDUE', 'PAID') END INTO v_stands
    FROM accounting.invoices i WHERE i.id = p_invoice_id FOR NO KEY UPDATE;
    IF NOT v_stands THEN
        PERFORM accounting.refuse('invoice_notifications', 'message',
            'An invoice is sent while it stands, and its receipt while it is paid.');
    END IF;
    IF p_again THEN
        SELECT coalesce(max(n.stage) + 1, 0) INTO v_stage FROM accounting.invoice_notifications n
        WHERE n.invoice_id = p_invoice_id AND n.notification_type = p_type;
    END IF;
    RETURN QUERY SELECT * FROM accounting.write_messages(
        ARRAY[ROW(p_invoice_id, p_type, v_stage)::accounting.message]);
END $$;
COMMENT ON FUNCTION accounting.write_message(uuid, accounting.notification_type, boolean) IS
    'Note one message about an issued invoice; again: one more of its type.';
"""

REMIND = """
CREATE FUNCTION accounting.write_reminders(p_limit int)
    RETURNS {written}
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_today date := accounting.billing_day(bedplate.clock());
    v_days int[];
    v_first int;
    v_due accounting.message[];
BEGIN
    SELECT array_agg(d.day::numeric::int), min(d.day::numeric::int) INTO v_days, v_first
    FROM jsonb_array_elements_text(coalesce(
        (SELECT s.reminder_days FROM accounting.billing_settings s), '[-3, 1, 7, 14]')) AS d (day);
    -- The latest stage that was reached since the invoice was issued stands for those before it.
    -- Locked, so that a payment that closes an invoice comes either before its reminder or after.
    SELECT array_agg(ROW(r.id, r.type, r.stage)::accounting.message) INTO v_due FROM (
        SELECT i.id, t.type, s.stage
        FROM accounting.invoices i
        CROSS JOIN LATERAL (
            SELECT max(d.day) AS stage FROM unnest(v_days) AS d (day)
            WHERE i.due_date + d.day <= v_today
              AND i.due_date + d.day > accounting.billing_day(i.issued_date)) AS s
        CROSS JOIN LATERAL (SELECT (CASE WHEN s.stage > 0 THEN 'OVERDUE_REMINDER'
            ELSE 'PAYMENT_REMINDER' END)::accounting.notification_type AS type) AS t
        WHERE i.status IN ('ISSUED', 'OVERDUE')
          AND i.due_date <= v_today - v_first
          AND (s.stage > 0 OR s.stage <= 0 AND i.due_date >= v_today)
          AND NOT EXISTS (
              SELECT FROM accounting.invoice_notifications n
              WHERE n.invoice_id = i.id AND n.notification_type = t.type
                AND n.due_date = i.due_date AND n.stage = s.stage)
          AND (SELECT {users.email?} FROM {users_table} u WHERE u.{users_id} = i.user_id) <> ''
        ORDER BY i.due_date, i.id LIMIT p_limit FOR NO KEY UPDATE OF i SKIP LOCKED) AS r;
    RETURN QUERY SELECT * FROM accounting.write_messages(v_due);
END $$;
COMMENT ON FUNCTION accounting.write_reminders(int) IS
    'Note the reminders that are due, of at most so many invoices.';
"""

FROM = """
CREATE FUNCTION accounting.keep_from() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- There is no OLD of a row that is new: its columns are NULL.
    NEW.mail_invoices_from := CASE
        WHEN NOT NEW.mail_invoices THEN NULL
        WHEN OLD.mail_invoices THEN greatest(OLD.mail_invoices_from, NEW.mail_invoices_from)
        ELSE bedplate.clock() END;
    NEW.mail_receipts_from := CASE
        WHEN NOT NEW.mail_receipts THEN NULL
        WHEN OLD.mail_receipts THEN greatest(OLD.mail_receipts_from, NEW.mail_receipts_from)
        ELSE bedplate.clock() END;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.keep_from() IS
    'Note when mail of a kind is switched on; what is older is never mailed by itself.';
CREATE TRIGGER tr_billing_settings_from BEFORE INSERT OR UPDATE ON accounting.billing_settings
    FOR EACH ROW EXECUTE FUNCTION accounting.keep_from();
"""

NOTICES = """
CREATE FUNCTION accounting.write_notices(p_limit int)
    RETURNS {written}
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_looked timestamptz := bedplate.clock() - interval '2 days';
    v_from record;
    v_due accounting.message[];
    v_paid accounting.message[];
BEGIN
    SELECT s.mail_invoices_from AS invoices, s.mail_receipts_from AS receipts INTO v_from
    FROM accounting.billing_settings s;
    -- Locked, so that who cancels an invoice, or takes a payment back, comes before or after.
    SELECT array_agg(ROW(w.id, 'INVOICE_ISSUED', 0)::accounting.message) INTO v_due FROM (
        SELECT i.id FROM accounting.invoices i
        WHERE i.issued_date >= v_from.invoices AND i.status IN ('ISSUED', 'OVERDUE', 'PAID')
          AND NOT EXISTS (
              SELECT FROM accounting.invoice_notifications n
              WHERE n.invoice_id = i.id AND n.notification_type = 'INVOICE_ISSUED')
          AND (SELECT {users.email?} FROM {users_table} u WHERE u.{users_id} = i.user_id) <> ''
        ORDER BY i.issued_date, i.id LIMIT p_limit FOR NO KEY UPDATE OF i SKIP LOCKED) AS w;
    SELECT array_agg(ROW(w.id, 'PAYMENT_RECEIVED', 0)::accounting.message) INTO v_paid FROM (
        SELECT i.id FROM accounting.invoices i
        WHERE i.status = 'PAID' AND i.id IN (
              SELECT p.invoice_id FROM accounting.invoice_payments p
              WHERE p.created_at >= v_from.receipts)
          AND NOT EXISTS (
              SELECT FROM accounting.invoice_notifications n
              WHERE n.invoice_id = i.id AND n.notification_type = 'PAYMENT_RECEIVED')
          AND (SELECT {users.email?} FROM {users_table} u WHERE u.{users_id} = i.user_id) <> ''
        ORDER BY i.paid_date, i.id LIMIT p_limit - coalesce(cardinality(v_due), 0)
        FOR NO KEY UPDATE OF i SKIP LOCKED) AS w;
    v_due := v_due || v_paid;
    -- Where nothing is left, what is older needs no second look: it was told, or has nobody to be
    -- told to. Two days, for who is locked just now, and for who is about to give an address.
    IF coalesce(cardinality(v_due), 0) < p_limit THEN
        UPDATE accounting.billing_settings s
        SET mail_invoices_from = greatest(s.mail_invoices_from, v_looked),
            mail_receipts_from = greatest(s.mail_receipts_from, v_looked)
        WHERE least(s.mail_invoices_from, s.mail_receipts_from) < v_looked - interval '1 hour';
    END IF;
    RETURN QUERY SELECT * FROM accounting.write_messages(v_due);
END $$;
COMMENT ON FUNCTION accounting.write_notices(int) IS
    'Note what the settings want told of new invoices and closing payments, at most so many.';
"""

SIGNATURES = (
    "write_notices(int)",
    "write_reminders(int)",
    "write_message(uuid, accounting.notification_type, boolean)",
    "write_waiting(uuid[], int)",
    "write_messages(accounting.message[])",
    "letters_of(uuid[])",
)


def upgrade() -> None:
    """Create the functions, for the app's role."""
    run = lines.current().execute
    run(MESSAGE)
    for text in (WRITE, REMIND, FROM, NOTICES):
        run(lines.with_places(text.replace("{written}", WRITTEN)))
    lines.executable(*SIGNATURES)


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    for signature in SIGNATURES:
        run(f"DROP FUNCTION accounting.{signature}")
    run("DROP TRIGGER tr_billing_settings_from ON accounting.billing_settings")
    run("DROP FUNCTION accounting.keep_from()")
    run("DROP TYPE accounting.message")
