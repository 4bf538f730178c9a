"""What the verbs share: the lock, the order of grants, breakage, refusals, the way they record.

None of these is callable by the app. The verbs are SECURITY DEFINER functions, so all of this runs
as the owner, under the account's row lock, which `lock_account` takes before anything is read.

Every verb forbids whole scans and joins by hash or merge, wherever it reads. Plans live as long as
the connection, and these functions' are shared by the verbs: one made while the tables were small
would go on to read them whole, here and in the foreign keys' own lookups. For the same reason what
pays or is held is read and changed grant by grant, by its key: a join may begin at either table.
(`deduct_many` has the grants of all its accounts in arrays, and changes them in one statement.)
Before PostgreSQL 18 a scan that is forbidden makes the plan look dear where it has no other way,
which is when a server that can compile plans does: milliseconds for each charge, under the
account's lock. So it must not.
"""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0003_ledger"
down_revision = "0002_holds_and_features"

# Capture is for changes made outside of the verbs; these record what they mean instead.
RECORDING = """
CREATE FUNCTION credits.act(p_context jsonb) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    v_name text;
    v_told text;
BEGIN
    IF p_context IS NOT NULL THEN
        FOREACH v_name IN ARRAY ARRAY['actor', 'request_id', 'ip', 'user_agent'] LOOP
            v_told := p_context ->> v_name;
            IF v_told IS NOT NULL THEN
                v_told := pg_catalog.set_config('bedplate.' || v_name, v_told, true);
            END IF;
        END LOOP;
    END IF;
    RETURN bedplate.context('actor');
END $$;

CREATE FUNCTION credits.require_actor() RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_actor CONSTANT {user_key} := bedplate.actor_key(NULL::{user_key});
BEGIN
    IF v_actor IS NOT NULL
       AND NOT EXISTS (SELECT FROM {users_table} u WHERE u.{users_id} = v_actor)
    THEN
        RAISE EXCEPTION 'The acting user is not among the users.' USING ERRCODE = 'BP002';
    END IF;
END $$;

CREATE FUNCTION credits.enter() RETURNS text
    LANGUAGE sql VOLATILE
    RETURN pg_catalog.set_config('bedplate.audited', 'credits', true);

CREATE FUNCTION credits.leave() RETURNS text
    LANGUAGE sql VOLATILE
    RETURN pg_catalog.set_config('bedplate.audited', '', true);

CREATE FUNCTION credits.change(p_before int, p_after int) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.jsonb_build_object(
        'before', pg_catalog.jsonb_build_object('credits_remaining', p_before),
        'after', pg_catalog.jsonb_build_object('credits_remaining', p_after));

CREATE FUNCTION credits.record(
    p_action credits.audit_action, p_entity_type text, p_entity_id uuid,
    p_before int, p_after int, p_description text
) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credits.audit_logs (action, entity_type, entity_id, changes, description)
    VALUES (p_action, p_entity_type, p_entity_id::text,
            credits.change(p_before, p_after), p_description);
END $$;
"""

REFUSALS = """
CREATE FUNCTION credits.request_hash(
    p_operation credits.operation_type, p_amount int, p_details jsonb
) RETURNS bytea
    LANGUAGE sql STABLE
    RETURN pg_catalog.sha256(pg_catalog.convert_to(
        pg_catalog.concat_ws('|', p_operation, coalesce(p_amount::text, 'priced'), p_details),
        'UTF8'));

CREATE FUNCTION credits.kept_refusal(
    p_user_id text, p_action text, p_key text, p_hash bytea,
    OUT outcome text, OUT needed int, OUT available int
)
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN k.request_hash = p_hash THEN 'REFUSED' ELSE 'CONFLICT' END,
           k.answer ->> 'needed', k.answer ->> 'available'
    INTO outcome, needed, available
    FROM bedplate.idempotency_keys k
    WHERE k.user_id = p_user_id AND k.action = p_action AND k.key = p_key;
END $$;

CREATE FUNCTION credits.refuse(
    p_user_id text, p_action text, p_key text, p_hash bytea, p_needed int, p_available int
) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bedplate.idempotency_keys
        (user_id, action, key, request_hash, answer, created_at, expires_at)
    VALUES (p_user_id, p_action, p_key, p_hash,
            pg_catalog.jsonb_build_object('needed', p_needed, 'available', p_available),
            bedplate.now(), bedplate.now() + interval '90 days');
END $$;
"""

EXPIRY = """
CREATE FUNCTION credits.expire_grant(p_grant_id uuid, p_amount int, p_at timestamptz) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_account uuid;
    v_left int;
BEGIN
    UPDATE credits.credit_grants SET remaining = remaining - p_amount
    WHERE id = p_grant_id RETURNING credit_balance_id INTO v_account;
    UPDATE credits.credit_balances
    SET credits_remaining = credits_remaining - p_amount,
        last_synced_at = bedplate.clock(), updated_at = bedplate.clock()
    WHERE id = v_account RETURNING credits_remaining INTO v_left;
    INSERT INTO credits.credit_expirations
        (id, credit_balance_id, grant_id, amount, expired_at, created_at)
    VALUES (bedplate.uuid7(), v_account, p_grant_id, p_amount, p_at, bedplate.clock());
    PERFORM credits.record('CREDITS_EXPIRED', 'CreditBalance', v_account,
                           v_left + p_amount, v_left, p_amount || ' credits expired');
END $$;

CREATE FUNCTION credits.free_hold(p_hold_id uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_hold record;
    v_part record;
BEGIN
    SELECT h.credit_balance_id, h.amount INTO v_hold
    FROM credits.credit_holds h WHERE h.id = p_hold_id;
    UPDATE credits.credit_balances b SET credits_held = b.credits_held - v_hold.amount
    WHERE b.id = v_hold.credit_balance_id;
    FOR v_part IN
        SELECT a.grant_id, a.amount FROM credits.hold_allocations a WHERE a.hold_id = p_hold_id
    LOOP
        UPDATE credits.credit_grants g SET held = g.held - v_part.amount
        WHERE g.id = v_part.grant_id;
    END LOOP;
END $$;

CREATE FUNCTION credits.held_parts(p_hold_id uuid)
    RETURNS TABLE (
        grant_id uuid, amount int, priority int, expires_at timestamptz, created_at timestamptz
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.grant_id, a.amount, g.priority, g.expires_at, g.created_at
    FROM credits.hold_allocations a CROSS JOIN LATERAL (
        SELECT * FROM credits.credit_grants g WHERE g.id = a.grant_id OFFSET 0
    ) AS g
    WHERE a.hold_id = p_hold_id;
END;

CREATE FUNCTION credits.end_hold(p_hold_id uuid, p_state text, p_at timestamptz) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_account uuid;
    v_left int;
    v_amount int;
BEGIN
    SELECT h.credit_balance_id, h.amount INTO v_account, v_amount
    FROM credits.credit_holds h WHERE h.id = p_hold_id;
    PERFORM credits.free_hold(p_hold_id);
    SELECT credits_remaining INTO v_left FROM credits.credit_balances WHERE id = v_account;
    PERFORM credits.record('CREDITS_RELEASED', 'CreditHold', p_hold_id, v_left, v_left,
                           v_amount || ' credits of a hold, now ' || p_state);
    -- What belongs to a grant that is over meanwhile is of no use to anyone any more.
    PERFORM credits.expire_grant(p.grant_id, p.amount, p_at)
    FROM credits.held_parts(p_hold_id) AS p WHERE p.expires_at <= p_at;
    UPDATE credits.credit_holds SET state = p_state, ended_at = p_at, balance_after = (
        SELECT b.credits_remaining FROM credits.credit_balances b WHERE b.id = v_account)
    WHERE id = p_hold_id;
END $$;

CREATE FUNCTION credits.plan_expiry(p_balance_id uuid) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE credits.credit_balances SET next_expiry = least(
        (SELECT min(g.expires_at) FROM credits.credit_grants g
         WHERE g.credit_balance_id = p_balance_id AND g.is_open AND g.remaining > g.held),
        (SELECT min(h.expires_at) FROM credits.credit_holds h
         WHERE h.credit_balance_id = p_balance_id AND h.state = 'OPEN'))
    WHERE id = p_balance_id;
END $$;

CREATE FUNCTION credits.settle(
    p_balance_id uuid, p_at timestamptz, OUT remaining int, OUT held int
)
    LANGUAGE plpgsql AS $$
DECLARE
    v_hold record;
BEGIN
    PERFORM credits.enter();
    -- Holds first: what they free may be over as well.
    FOR v_hold IN
        SELECT h.id, h.expires_at FROM credits.credit_holds h
        WHERE h.credit_balance_id = p_balance_id AND h.state = 'OPEN' AND h.expires_at <= p_at
        ORDER BY h.expires_at, h.id
    LOOP
        PERFORM credits.end_hold(v_hold.id, 'EXPIRED', v_hold.expires_at);
    END LOOP;
    PERFORM credits.expire_grant(g.id, g.remaining - g.held, g.expires_at)
    FROM credits.credit_grants g
    WHERE g.credit_balance_id = p_balance_id AND g.is_open
      AND g.expires_at <= p_at AND g.remaining > g.held;
    PERFORM credits.plan_expiry(p_balance_id);
    SELECT b.credits_remaining, b.credits_held INTO remaining, held
    FROM credits.credit_balances b WHERE b.id = p_balance_id;
    PERFORM credits.leave();
END $$;
"""

# The moment is asked once the lock is held: what expired while we waited is gone.
LOCK = """
CREATE FUNCTION credits.lock_account(
    p_user_id {user_key}, p_operation credits.operation_type, p_context jsonb,
    OUT balance_id uuid, OUT remaining int, OUT held int, OUT at timestamptz, OUT problem text,
    OUT actor {user_key}, OUT actor_type text
)
    LANGUAGE plpgsql AS $$
DECLARE
    v_actor CONSTANT text := credits.act(p_context);
    v_due timestamptz;
BEGIN
    IF v_actor = p_user_id::text THEN
        actor := p_user_id;
    ELSE
        actor := bedplate.actor_key(NULL::{user_key});
    END IF;
    actor_type := CASE WHEN v_actor IS NULL THEN 'SYSTEM' ELSE 'USER' END;
    SELECT b.id, b.credits_remaining, b.credits_held, b.next_expiry
    INTO balance_id, remaining, held, v_due
    FROM credits.credit_balances b WHERE b.user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        problem := 'UNKNOWN_ACCOUNT';
    ELSIF p_operation <> 'ADMIN_ADJUSTMENT' AND v_actor <> p_user_id::text THEN
        problem := 'NOT_YOURS';
    ELSE
        -- An account's own user is one for sure.
        IF v_actor <> p_user_id::text THEN
            PERFORM credits.require_actor();
        END IF;
        at := bedplate.clock();
        IF v_due <= at THEN
            SELECT s.remaining, s.held INTO remaining, held
            FROM credits.settle(balance_id, at) AS s;
        END IF;
    END IF;
END $$;
"""

# What pays for an amount: the grants in their burn order, each to what of it is free. `burn` is for
# amounts that take more than one; where a single grant pays, the charge itself names it.
GRANTS = """
CREATE FUNCTION credits.open_grants(p_balance_id uuid, p_at timestamptz)
    RETURNS TABLE (id uuid, free int)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT g.id, g.remaining - g.held FROM credits.credit_grants g
    WHERE g.credit_balance_id = p_balance_id AND g.is_open AND g.remaining > g.held
      AND (g.expires_at IS NULL OR g.expires_at > p_at)
    ORDER BY g.priority, g.expires_at, g.created_at, g.id;
END;

CREATE FUNCTION credits.parts(p_balance_id uuid, p_amount int, p_at timestamptz)
    RETURNS TABLE (grant_id uuid, part int)
    LANGUAGE plpgsql AS $$
DECLARE
    v_left int := p_amount;
BEGIN
    FOR grant_id, part IN SELECT g.id, g.free FROM credits.open_grants(p_balance_id, p_at) AS g
    LOOP
        EXIT WHEN v_left = 0;
        part := least(v_left, part);
        v_left := v_left - part;
        RETURN NEXT;
    END LOOP;
    IF v_left > 0 THEN
        RAISE EXCEPTION 'The grants of account % do not cover its balance.', p_balance_id
            USING ERRCODE = '23514', HINT = 'Run bedplate check.';
    END IF;
END $$;

CREATE FUNCTION credits.burn(
    p_usage_id uuid, p_balance_id uuid, p_amount int, p_at timestamptz
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_paid record;
BEGIN
    FOR v_paid IN SELECT p.grant_id, p.part FROM credits.parts(p_balance_id, p_amount, p_at) AS p
    LOOP
        INSERT INTO credits.usage_allocations (usage_id, grant_id, amount)
        VALUES (p_usage_id, v_paid.grant_id, v_paid.part);
        UPDATE credits.credit_grants g SET remaining = g.remaining - v_paid.part
        WHERE g.id = v_paid.grant_id;
    END LOOP;
END $$;

CREATE FUNCTION credits.cost_of(
    p_operation credits.operation_type, p_default int
) RETURNS int
    LANGUAGE sql STABLE
    RETURN coalesce(
        (SELECT (s.feature_costs ->> p_operation::text)::int FROM credits.admin_settings s),
        p_default);
"""

FUNCTIONS = {
    "cost_of(credits.operation_type, int)": (
        "What an operation costs now: as configured, else the default given."
    ),
    "burn(uuid, uuid, int, timestamptz)": (
        "Takes an amount from the grants of an account, for a charge, and writes down from which."
    ),
    "parts(uuid, int, timestamptz)": (
        "The grants that pay an amount, each with its part; raises where they do not cover it."
    ),
    "open_grants(uuid, timestamptz)": (
        "The grants of an account that may pay, in burn order, with what of each is free."
    ),
    "lock_account({user_key}, credits.operation_type, jsonb)": (
        "Locks an account, ends what is over, tells who acts; the first thing a verb does."
    ),
    "settle(uuid, timestamptz)": "Ends the holds and the grants of an account that are over.",
    "plan_expiry(uuid)": "Notes when the next hold or grant of an account will be over.",
    "end_hold(uuid, text, timestamptz)": (
        "Ends a hold in a state; what it kept of grants that are over expires."
    ),
    "held_parts(uuid)": "What of which grants a hold keeps, with what orders and ends them.",
    "free_hold(uuid)": "Gives back to the grants what a hold kept of them.",
    "expire_grant(uuid, int, timestamptz)": (
        "Takes an amount of a grant that is over out of the balance, and records it."
    ),
    "refuse(text, text, text, bytea, int, int)": "Keeps a refusal under its key.",
    "kept_refusal(text, text, text, bytea)": (
        "The refusal kept under a key, or that the key is another request''s."
    ),
    "request_hash(credits.operation_type, int, jsonb)": (
        "What tells one request under a key from another."
    ),
    "record(credits.audit_action, text, uuid, int, int, text)": (
        "Writes an entry of the audit log about a balance."
    ),
    "change(int, int)": "A balance before and after, as the audit log writes it.",
    "leave()": "Lets capture see changes again.",
    "enter()": "Tells capture that the verb records by itself what it changes.",
    "require_actor()": "Raises BP002 where who acts is none of the users.",
    "act(jsonb)": "Takes over who is acting, as the call carries it; returns the actor.",
}
"""Each with its comment, in the order in which they can be dropped."""


def upgrade() -> None:
    """Create the functions, for nobody but the owner."""
    run = lines.current().execute
    for text in (RECORDING, REFUSALS, EXPIRY, LOCK, GRANTS):
        run(lines.with_places(text))
    for signature, comment in FUNCTIONS.items():
        run(lines.with_places(f"REVOKE ALL ON FUNCTION credits.{signature} FROM PUBLIC"))
        run(lines.with_places(f"COMMENT ON FUNCTION credits.{signature} IS '{comment}'"))


def downgrade() -> None:
    """Drop them."""
    for signature in FUNCTIONS:
        lines.current().execute(lines.with_places(f"DROP FUNCTION credits.{signature}"))
