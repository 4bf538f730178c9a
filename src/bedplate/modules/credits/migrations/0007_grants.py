"""Opening accounts, granting, booking what expired, setting prices; the ledger as one view."""

from __future__ import annotations

from bedplate.kernel import lines
from bedplate.kernel.footprint import Footprint

revision = "0007_grants"
down_revision = "0006_refunds_and_holds"

touches = Footprint(behaviour=["credits.credit_balances"])

# An account is opened by inserting its row, whoever does it: what it starts with is a grant too.
OPENING = """
CREATE FUNCTION credits.grant_opening() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credits.credit_grants
        (id, credit_balance_id, key, source, amount, remaining, balance_after, created_at)
    VALUES (bedplate.uuid7(), NEW.id, 'bedplate:opening', 'opening', NEW.credits_remaining,
            NEW.credits_remaining, NEW.credits_remaining, bedplate.clock());
    RETURN NULL;
END $$;
CREATE TRIGGER tr_credit_balances_opening AFTER INSERT ON credits.credit_balances
    FOR EACH ROW WHEN (NEW.credits_remaining > 0) EXECUTE FUNCTION credits.grant_opening();

CREATE FUNCTION credits.open_account(
    p_id uuid, p_user_id {user_key}, p_credits int, p_context jsonb,
    OUT outcome text, OUT balance_id uuid, OUT balance int, OUT available int, OUT created boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    PERFORM credits.act(p_context);
    PERFORM credits.require_actor();
    PERFORM credits.enter();
    INSERT INTO credits.credit_balances (id, user_id, clerk_user_id, credits_remaining)
    SELECT p_id, u.{users_id}, {clerk_id}, p_credits FROM {users_table} u
    WHERE u.{users_id} = p_user_id {unchanging}
    ON CONFLICT (user_id) DO NOTHING;
    created := FOUND;
    SELECT b.id, b.credits_remaining, b.credits_remaining - b.credits_held
    INTO balance_id, balance, available
    FROM credits.credit_balances b WHERE b.user_id = p_user_id;
    outcome := CASE WHEN FOUND THEN 'OPENED' ELSE 'UNKNOWN_USER' END;
    IF created THEN
        PERFORM credits.record('ACCOUNT_OPENED', 'CreditBalance', balance_id, 0, balance,
                               'account opened with ' || balance || ' credits');
    END IF;
    PERFORM credits.leave();
END $$;
COMMENT ON FUNCTION credits.grant_opening() IS
    'Makes the grant that an account''s opening balance is.';
COMMENT ON FUNCTION credits.open_account(uuid, {user_key}, int, jsonb) IS
    'Gives a user an account; the one it has, where it has one.';
"""

GRANT = """
CREATE FUNCTION credits.grant_credits(
    p_id uuid, p_user_id {user_key}, p_amount int, p_key text, p_terms jsonb,
    p_expires_at timestamptz, p_context jsonb, p_is_authorised boolean DEFAULT false,
    OUT outcome text, OUT grant_id uuid, OUT balance int, OUT replayed boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_account record;
    v_done record;
    v_source CONSTANT text := p_terms ->> 'source';
    v_priority CONSTANT int := (p_terms ->> 'priority')::int;
    v_details CONSTANT jsonb := nullif(p_terms -> 'details', 'null');
BEGIN
    -- Not even to the own account: credits would come from nowhere.
    IF NOT p_is_authorised AND credits.act(p_context) IS NOT NULL THEN
        outcome := 'NOT_AUTHORISED';
        RETURN;
    END IF;
    SELECT * INTO v_account FROM credits.lock_account(p_user_id, NULL, p_context);
    outcome := v_account.problem;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT g.* INTO v_done FROM credits.credit_grants g
    WHERE g.credit_balance_id = v_account.balance_id AND g.key = p_key;
    IF FOUND THEN
        outcome := CASE
            WHEN v_done.amount = p_amount AND v_done.source = v_source
                 AND v_done.priority = v_priority
                 AND v_done.expires_at IS NOT DISTINCT FROM p_expires_at
                 AND v_done.details IS NOT DISTINCT FROM v_details
            THEN 'GRANTED' ELSE 'CONFLICT' END;
        grant_id := v_done.id;
        balance := v_done.balance_after;
        replayed := true;
        RETURN;
    END IF;
    replayed := false;
    IF p_expires_at <= v_account.at THEN
        outcome := 'PAST';
        RETURN;
    END IF;
    IF v_account.remaining::bigint + p_amount > 2147483647 THEN
        outcome := 'TOO_LARGE';
        RETURN;
    END IF;
    outcome := 'GRANTED';
    grant_id := p_id;
    balance := v_account.remaining + p_amount;
    PERFORM credits.enter();
    INSERT INTO credits.credit_grants
        (id, credit_balance_id, key, source, amount, remaining, priority, expires_at,
         balance_after, details, created_at)
    VALUES (p_id, v_account.balance_id, p_key, v_source, p_amount, p_amount, v_priority,
            p_expires_at, balance, v_details, v_account.at);
    UPDATE credits.credit_balances
    SET credits_remaining = balance, last_synced_at = v_account.at, updated_at = v_account.at
    WHERE id = v_account.balance_id;
    PERFORM credits.record('CREDITS_GRANTED', 'CreditBalance', v_account.balance_id,
                           v_account.remaining, balance, p_amount || ' credits from ' || v_source);
    IF p_expires_at IS NOT NULL THEN
        PERFORM credits.plan_expiry(v_account.balance_id);
    END IF;
    PERFORM credits.leave();
END $$;
COMMENT ON FUNCTION credits.grant_credits(
    uuid, {user_key}, int, text, jsonb, timestamptz, jsonb, boolean
) IS 'Adds credits to an account, once per key.';
"""

# The moment is asked once, so that the index is read up to it and no further. An account that
# cannot be settled is left as it was and named; the next batch goes on behind it.
EXPIRE = """
CREATE FUNCTION credits.expire_due(
    p_limit int, p_after timestamptz, p_after_id uuid,
    OUT accounts int, OUT credits bigint, OUT failed uuid[], OUT last timestamptz, OUT last_id uuid
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_now CONSTANT timestamptz := bedplate.clock();
    v_after CONSTANT timestamptz := coalesce(p_after, '-infinity');
    v_after_id CONSTANT uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
    v_account record;
    v_left int;
BEGIN
    accounts := 0;
    credits := 0;
    failed := '{}';
    -- Whoever holds a lock settles that account itself.
    FOR v_account IN
        SELECT b.id, b.next_expiry, b.credits_remaining FROM credits.credit_balances b
        WHERE b.next_expiry <= v_now AND (b.next_expiry, b.id) > (v_after, v_after_id)
        ORDER BY b.next_expiry, b.id LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        last := v_account.next_expiry;
        last_id := v_account.id;
        BEGIN
            SELECT s.remaining INTO v_left FROM credits.settle(v_account.id, v_now) AS s;
            accounts := accounts + 1;
            credits := credits + v_account.credits_remaining - v_left;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'Account % was not settled: %', v_account.id, SQLERRM;
            failed := failed || v_account.id;
        END;
    END LOOP;
    IF accounts + cardinality(failed) < p_limit THEN
        last := NULL;
        last_id := NULL;
    END IF;
END $$;
COMMENT ON FUNCTION credits.expire_due(int, timestamptz, uuid) IS
    'Books what expired, and ends holds that are over, in accounts where any did.';
"""

COSTS = """
CREATE FUNCTION credits.set_feature_costs(p_costs jsonb, p_context jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_before jsonb;
BEGIN
    PERFORM credits.act(p_context);
    PERFORM credits.require_actor();
    PERFORM credits.enter();
    INSERT INTO credits.admin_settings DEFAULT VALUES ON CONFLICT (id) DO NOTHING;
    SELECT s.feature_costs INTO v_before FROM credits.admin_settings s FOR UPDATE;
    IF p_costs IS DISTINCT FROM v_before THEN
        UPDATE credits.admin_settings SET feature_costs = p_costs, updated_at = bedplate.now();
        INSERT INTO credits.audit_logs (action, entity_type, entity_id, changes, description)
        VALUES ('FEATURE_COSTS_SET', 'AdminSettings', 'singleton',
                jsonb_build_object('before', jsonb_build_object('feature_costs', v_before),
                                   'after', jsonb_build_object('feature_costs', p_costs)),
                'feature costs set');
    END IF;
    PERFORM credits.leave();
END $$;
COMMENT ON FUNCTION credits.set_feature_costs(jsonb, jsonb) IS
    'Sets what operations cost, over the defaults in the code.';
"""

# With the user in it, so that a window of time is found by the history's own index. LEFT, so that
# whoever does not ask for the user does not look for the account.
LEDGER = """
CREATE VIEW credits.ledger WITH (security_invoker = true) AS
SELECT g.credit_balance_id, b.user_id, g.created_at AS at, 'grant' AS kind, g.id, g.amount
FROM credits.credit_grants g LEFT JOIN credits.credit_balances b ON b.id = g.credit_balance_id
UNION ALL
SELECT h.credit_balance_id, h.user_id, h."timestamp",
       CASE WHEN h.refund_of IS NULL THEN 'charge' ELSE 'refund' END, h.id, -h.credits_used
FROM credits.usage_history h
UNION ALL
SELECT e.credit_balance_id, b.user_id, e.expired_at, 'expiry', e.id, -e.amount
FROM credits.credit_expirations e
LEFT JOIN credits.credit_balances b ON b.id = e.credit_balance_id;
COMMENT ON VIEW credits.ledger IS 'Every change of every balance; their sum is the balance.';
COMMENT ON COLUMN credits.ledger.credit_balance_id IS 'The account.';
COMMENT ON COLUMN credits.ledger.user_id IS 'Whose account.';
COMMENT ON COLUMN credits.ledger.at IS 'When it happened.';
COMMENT ON COLUMN credits.ledger.kind IS 'grant, charge, refund or expiry.';
COMMENT ON COLUMN credits.ledger.id IS 'The grant, usage or expiration.';
COMMENT ON COLUMN credits.ledger.amount IS 'Credits that came (positive) or went (negative).';
"""

SIGNATURES = (
    "open_account(uuid, {user_key}, int, jsonb)",
    "grant_credits(uuid, {user_key}, int, text, jsonb, timestamptz, jsonb, boolean)",
    "expire_due(int, timestamptz, uuid)",
    "set_feature_costs(jsonb, jsonb)",
)


def upgrade() -> None:
    """Create the verbs, for the app's role, and the view."""
    run = lines.current().execute
    # The key at Clerk is locked until the account is there for a change of it to find.
    is_bound = lines.is_bound("users")
    clerk_id, unchanging = ("NULL", "") if is_bound else ("u.clerk_id", "FOR KEY SHARE")
    opening = OPENING.replace("{clerk_id}", clerk_id).replace("{unchanging}", unchanging)
    for text in (opening, GRANT, EXPIRE, COSTS):
        run(lines.with_places(text))
    run(LEDGER)
    lines.executable(*(lines.with_places(signature) for signature in SIGNATURES))
    lines.grant("ledger", privileges=("SELECT",))


def downgrade() -> None:
    """Drop them."""
    run = lines.current().execute
    run("DROP VIEW credits.ledger")
    for signature in SIGNATURES:
        run(lines.with_places(f"DROP FUNCTION credits.{signature}"))
    run("DROP TRIGGER tr_credit_balances_opening ON credits.credit_balances")
    run("DROP FUNCTION credits.grant_opening()")
