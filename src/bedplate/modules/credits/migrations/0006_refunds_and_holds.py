"""refund, reserve, capture and release."""

from __future__ import annotations

from bedplate.kernel import lines
from bedplate.kernel.footprint import Footprint

revision = "0006_refunds_and_holds"
down_revision = "0005_deduct_many"

touches = Footprint(behaviour=["credits.usage_history"])

# The verb answers in words; the trigger holds the same law against whoever writes rows by hand.
REFUND_LAW = """
CREATE FUNCTION credits.require_refundable() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    v_charge record;
    v_refunded bigint;
BEGIN
    SELECT h.credit_balance_id, h.credits_used, h.refund_of INTO v_charge
    FROM credits.usage_history h WHERE h.id = NEW.refund_of;
    PERFORM FROM credits.credit_balances b WHERE b.id = v_charge.credit_balance_id
        FOR NO KEY UPDATE;
    SELECT coalesce(sum(-h.credits_used), 0) INTO v_refunded
    FROM credits.usage_history h WHERE h.refund_of = NEW.refund_of;
    IF v_charge.refund_of IS NOT NULL OR v_charge.credit_balance_id <> NEW.credit_balance_id
       OR v_refunded - NEW.credits_used > v_charge.credits_used
    THEN
        RAISE EXCEPTION 'A refund gives back no more than its charge took, to its account.'
            USING ERRCODE = '23514', SCHEMA = 'credits', TABLE = 'usage_history',
                  CONSTRAINT = 'refundable';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tr_usage_history_refundable BEFORE INSERT ON credits.usage_history
    FOR EACH ROW WHEN (NEW.refund_of IS NOT NULL) EXECUTE FUNCTION credits.require_refundable();
"""

REFUND = """
CREATE FUNCTION credits.refund(
    p_id uuid, p_usage_id uuid, p_key text, p_amount int, p_details jsonb, p_context jsonb,
    p_is_authorised boolean DEFAULT false,
    OUT outcome text, OUT usage_id uuid, OUT credits int, OUT balance int, OUT replayed boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_account record;
    v_charge record;
    v_done record;
    v_part record;
    v_rows uuid[];
    v_left int;
BEGIN
    SELECT h.* INTO v_charge FROM credits.usage_history h WHERE h.id = p_usage_id;
    IF NOT FOUND OR v_charge.refund_of IS NOT NULL THEN
        outcome := CASE WHEN v_charge.id IS NULL THEN 'UNKNOWN_USAGE' ELSE 'IS_REFUND' END;
        RETURN;
    END IF;
    SELECT * INTO v_account FROM credits.lock_account(
        v_charge.user_id, CASE WHEN NOT p_is_authorised THEN v_charge.operation_type END,
        p_context);
    outcome := v_account.problem;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT h.* INTO v_done FROM credits.usage_history h
    WHERE h.credit_balance_id = v_account.balance_id AND h.action = 'refund' AND h.key = p_key;
    IF FOUND THEN
        outcome := CASE
            WHEN v_done.refund_of = p_usage_id AND v_done.is_priced = (p_amount IS NULL)
                 AND (p_amount IS NULL OR p_amount = -v_done.credits_used)
                 AND v_done.details IS NOT DISTINCT FROM p_details
            THEN 'REFUNDED' ELSE 'CONFLICT' END;
        usage_id := v_done.id;
        credits := -v_done.credits_used;
        balance := v_done.balance_after;
        replayed := true;
        RETURN;
    END IF;
    SELECT v_charge.credits_used + coalesce(sum(h.credits_used), 0) INTO v_left
    FROM credits.usage_history h WHERE h.refund_of = p_usage_id;
    credits := coalesce(p_amount, v_left);
    IF credits < 1 OR credits > v_left THEN
        outcome := 'TOO_MUCH';
        credits := v_left;
        RETURN;
    END IF;
    IF v_account.remaining::bigint + credits > 2147483647 THEN
        outcome := 'TOO_LARGE';
        RETURN;
    END IF;
    outcome := 'REFUNDED';
    usage_id := p_id;
    balance := v_account.remaining + credits;
    replayed := false;
    PERFORM credits.enter();
    INSERT INTO credits.usage_history
        (id, user_id, credit_balance_id, operation_type, credits_used, action, key, balance_after,
         available_after, is_priced, refund_of, details, "timestamp")
    VALUES (p_id, v_charge.user_id, v_account.balance_id, v_charge.operation_type, -credits,
            'refund', p_key, balance, balance - v_account.held, p_amount IS NULL, p_usage_id,
            p_details, v_account.at);
    UPDATE credits.credit_balances
    SET credits_remaining = balance, last_synced_at = v_account.at, updated_at = v_account.at
    WHERE id = v_account.balance_id;
    PERFORM credits.record('CREDITS_REFUNDED', 'CreditBalance', v_account.balance_id,
                           v_account.remaining, balance, credits || ' credits given back');
    -- Last burned, first given back: what expires soonest stays used.
    v_left := credits;
    v_rows := ARRAY(SELECT r.id FROM credits.usage_history r WHERE r.refund_of = p_usage_id);
    FOR v_part IN
        -- Found first, by its own keys: joined or sorted, all of a grant's might be read.
        WITH part AS MATERIALIZED (
            SELECT a.grant_id, a.amount FROM credits.usage_allocations a
            WHERE a.usage_id = ANY (v_rows || p_usage_id)
            UNION ALL
            SELECT v_charge.grant_id, v_charge.credits_used WHERE v_charge.grant_id IS NOT NULL)
        SELECT g.id, g.expires_at, p.paid
        FROM (SELECT part.grant_id, sum(part.amount)::int AS paid FROM part
              GROUP BY part.grant_id HAVING sum(part.amount) > 0) AS p
        CROSS JOIN LATERAL (
            SELECT * FROM credits.credit_grants g WHERE g.id = p.grant_id OFFSET 0
        ) AS g
        ORDER BY g.priority DESC, g.expires_at DESC NULLS FIRST, g.created_at DESC, g.id DESC
    LOOP
        EXIT WHEN v_left = 0;
        v_part.paid := least(v_part.paid, v_left);
        v_left := v_left - v_part.paid;
        UPDATE credits.credit_grants SET remaining = remaining + v_part.paid WHERE id = v_part.id;
        INSERT INTO credits.usage_allocations (usage_id, grant_id, amount)
        VALUES (p_id, v_part.id, -v_part.paid);
        IF v_part.expires_at <= v_account.at THEN
            PERFORM credits.expire_grant(v_part.id, v_part.paid, v_account.at);
        END IF;
    END LOOP;
    PERFORM credits.plan_expiry(v_account.balance_id);
    PERFORM credits.leave();
END $$;
COMMENT ON FUNCTION credits.require_refundable() IS
    'Refuses a refund of what is no charge, or beyond what is left of it.';
COMMENT ON FUNCTION credits.refund(uuid, uuid, text, int, jsonb, jsonb, boolean) IS
    'Gives a charge back, in whole or in part, to the grants that paid for it.';
"""

RESERVE = """
CREATE FUNCTION credits.reserve(
    p_id uuid, p_user_id {user_key}, p_operation credits.operation_type, p_key text, p_amount int,
    p_details jsonb, p_default_cost int, p_expires_in interval, p_context jsonb,
    OUT outcome text, OUT hold_id uuid, OUT credits int, OUT available int,
    OUT expires_at timestamptz, OUT replayed boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    v_account record;
    v_done record;
    v_hash bytea;
    v_part record;
BEGIN
    IF p_amount < 1 THEN
        RAISE EXCEPTION 'A hold is of one credit or more.' USING ERRCODE = '23514';
    END IF;
    SELECT * INTO v_account FROM credits.lock_account(p_user_id, p_operation, p_context);
    outcome := v_account.problem;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    replayed := true;
    SELECT h.* INTO v_done FROM credits.credit_holds h
    WHERE h.credit_balance_id = v_account.balance_id AND h.key = p_key;
    IF FOUND THEN
        outcome := CASE
            WHEN v_done.operation_type = p_operation AND v_done.is_priced = (p_amount IS NULL)
                 AND (p_amount IS NULL OR p_amount = v_done.amount)
                 AND v_done.details IS NOT DISTINCT FROM p_details
            THEN 'HELD' ELSE 'CONFLICT' END;
        hold_id := v_done.id;
        credits := v_done.amount;
        available := v_done.available_after;
        expires_at := v_done.expires_at;
        RETURN;
    END IF;
    v_hash := credits.request_hash(p_operation, p_amount, p_details);
    v_done := credits.kept_refusal(p_user_id::text, 'credits.reserve', p_key, v_hash);
    IF v_done.outcome IS NOT NULL THEN
        outcome := v_done.outcome;
        credits := v_done.needed;
        available := v_done.available;
        RETURN;
    END IF;
    replayed := false;
    credits := coalesce(p_amount, credits.cost_of(p_operation, p_default_cost));
    IF credits IS NULL OR credits < 0 THEN
        outcome := 'NO_COST';
        RETURN;
    END IF;
    available := v_account.remaining - v_account.held;
    IF available < credits THEN
        outcome := 'REFUSED';
        PERFORM credits.refuse(p_user_id::text, 'credits.reserve', p_key, v_hash,
                               credits, available);
        RETURN;
    END IF;
    outcome := 'HELD';
    hold_id := p_id;
    available := available - credits;
    expires_at := v_account.at + p_expires_in;
    PERFORM credits.enter();
    INSERT INTO credits.credit_holds
        (id, credit_balance_id, operation_type, key, amount, expires_at, is_priced, details,
         available_after, created_at)
    VALUES (p_id, v_account.balance_id, p_operation, p_key, credits, expires_at,
            p_amount IS NULL, p_details, available, v_account.at);
    FOR v_part IN
        SELECT p.grant_id, p.part FROM credits.parts(v_account.balance_id, credits, v_account.at) p
    LOOP
        INSERT INTO credits.hold_allocations (hold_id, grant_id, amount)
        VALUES (p_id, v_part.grant_id, v_part.part);
        UPDATE credits.credit_grants g SET held = g.held + v_part.part
        WHERE g.id = v_part.grant_id;
    END LOOP;
    UPDATE credits.credit_balances
    SET credits_held = credits_held + credits, last_synced_at = v_account.at,
        updated_at = v_account.at
    WHERE id = v_account.balance_id;
    PERFORM credits.record('CREDITS_RESERVED', 'CreditHold', p_id, v_account.remaining,
                           v_account.remaining, credits || ' credits held for ' || p_operation);
    PERFORM credits.plan_expiry(v_account.balance_id);
    PERFORM credits.leave();
END $$;
COMMENT ON FUNCTION credits.reserve(
    uuid, {user_key}, credits.operation_type, text, int, jsonb, int, interval, jsonb
) IS 'Sets credits aside for a charge to come, once per key.';
"""

CAPTURE = """
CREATE FUNCTION credits.capture(
    p_id uuid, p_hold_id uuid, p_amount int, p_context jsonb,
    OUT outcome text, OUT usage_id uuid, OUT user_id {user_key},
    OUT operation credits.operation_type, OUT credits int, OUT balance int, OUT available int,
    OUT at timestamptz, OUT replayed boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_account record;
    v_hold record;
    v_part record;
    v_left int;
    v_taken int;
BEGIN
    SELECT b.user_id, h.operation_type INTO user_id, operation
    FROM credits.credit_holds h JOIN credits.credit_balances b ON b.id = h.credit_balance_id
    WHERE h.id = p_hold_id;
    IF NOT FOUND THEN
        outcome := 'UNKNOWN_HOLD';
        RETURN;
    END IF;
    SELECT * INTO v_account FROM credits.lock_account(user_id, operation, p_context);
    outcome := v_account.problem;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT h.* INTO v_hold FROM credits.credit_holds h WHERE h.id = p_hold_id;
    IF v_hold.state = 'CAPTURED' THEN
        SELECT u.id, u.credits_used, u.balance_after, u.available_after, u."timestamp", true
        INTO usage_id, credits, balance, available, at, replayed
        FROM credits.usage_history u WHERE u.id = v_hold.usage_id;
        outcome := CASE WHEN credits = coalesce(p_amount, v_hold.amount)
            THEN 'DEDUCTED' ELSE 'CONFLICT' END;
        RETURN;
    END IF;
    credits := coalesce(p_amount, v_hold.amount);
    IF v_hold.state <> 'OPEN' OR v_hold.expires_at <= v_account.at THEN
        outcome := 'HOLD_OVER';
        RETURN;
    END IF;
    -- All of a hold of a free operation is nothing.
    IF p_amount < 1 OR credits > v_hold.amount THEN
        outcome := 'TOO_MUCH';
        credits := v_hold.amount;
        RETURN;
    END IF;
    outcome := 'DEDUCTED';
    usage_id := p_id;
    balance := v_account.remaining - credits;
    available := v_account.remaining - v_account.held + v_hold.amount - credits;
    at := v_account.at;
    replayed := false;
    PERFORM credits.enter();
    PERFORM credits.free_hold(p_hold_id);
    INSERT INTO credits.usage_history
        (id, user_id, credit_balance_id, operation_type, credits_used, action, key, balance_after,
         available_after, is_priced, details, "timestamp")
    VALUES (p_id, user_id, v_account.balance_id, operation, credits, 'capture', v_hold.key,
            balance, available, v_hold.is_priced AND p_amount IS NULL, v_hold.details, at);
    UPDATE credits.credit_balances b
    SET credits_remaining = balance, last_synced_at = v_account.at, updated_at = v_account.at
    WHERE b.id = v_account.balance_id;
    UPDATE credits.credit_holds h
    SET state = 'CAPTURED', ended_at = v_account.at, usage_id = p_id WHERE h.id = p_hold_id;
    PERFORM credits.record('CREDITS_CAPTURED', 'CreditBalance', v_account.balance_id,
                           v_account.remaining, balance,
                           credits || ' held credits for ' || operation);
    v_left := credits;
    FOR v_part IN
        SELECT p.grant_id AS id, p.expires_at, p.amount FROM credits.held_parts(p_hold_id) AS p
        ORDER BY p.priority, p.expires_at, p.created_at, p.grant_id
    LOOP
        v_taken := least(v_left, v_part.amount);
        v_left := v_left - v_taken;
        IF v_taken > 0 THEN
            UPDATE credits.credit_grants g SET remaining = g.remaining - v_taken
            WHERE g.id = v_part.id;
            INSERT INTO credits.usage_allocations (usage_id, grant_id, amount)
            VALUES (p_id, v_part.id, v_taken);
        END IF;
        IF v_part.amount > v_taken AND v_part.expires_at <= v_account.at THEN
            PERFORM credits.expire_grant(v_part.id, v_part.amount - v_taken, v_account.at);
        END IF;
    END LOOP;
    PERFORM credits.plan_expiry(v_account.balance_id);
    PERFORM credits.leave();
END $$;
COMMENT ON FUNCTION credits.capture(uuid, uuid, int, jsonb) IS
    'Charges what a hold set aside, in whole or in part; the rest is free again.';
"""

RELEASE = """
CREATE FUNCTION credits.release(
    p_hold_id uuid, p_context jsonb, OUT outcome text, OUT credits int, OUT balance int
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_account record;
    v_hold record;
BEGIN
    SELECT b.user_id, h.operation_type INTO v_hold
    FROM credits.credit_holds h JOIN credits.credit_balances b ON b.id = h.credit_balance_id
    WHERE h.id = p_hold_id;
    IF NOT FOUND THEN
        outcome := 'UNKNOWN_HOLD';
        RETURN;
    END IF;
    SELECT * INTO v_account
    FROM credits.lock_account(v_hold.user_id, v_hold.operation_type, p_context);
    outcome := v_account.problem;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT h.* INTO v_hold FROM credits.credit_holds h WHERE h.id = p_hold_id;
    credits := v_hold.amount;
    IF v_hold.state = 'OPEN' THEN
        PERFORM credits.enter();
        PERFORM credits.end_hold(p_hold_id, 'RELEASED', v_account.at);
        PERFORM credits.plan_expiry(v_account.balance_id);
        PERFORM credits.leave();
    ELSIF v_hold.state = 'CAPTURED' THEN
        outcome := 'HOLD_OVER';
        RETURN;
    END IF;
    -- Released twice, or expired before: it is free either way, since then.
    outcome := 'RELEASED';
    SELECT h.balance_after INTO balance FROM credits.credit_holds h WHERE h.id = p_hold_id;
END $$;
COMMENT ON FUNCTION credits.release(uuid, jsonb) IS 'Frees what a hold set aside.';
"""

SIGNATURES = (
    "refund(uuid, uuid, text, int, jsonb, jsonb, boolean)",
    "reserve(uuid, {user_key}, credits.operation_type, text, int, jsonb, int, interval, jsonb)",
    "capture(uuid, uuid, int, jsonb)",
    "release(uuid, jsonb)",
)


def upgrade() -> None:
    """Create the verbs, for the app's role."""
    for text in (REFUND_LAW, REFUND, RESERVE, CAPTURE, RELEASE):
        lines.current().execute(lines.with_places(text))
    lines.executable(*(lines.with_places(signature) for signature in SIGNATURES))


def downgrade() -> None:
    """Drop them."""
    run = lines.current().execute
    for signature in SIGNATURES:
        run(lines.with_places(f"DROP FUNCTION credits.{signature}"))
    run("DROP TRIGGER tr_usage_history_refundable ON credits.usage_history")
    run("DROP FUNCTION credits.require_refundable()")
