"""deduct and deduct_many: a charge under its key, in one call."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0004_charges"
down_revision = "0003_ledger"

# Plans live as long as the connection. One made while the tables were empty would go on to read
# them whole, here and in the foreign keys' own lookups, which run under the same settings.
DEDUCT = """
CREATE FUNCTION credits.deduct(
    p_id uuid, p_user_id {user_key}, p_operation credits.operation_type, p_key text, p_amount int,
    p_details jsonb, p_default_cost int, p_context jsonb,
    OUT outcome text, OUT usage_id uuid, OUT credits int, OUT balance int, OUT available int,
    OUT at timestamptz, OUT replayed boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_account record;
    v_done record;
    v_kept record;
BEGIN
    IF p_amount < 1 THEN
        RAISE EXCEPTION 'A charge is of one credit or more.' USING ERRCODE = '23514';
    END IF;
    SELECT * INTO v_account FROM credits.lock_account(p_user_id, p_operation, p_context);
    outcome := v_account.problem;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT h.* INTO v_done FROM credits.usage_history h
    WHERE h.credit_balance_id = v_account.balance_id AND h.action = 'deduct' AND h.key = p_key;
    IF FOUND THEN
        outcome := CASE
            WHEN v_done.operation_type = p_operation AND v_done.is_priced = (p_amount IS NULL)
                 AND (p_amount IS NULL OR p_amount = v_done.credits_used)
                 AND v_done.details IS NOT DISTINCT FROM p_details
            THEN 'DEDUCTED' ELSE 'CONFLICT' END;
        usage_id := v_done.id;
        credits := v_done.credits_used;
        balance := v_done.balance_after;
        available := v_done.available_after;
        at := v_done."timestamp";
        replayed := true;
        RETURN;
    END IF;
    SELECT k.request_hash, k.answer INTO v_kept FROM bedplate.idempotency_keys k
    WHERE k.user_id = p_user_id::text AND k.action = 'credits.deduct' AND k.key = p_key;
    IF FOUND THEN
        outcome := CASE
            WHEN v_kept.request_hash = credits.request_hash(p_operation, p_amount, p_details)
            THEN 'REFUSED' ELSE 'CONFLICT' END;
        credits := (v_kept.answer ->> 'needed')::int;
        available := (v_kept.answer ->> 'available')::int;
        replayed := true;
        RETURN;
    END IF;
    replayed := false;
    credits := coalesce(p_amount, credits.cost_of(p_operation, p_default_cost));
    IF credits IS NULL THEN
        outcome := 'NO_COST';
        RETURN;
    END IF;
    available := v_account.remaining - v_account.held;
    IF available < credits THEN
        outcome := 'REFUSED';
        PERFORM credits.refuse(p_user_id::text, 'credits.deduct', p_key,
                               credits.request_hash(p_operation, p_amount, p_details),
                               credits, available);
        RETURN;
    END IF;
    outcome := 'DEDUCTED';
    usage_id := p_id;
    balance := v_account.remaining - credits;
    available := available - credits;
    at := v_account.at;
    PERFORM credits.enter(NULL);
    INSERT INTO credits.usage_history
        (id, user_id, credit_balance_id, operation_type, credits_used, action, key, balance_after,
         available_after, is_priced, details, "timestamp")
    VALUES (p_id, p_user_id, v_account.balance_id, p_operation, credits, 'deduct', p_key, balance,
            available, p_amount IS NULL, p_details, at);
    IF credits > 0 THEN
        PERFORM credits.burn(p_id, v_account.balance_id, credits, at);
    END IF;
    UPDATE credits.credit_balances
    SET credits_remaining = balance, last_synced_at = v_account.at, updated_at = v_account.at
    WHERE id = v_account.balance_id;
    PERFORM credits.record('CREDITS_DEDUCTED', 'CreditBalance', v_account.balance_id,
                           v_account.remaining, balance, credits || ' credits for ' || p_operation);
    PERFORM credits.leave();
END $$;
COMMENT ON FUNCTION credits.deduct(
    uuid, {user_key}, credits.operation_type, text, int, jsonb, int, jsonb
) IS 'Charges an account once per key, or refuses for good; the answer of the first call.';
"""

SIGNATURE = "deduct(uuid, {user_key}, credits.operation_type, text, int, jsonb, int, jsonb)"


def upgrade() -> None:
    """Create the verb, for the app's role."""
    lines.current().execute(lines.with_users(DEDUCT))
    lines.executable(lines.with_users(SIGNATURE))


def downgrade() -> None:
    """Drop it."""
    lines.current().execute(lines.with_users(f"DROP FUNCTION credits.{SIGNATURE}"))
