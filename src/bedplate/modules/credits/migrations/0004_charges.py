"""deduct and deduct_many: a charge under its key, in one call."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0004_charges"
down_revision = "0003_ledger"

# Most calls are new charges that the account can pay, so that way comes first, does under the lock
# only what has to be done there, and writes its audit entry itself, under the charge's own id.
DEDUCT = """
CREATE FUNCTION credits.deduct(
    p_id uuid, p_user_id {user_key}, p_operation credits.operation_type, p_key text, p_amount int,
    p_details jsonb, p_default_cost int, p_context jsonb,
    OUT outcome text, OUT usage_id uuid, OUT credits int, OUT balance int, OUT available int,
    OUT at timestamptz, OUT replayed boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_account record;
    v_done record;
    v_said text;
    v_hash bytea;
    v_grant uuid;
BEGIN
    IF p_amount < 1 THEN
        RAISE EXCEPTION 'A charge is of one credit or more.' USING ERRCODE = '23514';
    END IF;
    v_account := credits.lock_account(p_user_id, p_operation, p_context);
    outcome := v_account.problem;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    IF p_amount IS NULL THEN
        credits := credits.cost_of(p_operation, p_default_cost);
    ELSE
        credits := p_amount;
    END IF;
    at := v_account.at;
    available := v_account.remaining - v_account.held;
    IF credits <= available THEN
        INSERT INTO credits.usage_history
            (id, user_id, credit_balance_id, operation_type, credits_used, action, key,
             balance_after, available_after, is_priced, grant_id, details, "timestamp")
        SELECT p_id, p_user_id, v_account.balance_id, p_operation, credits, 'deduct', p_key,
               v_account.remaining - credits, available - credits, p_amount IS NULL,
               (SELECT CASE WHEN o.free >= credits AND credits > 0 THEN o.id END
                FROM credits.open_grants(v_account.balance_id, at) AS o LIMIT 1),
               p_details, at
        WHERE NOT EXISTS (
            SELECT FROM credits.usage_history h
            WHERE h.credit_balance_id = v_account.balance_id AND h.action = 'deduct'
              AND h.key = p_key
        ) AND NOT EXISTS (
            SELECT FROM bedplate.idempotency_keys k
            WHERE k.user_id = p_user_id::text AND k.action = 'credits.deduct' AND k.key = p_key
        )
        RETURNING grant_id INTO v_grant;
        IF FOUND THEN
            outcome := 'DEDUCTED';
            usage_id := p_id;
            balance := v_account.remaining - credits;
            available := available - credits;
            replayed := false;
            v_said := credits.enter();
            -- Nearly always one grant pays it all.
            IF v_grant IS NOT NULL THEN
                UPDATE credits.credit_grants g SET remaining = g.remaining - credits
                WHERE g.id = v_grant;
            ELSE
                PERFORM credits.burn(p_id, v_account.balance_id, credits, at);
            END IF;
            UPDATE credits.credit_balances b
            SET credits_remaining = balance, last_synced_at = at, updated_at = at
            WHERE b.id = v_account.balance_id;
            INSERT INTO credits.audit_logs
                (id, action, entity_type, entity_id, user_id, actor_type, changes, description)
            VALUES (p_id, 'CREDITS_DEDUCTED', 'CreditBalance', v_account.balance_id::text,
                    v_account.actor, v_account.actor_type,
                    credits.change(v_account.remaining, balance),
                    credits || ' credits for ' || p_operation);
            v_said := credits.leave();
            RETURN;
        END IF;
    END IF;
    -- Not charged now: it was before, or was refused before, or cannot be.
    replayed := true;
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
        RETURN;
    END IF;
    at := NULL;
    v_hash := credits.request_hash(p_operation, p_amount, p_details);
    v_done := credits.kept_refusal(p_user_id::text, 'credits.deduct', p_key, v_hash);
    IF v_done.outcome IS NOT NULL THEN
        outcome := v_done.outcome;
        credits := v_done.needed;
        available := v_done.available;
        RETURN;
    END IF;
    replayed := false;
    IF credits IS NULL THEN
        outcome := 'NO_COST';
        RETURN;
    END IF;
    outcome := 'REFUSED';
    PERFORM credits.refuse(p_user_id::text, 'credits.deduct', p_key, v_hash, credits, available);
END $$;
COMMENT ON FUNCTION credits.deduct(
    uuid, {user_key}, credits.operation_type, text, int, jsonb, int, jsonb
) IS 'Charges an account once per key, or refuses for good; the answer of the first call.';
"""

SIGNATURE = "deduct(uuid, {user_key}, credits.operation_type, text, int, jsonb, int, jsonb)"


def upgrade() -> None:
    """Create the verb, for the app's role."""
    lines.current().execute(lines.with_places(DEDUCT))
    lines.executable(lines.with_places(SIGNATURE))


def downgrade() -> None:
    """Drop it."""
    lines.current().execute(lines.with_places(f"DROP FUNCTION credits.{SIGNATURE}"))
