"""Verbs over many rows at once: issuing, the recurring run, the overdue run, a customer's price."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0005_runs"
down_revision = "0004_audit_logs"

ISSUE = """
CREATE FUNCTION accounting.issue_many(p_ids uuid[])
    RETURNS TABLE (invoice_id uuid, invoice_number text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_at timestamptz := bedplate.clock();
    v_day date := accounting.billing_day(v_at);
    v_drafts uuid[];
    v_first bigint;
BEGIN
    -- In one order, so that two batches never wait for each other in a circle.
    PERFORM FROM accounting.invoices i WHERE i.id = ANY (p_ids) ORDER BY i.id FOR NO KEY UPDATE;
    SELECT array_agg(i.id ORDER BY w.place) INTO v_drafts
    FROM (SELECT u.id, min(u.place) AS place
          FROM unnest(p_ids) WITH ORDINALITY AS u (id, place) GROUP BY u.id) w
    JOIN accounting.invoices i ON i.id = w.id
    WHERE i.status = 'DRAFT';
    IF v_drafts IS NULL THEN
        RETURN;
    END IF;
    -- Taken last: the counter is what all who issue wait for.
    v_first := bedplate.next_numbers(
        'accounting.invoices', to_char(v_day, 'YYYYMMDD'), cardinality(v_drafts));
    RETURN QUERY
        UPDATE accounting.invoices i
        SET status = 'ISSUED', issued_date = v_at,
            invoice_number = accounting.number_of(v_day, v_first + d.place - 1)
        FROM unnest(v_drafts) WITH ORDINALITY AS d (id, place)
        WHERE i.id = d.id
        RETURNING i.id, i.invoice_number::text;
END $$;
COMMENT ON FUNCTION accounting.issue_many(uuid[]) IS
    'Issue drafts in the given order, numbers without gaps; what is no draft is left.';
"""

RECURRING = """
-- Neither a definer's nor with settings of its own: PostgreSQL then makes it part of the query.
CREATE FUNCTION accounting.billing_dates(
    p_template accounting.recurring_invoices, p_through date
) RETURNS SETOF date
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT d.day
        -- From the month after the last that was billed, so that a template whose day is moved
        -- never bills a month twice.
        FROM (SELECT greatest((p_template).start_date,
                              (date_trunc('month', (p_template).last_generated_date::timestamp)
                               + interval '1 month')::date) AS first,
                     least(p_through, (p_template).end_date) AS last) AS w
        CROSS JOIN LATERAL generate_series(date_trunc('month', w.first::timestamp),
                                           w.last::timestamp, interval '1 month') AS m (month)
        CROSS JOIN LATERAL (SELECT CASE
            WHEN (p_template).last_day_of_month THEN (m.month + interval '1 month - 1 day')::date
            ELSE m.month::date + (p_template).day_of_month - 1 END AS day) AS d
        WHERE d.day BETWEEN w.first AND w.last
          AND NOT EXISTS (
              SELECT FROM accounting.template_pauses p
              WHERE p.recurring_invoice_id = (p_template).id AND NOT p.billed
                AND d.day >= p.paused_on AND d.day < coalesce(p.resumed_on, 'infinity'))
        ORDER BY d.day;
    END;
COMMENT ON FUNCTION accounting.billing_dates(accounting.recurring_invoices, date) IS
    'The days through one that a template has yet to bill, in order.';

-- Its body is a text: as a query kept ready, it would hold on to columns of a host's miners.
CREATE FUNCTION accounting.foreseen(p_templates accounting.recurring_invoices[], p_through date)
    RETURNS TABLE (
        template_id uuid, user_id {users_key}, due_days int, created_by {users_key}, day date,
        price numeric, miners int, billed_by uuid, outcome text)
    LANGUAGE sql STABLE AS $$
    WITH due AS MATERIALIZED (
        SELECT r.id AS template_id, r.user_id, r.due_days, r.created_by, d.day,
               coalesce(r.unit_price, (
                   SELECT p.default_unit_price FROM accounting.customer_pricing_config p
                   WHERE p.user_id = r.user_id AND p.effective_from <= d.day
                     AND (p.effective_to IS NULL OR p.effective_to > d.day))) AS price,
               (SELECT count(*) FROM {miners_table} m
                WHERE m.{miners.user_id} = r.user_id {in_service})::int AS miners,
               (SELECT i.id FROM accounting.invoices i
                WHERE i.recurring_invoice_id = r.id
                  AND date_trunc('month', i.billing_date::timestamp)
                      = date_trunc('month', d.day::timestamp)) AS billed_by
        FROM unnest(p_templates) AS r
        CROSS JOIN LATERAL accounting.billing_dates(r, p_through) AS d (day)
    )
    -- A day that cannot be billed stops its template there, and no other: it is billed in
    -- order later on. Whoever is too far behind began on a wrong day sooner than on that one.
    SELECT d.*, CASE
        WHEN count(*) OVER whole > coalesce(
            (SELECT s.catch_up_months FROM accounting.billing_settings s), 24) THEN 'TOO_MANY'
        WHEN bool_or(d.price IS NULL) OVER earlier THEN 'NO_PRICE'
        WHEN bool_or(d.price * d.miners > 9999999999.99) OVER earlier THEN 'TOO_MUCH'
        WHEN d.miners = 0 THEN 'NO_MINERS' ELSE 'MADE' END
    FROM due d
    WINDOW whole AS (PARTITION BY d.template_id), earlier AS (whole ORDER BY d.day);
$$;
COMMENT ON FUNCTION accounting.foreseen(accounting.recurring_invoices[], date) IS
    'The days through one that templates have yet to bill, and what a run would do with each.';

CREATE FUNCTION accounting.run_recurring(
    p_through date, p_limit int, p_issue boolean, p_after uuid DEFAULT NULL
)
    RETURNS TABLE (recurring_invoice_id uuid, billing_date date, outcome text, invoice_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_at timestamptz := bedplate.clock();
    v_today date := accounting.billing_day(v_at);
    v_templates accounting.recurring_invoices[];
    v_rows accounting.billed[];
    v_missed bigint;
BEGIN
    IF p_through > v_today THEN
        PERFORM accounting.refuse('recurring_invoices', 'future',
            'No day is billed before it comes.');
    END IF;
    -- Locked by a statement of its own: the next one then sees every invoice of theirs.
    SELECT array_agg(t.r ORDER BY (t.r).id) INTO v_templates FROM (
        SELECT r FROM accounting.recurring_invoices r
        WHERE r.is_active AND r.deleted_at IS NULL AND r.start_date <= p_through
          AND (p_after IS NULL OR r.id > p_after)
          -- Those that are billed already, which are nearly all, are told at once.
          AND (r.last_generated_date IS NULL
               OR r.last_generated_date < date_trunc('month', p_through::timestamp))
          AND EXISTS (SELECT FROM accounting.billing_dates(r, p_through))
        ORDER BY r.id LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED) AS t;
    WITH told AS MATERIALIZED (
        SELECT * FROM accounting.foreseen(v_templates, p_through)
    ), fresh AS (
        SELECT t.*, row_number() OVER (ORDER BY t.day, t.template_id) - 1 AS place
        FROM told t WHERE t.outcome = 'MADE' AND t.billed_by IS NULL
    ), taken AS (
        -- As late as can be, for the counter is what all who issue wait for; the foreign keys are
        -- asked after it.
        SELECT bedplate.next_numbers(
            'accounting.invoices', to_char(v_today, 'YYYYMMDD'), count(*)) AS first
        FROM fresh HAVING p_issue AND count(*) > 0
    ), made AS (
        -- Issued as they begin: drafts that are updated at once would cost the same again.
        INSERT INTO accounting.invoices (
            id, user_id, total_miners, unit_price, due_date, created_by,
            recurring_invoice_id, billing_date, status, issued_date, invoice_number)
        SELECT bedplate.uuid7(), f.user_id, f.miners, f.price, v_today + f.due_days, f.created_by,
               f.template_id, f.day,
               (CASE WHEN p_issue THEN 'ISSUED' ELSE 'DRAFT' END)::accounting.invoice_status,
               CASE WHEN p_issue THEN v_at END,
               coalesce(accounting.number_of(v_today, n.first + f.place), '')
        FROM fresh f LEFT JOIN taken n ON true
        ORDER BY f.place
        ON CONFLICT DO NOTHING
        RETURNING invoices.id, invoices.recurring_invoice_id, invoices.billing_date
    ), moved AS (
        UPDATE accounting.recurring_invoices r SET last_generated_date = l.day
        FROM (SELECT t.template_id, max(t.day) AS day FROM told t
              WHERE t.outcome IN ('MADE', 'NO_MINERS') GROUP BY t.template_id) l
        WHERE r.id = l.template_id
    ), passed AS (
        -- No invoice tells of these days, so that the log has to.
        INSERT INTO accounting.audit_logs (action, entity_type, entity_id, changes, description)
        SELECT 'RECURRING_INVOICE_UPDATED', 'RecurringInvoice', t.template_id::text,
               jsonb_build_object('after', jsonb_build_object('last_generated_date', t.day)),
               'No miners to bill on ' || t.day
        FROM told t WHERE t.outcome = 'NO_MINERS'
        ORDER BY t.day, t.template_id
    )
    SELECT array_agg(ROW(t.template_id, t.day, t.outcome, m.id)::accounting.billed
                     ORDER BY t.day, t.template_id),
           count(*) FILTER (WHERE t.outcome = 'MADE' AND t.billed_by IS NULL AND m.id IS NULL)
    INTO v_rows, v_missed
    FROM told t
    LEFT JOIN made m ON m.recurring_invoice_id = t.template_id AND m.billing_date = t.day;
    IF p_issue AND v_missed > 0 THEN
        -- Not in the face of guard_invoice's lock. A number that nobody has would be a gap.
        RAISE EXCEPTION 'A month was billed by another at the same moment, or a number is taken.'
            USING ERRCODE = '40001',
                  HINT = 'Where it comes again, the day''s counter stands behind: bedplate check.';
    END IF;
    RETURN QUERY SELECT * FROM unnest(v_rows);
END $$;
COMMENT ON FUNCTION accounting.run_recurring(date, int, boolean, uuid) IS
    'Bill every day that is due of at most so many templates; what others work on is left to them.';
"""

WAITING = """
CREATE FUNCTION accounting.waiting()
    RETURNS TABLE (recurring_invoice_id uuid, user_id {users_key}, since date, days int, why text)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT f.template_id, f.user_id, min(f.day), count(*)::int,
           (array_agg(f.outcome ORDER BY f.day))[1]
    FROM accounting.foreseen(
        (SELECT array_agg(r) FROM accounting.recurring_invoices r
         WHERE r.is_active AND r.deleted_at IS NULL),
        accounting.billing_day(bedplate.clock())) f
    WHERE f.outcome IN ('NO_PRICE', 'TOO_MUCH', 'TOO_MANY')
    GROUP BY f.template_id, f.user_id ORDER BY 3, 1
$$;
COMMENT ON FUNCTION accounting.waiting() IS
    'Templates that no run bills as they are: since which day, for how many days, and why.';

CREATE FUNCTION accounting.pass_over(p_template uuid, p_through date, p_by {users_key})
    RETURNS SETOF date
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_template accounting.recurring_invoices;
    v_days date[];
BEGIN
    IF p_through > accounting.billing_day(bedplate.clock()) THEN
        PERFORM accounting.refuse('recurring_invoices', 'future',
            'No day is passed over before it comes.');
    END IF;
    SELECT * INTO v_template FROM accounting.recurring_invoices r WHERE r.id = p_template
    FOR NO KEY UPDATE;
    v_days := ARRAY(
        SELECT f.day FROM accounting.foreseen(ARRAY[v_template], p_through) f
        WHERE f.billed_by IS NULL ORDER BY f.day);
    UPDATE accounting.recurring_invoices r
    SET last_generated_date = v_days[cardinality(v_days)], updated_by = p_by
    WHERE r.id = p_template AND cardinality(v_days) > 0;
    INSERT INTO accounting.audit_logs (action, entity_type, entity_id, changes, description)
    SELECT 'RECURRING_INVOICE_UPDATED', 'RecurringInvoice', p_template::text,
           jsonb_build_object('after', jsonb_build_object('last_generated_date', d.day)),
           d.day || ' passed over'
    FROM unnest(v_days) AS d (day);
    RETURN QUERY SELECT unnest(v_days);
END $$;
COMMENT ON FUNCTION accounting.pass_over(uuid, date, {users_key}) IS
    'Leave the days through one unbilled that a template has yet to bill; the log says so of each.';
"""

RESUME = """
CREATE FUNCTION accounting.resume(p_template uuid, p_by {users_key}, p_back_bill boolean)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The template first, as every writer of it: its trigger then ends the pause.
    PERFORM FROM accounting.recurring_invoices r WHERE r.id = p_template FOR NO KEY UPDATE;
    UPDATE accounting.template_pauses p SET billed = p_back_bill
    WHERE p.recurring_invoice_id = p_template AND p.resumed_on IS NULL;
    UPDATE accounting.recurring_invoices r SET is_active = true, updated_by = p_by
    WHERE r.id = p_template;
END $$;
COMMENT ON FUNCTION accounting.resume(uuid, {users_key}, boolean) IS
    'End the pause of a template; its days are billed after all, or never.';
"""

OVERDUE = """
CREATE FUNCTION accounting.run_overdue(p_limit int) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        UPDATE accounting.invoices i SET status = 'OVERDUE'
        WHERE i.id IN (
            SELECT o.id FROM accounting.invoices o
            WHERE o.status = 'ISSUED' AND o.due_date < accounting.billing_day(bedplate.clock())
            ORDER BY o.due_date, o.id LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING i.id;
END $$;
COMMENT ON FUNCTION accounting.run_overdue(int) IS
    'Mark at most so many issued invoices overdue whose due date is past.';
"""

PRICE = """
CREATE FUNCTION accounting.set_price(
    p_id uuid, p_user_id {users_key}, p_price numeric, p_from date, p_by {users_key}
) RETURNS SETOF accounting.customer_pricing_config
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_to date;
BEGIN
    INSERT INTO accounting.billed_customers AS c (user_id, price_changes) VALUES (p_user_id, 1)
    ON CONFLICT (user_id) DO UPDATE SET price_changes = c.price_changes + 1;
    UPDATE accounting.customer_pricing_config p SET effective_to = p_from, updated_by = p_by
    WHERE p.user_id = p_user_id AND p.effective_from < p_from
      AND (p.effective_to IS NULL OR p.effective_to > p_from);
    SELECT min(p.effective_from) INTO v_to FROM accounting.customer_pricing_config p
    WHERE p.user_id = p_user_id AND p.effective_from > p_from;
    RETURN QUERY
        INSERT INTO accounting.customer_pricing_config AS n
            (id, user_id, default_unit_price, effective_from, effective_to, created_by)
        VALUES (p_id, p_user_id, p_price, p_from, v_to, p_by)
        RETURNING n.*;
END $$;
COMMENT ON FUNCTION accounting.set_price(uuid, {users_key}, numeric, date, {users_key}) IS
    'Give a customer a price from a day on; the price before it ends there.';
"""

PAY = """
CREATE FUNCTION accounting.pay(
    p_id uuid, p_invoice_id uuid, p_cost_payment_id {cost_payments_key}, p_amount numeric,
    p_paid_date timestamptz
) RETURNS TABLE (
    payment_id uuid, amount numeric, status accounting.invoice_status, balance numeric
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_amount numeric(12, 2) := p_amount;
BEGIN
    IF p_amount IS NULL THEN
        -- What fits is known only once both stand still: the invoice first, as every payment does.
        SELECT i.total_amount - i.paid_amount INTO v_amount
        FROM accounting.invoices i WHERE i.id = p_invoice_id FOR NO KEY UPDATE;
        INSERT INTO accounting.allocated_payments AS a (cost_payment_id, amount_allocated)
        VALUES (p_cost_payment_id, 0)
        ON CONFLICT (cost_payment_id) DO UPDATE SET amount_allocated = a.amount_allocated;
        SELECT least(v_amount, c.{cost_payments.amount} - a.amount_allocated) INTO v_amount
        FROM accounting.allocated_payments a
        JOIN {cost_payments_table} c ON c.{cost_payments_id} = a.cost_payment_id
        WHERE a.cost_payment_id = p_cost_payment_id;
        IF v_amount <= 0 THEN
            RETURN;
        END IF;
    END IF;
    INSERT INTO accounting.invoice_payments
        (id, invoice_id, cost_payment_id, amount_paid, paid_date)
    VALUES (p_id, p_invoice_id, p_cost_payment_id, v_amount, coalesce(p_paid_date, bedplate.now()));
    RETURN QUERY
        SELECT p_id, v_amount, i.status, i.total_amount - i.paid_amount
        FROM accounting.invoices i WHERE i.id = p_invoice_id;
END $$;
COMMENT ON FUNCTION accounting.pay(uuid, uuid, {cost_payments_key}, numeric, timestamptz) IS
    'Allocate a payment to an invoice; without an amount, as much of it as fits.';

CREATE FUNCTION accounting.give_back(
    p_id uuid, p_invoice_id uuid, p_key text, p_amount numeric, p_reason text,
    OUT outcome text, OUT refund_id uuid, OUT amount numeric
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_left numeric;
    v_amount numeric(12, 2) := p_amount;
BEGIN
    SELECT i.paid_amount - i.refunded_amount INTO v_left
    FROM accounting.invoices i WHERE i.id = p_invoice_id FOR NO KEY UPDATE;
    IF v_left IS NULL THEN
        outcome := 'UNKNOWN';
        RETURN;
    END IF;
    SELECT r.id, r.amount INTO refund_id, amount FROM accounting.invoice_refunds r
    WHERE r.invoice_id = p_invoice_id AND r.key = p_key;
    IF refund_id IS NOT NULL THEN
        outcome := CASE WHEN v_amount IS NULL OR v_amount = amount THEN 'REPLAYED'
                        ELSE 'CONFLICT' END;
        RETURN;
    END IF;
    INSERT INTO accounting.invoice_refunds AS r (id, invoice_id, key, amount, reason)
    VALUES (p_id, p_invoice_id, p_key, coalesce(v_amount, v_left), p_reason)
    RETURNING r.id, r.amount INTO refund_id, amount;
    outcome := 'REFUNDED';
END $$;
COMMENT ON FUNCTION accounting.give_back(uuid, uuid, text, numeric, text) IS
    'Give back money of a paid invoice, once per key; without an amount, all that is left.';
"""

IN_SERVICE = "AND m.{miners.status} = 'ACTIVE'"
SIGNATURES = (
    "give_back(uuid, uuid, text, numeric, text)",
    "pay(uuid, uuid, {cost_payments_key}, numeric, timestamptz)",
    "set_price(uuid, {users_key}, numeric, date, {users_key})",
    "run_overdue(int)",
    "resume(uuid, {users_key}, boolean)",
    "pass_over(uuid, date, {users_key})",
    "waiting()",
    "run_recurring(date, int, boolean, uuid)",
    "foreseen(accounting.recurring_invoices[], date)",
    "billing_dates(accounting.recurring_invoices, date)",
    "issue_many(uuid[])",
)


def upgrade() -> None:
    """Create the functions, for the app's role."""
    run = lines.current().execute
    binding = lines.current().bindings.get("miners")
    # A host's miners may not say whether they run: then all of a customer's are billed.
    counted = IN_SERVICE if binding is None or binding.column("status") else ""
    run(
        "CREATE TYPE accounting.billed AS"
        " (recurring_invoice_id uuid, billing_date date, outcome text, invoice_id uuid);"
        "COMMENT ON TYPE accounting.billed IS 'What the recurring run did with one day.'"
    )
    recurring = RECURRING.replace("{in_service}", counted)
    for text in (ISSUE, recurring, WAITING, RESUME, OVERDUE, PRICE, PAY):
        run(lines.with_places(text))
    lines.executable(*(lines.with_places(signature) for signature in SIGNATURES))


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    for signature in SIGNATURES:
        run(lines.with_places(f"DROP FUNCTION accounting.{signature}"))
    run("DROP TYPE accounting.billed")
