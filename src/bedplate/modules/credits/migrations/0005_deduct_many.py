"""deduct_many: many charges, of one account or many, as one statement."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0005_deduct_many"
down_revision = "0004_charges"

# Everything is read under the accounts' locks, decided in memory in the order of the requests, and
# written once. A bad request answers for itself alone and nothing is written at all. OFFSET 0 and
# the settings make every key one look into its index: plans live as long as the connection, and
# one made while the tables were empty would read a whole history for each request. A request is
# its place in the arrays; p_details is a JSON array, or NULL where no request has details. With
# p_contexts, an array as well, the requests are of several callers, who know nothing of each other:
# each acts as itself, has an audit entry of its own, and a bad one spoils nobody else's.
DEDUCT_MANY = """
CREATE FUNCTION credits.deduct_many(
    p_ids uuid[], p_users {user_key}[], p_operations credits.operation_type[], p_keys text[],
    p_amounts int[], p_details jsonb, p_defaults jsonb, p_context jsonb, p_contexts jsonb
)
    RETURNS TABLE (
        place int, outcome text, usage_id uuid, credits int, balance int, available int,
        at timestamptz, replayed boolean
    )
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    r record;
    v_account record;
    v_costs jsonb;
    v_actor text;
    v_bad boolean := false;
    v_problem text;
    v_size int := cardinality(p_ids);
    v_first int[];
    v_number int[];
    -- Accounts, by their number in the order in which they were locked.
    a_user {user_key}[]; a_id uuid[]; a_left int[]; a_free int[]; a_before int[];
    a_at timestamptz[]; a_grant int[]; a_last int[];
    n int := 0;
    -- Their grants, in burn order.
    g_id uuid[]; g_free int[]; g_before int[];
    m int := 0;
    -- Answers, by place; and what is to be written.
    o_outcome text[]; o_id uuid[]; o_credits int[]; o_balance int[]; o_available int[];
    o_at timestamptz[]; o_replayed boolean[]; o_account int[]; o_grant uuid[];
    f_place int[]; f_account int[]; f int := 0;
    l_usage uuid[]; l_grant uuid[]; l_amount int[]; l int := 0;
    v_cost int; v_need int; v_part int; v_grant int; v_one int;
BEGIN
    FOR r IN
        SELECT q.user_id,
               max(q.operation) FILTER (WHERE q.operation <> 'ADMIN_ADJUSTMENT') AS operation
        FROM unnest(p_users, p_operations) WITH ORDINALITY AS q (user_id, operation, place)
        GROUP BY q.user_id ORDER BY q.user_id
    LOOP
        -- Whoever may not charge the account ends nothing in it either.
        SELECT * INTO v_account FROM credits.lock_account(
            r.user_id, CASE WHEN p_contexts IS NULL THEN r.operation END, p_context);
        n := n + 1;
        a_user[n] := r.user_id;
        a_id[n] := v_account.balance_id;
        a_left[n] := v_account.remaining;
        a_before[n] := v_account.remaining;
        a_free[n] := CASE WHEN v_account.problem IS NULL
                          THEN v_account.remaining - v_account.held ELSE -1 END;
        a_at[n] := v_account.at;
        a_grant[n] := 1;
        a_last[n] := 0;
    END LOOP;
    FOR r IN
        SELECT g.id, g.free, x.n FROM unnest(a_id) WITH ORDINALITY AS x (id, n)
        CROSS JOIN LATERAL credits.open_grants(x.id, a_at[x.n])
            WITH ORDINALITY AS g (id, free, nth)
        ORDER BY x.n, g.nth
    LOOP
        m := m + 1;
        g_id[m] := r.id;
        g_free[m] := r.free;
        IF a_last[r.n] = 0 THEN
            a_grant[r.n] := m;
        END IF;
        a_last[r.n] := m;
    END LOOP;
    g_before := g_free;
    v_costs := (SELECT s.feature_costs FROM credits.admin_settings s);
    v_actor := bedplate.context('actor');
    -- Whose a request is: accounts were locked, and numbered, in the order of their users.
    IF n = 1 THEN
        v_number := array_fill(1, ARRAY[v_size]);
    ELSE
        v_number := ARRAY(
            SELECT dense_rank() OVER (ORDER BY q.user_id)
            FROM unnest(p_users) WITH ORDINALITY AS q (user_id, place)
            ORDER BY q.place
        );
    END IF;
    IF EXISTS (
        SELECT FROM unnest(p_users, p_keys) AS q (user_id, key)
        GROUP BY q.user_id, q.key HAVING count(*) > 1
    ) THEN
        v_first := ARRAY(
            SELECT min(q.place) OVER (PARTITION BY q.user_id, q.key)
            FROM unnest(p_users, p_keys) WITH ORDINALITY AS q (user_id, key, place)
            ORDER BY q.place
        );
    END IF;
    -- All of one length, and as if every request were charged now: whatever is not, says so.
    o_outcome := array_fill('DEDUCTED'::text, ARRAY[v_size]);
    o_replayed := array_fill(false, ARRAY[v_size]);
    o_id := p_ids;
    o_credits := array_fill(NULL::int, ARRAY[v_size]);
    o_balance := o_credits;
    o_available := o_credits;
    o_account := o_credits;
    o_at := array_fill(NULL::timestamptz, ARRAY[v_size]);
    o_grant := array_fill(NULL::uuid, ARRAY[v_size]);
    FOR r IN
        SELECT q.*, nullif(p_details -> q.place::int - 1, 'null') AS details,
               h.id AS done_id, h.operation_type, h.is_priced, h.credits_used, h.balance_after,
               h.available_after, h."timestamp", h.details AS done_details, k.request_hash, k.answer
        FROM unnest(p_ids, p_users, p_operations, p_keys, p_amounts, v_number)
            WITH ORDINALITY AS q (id, user_id, operation, key, amount, n, place)
        LEFT JOIN LATERAL (
            SELECT * FROM credits.usage_history h
            WHERE h.credit_balance_id = a_id[q.n] AND h.action = 'deduct' AND h.key = q.key
            OFFSET 0
        ) AS h ON true
        LEFT JOIN LATERAL (
            SELECT * FROM bedplate.idempotency_keys k
            WHERE k.user_id = q.user_id::text AND k.action = 'credits.deduct' AND k.key = q.key
            OFFSET 0
        ) AS k ON true
        ORDER BY q.place
    LOOP
        v_problem := NULL;
        IF p_contexts IS NOT NULL THEN
            v_actor := nullif(p_contexts -> r.place::int - 1 ->> 'actor', '');
        END IF;
        IF a_id[r.n] IS NULL THEN
            v_problem := 'UNKNOWN_ACCOUNT';
        ELSIF r.amount < 1 THEN
            v_problem := 'AMOUNT';
        ELSIF r.operation <> 'ADMIN_ADJUSTMENT' AND v_actor <> r.user_id::text THEN
            v_problem := 'NOT_YOURS';
        ELSIF v_first[r.place] < r.place THEN
            -- The same key twice in one call: the second is a replay of the first.
            v_one := v_first[r.place];
            o_replayed[r.place] := true;
            IF p_operations[v_one] IS DISTINCT FROM r.operation
               OR p_amounts[v_one] IS DISTINCT FROM r.amount
               OR nullif(p_details -> v_one - 1, 'null') IS DISTINCT FROM r.details
            THEN
                v_problem := 'CONFLICT';
            END IF;
            o_outcome[r.place] := o_outcome[v_one];
            o_id[r.place] := o_id[v_one];
            o_credits[r.place] := o_credits[v_one];
            o_balance[r.place] := o_balance[v_one];
            o_available[r.place] := o_available[v_one];
            o_at[r.place] := o_at[v_one];
        ELSIF r.done_id IS NOT NULL THEN
            IF r.operation_type <> r.operation OR r.is_priced <> (r.amount IS NULL)
               OR r.amount <> r.credits_used OR r.done_details IS DISTINCT FROM r.details
            THEN
                v_problem := 'CONFLICT';
            END IF;
            o_replayed[r.place] := true;
            o_id[r.place] := r.done_id;
            o_credits[r.place] := r.credits_used;
            o_balance[r.place] := r.balance_after;
            o_available[r.place] := r.available_after;
            o_at[r.place] := r."timestamp";
        ELSIF r.answer IS NOT NULL THEN
            IF r.request_hash <> credits.request_hash(r.operation, r.amount, r.details) THEN
                v_problem := 'CONFLICT';
            END IF;
            o_replayed[r.place] := true;
            o_outcome[r.place] := 'REFUSED';
            o_id[r.place] := NULL;
            o_credits[r.place] := (r.answer ->> 'needed')::int;
            o_available[r.place] := (r.answer ->> 'available')::int;
        ELSE
            v_cost := coalesce(r.amount, (v_costs ->> r.operation::text)::int,
                               (p_defaults ->> r.operation::text)::int);
            o_credits[r.place] := v_cost;
            IF v_cost IS NULL THEN
                v_problem := 'NO_COST';
            ELSIF a_free[r.n] < v_cost THEN
                o_outcome[r.place] := 'REFUSED';
                o_id[r.place] := NULL;
                o_available[r.place] := a_free[r.n];
                f := f + 1;
                f_place[f] := r.place;
                f_account[f] := r.n;
            ELSE
                a_left[r.n] := a_left[r.n] - v_cost;
                a_free[r.n] := a_free[r.n] - v_cost;
                o_account[r.place] := r.n;
                o_balance[r.place] := a_left[r.n];
                o_available[r.place] := a_free[r.n];
                o_at[r.place] := a_at[r.n];
                v_need := v_cost;
                v_grant := a_grant[r.n];
                WHILE v_need > 0 LOOP
                    IF v_grant > a_last[r.n] THEN
                        RAISE EXCEPTION 'The grants of account % do not cover its balance.',
                            a_id[r.n] USING ERRCODE = '23514', HINT = 'Run bedplate check.';
                    END IF;
                    v_part := least(v_need, g_free[v_grant]);
                    IF v_part = v_cost THEN
                        o_grant[r.place] := g_id[v_grant];
                    ELSIF v_part > 0 THEN
                        l := l + 1;
                        l_usage[l] := r.id;
                        l_grant[l] := g_id[v_grant];
                        l_amount[l] := v_part;
                    END IF;
                    g_free[v_grant] := g_free[v_grant] - v_part;
                    v_need := v_need - v_part;
                    IF v_need > 0 THEN
                        v_grant := v_grant + 1;
                    END IF;
                END LOOP;
                a_grant[r.n] := v_grant;
            END IF;
        END IF;
        IF v_problem IS NULL THEN
            CONTINUE;
        END IF;
        IF p_contexts IS NOT NULL THEN
            o_outcome[r.place] := v_problem;
        ELSE
            v_bad := true;
            RETURN QUERY SELECT r.place::int, v_problem, NULL::uuid, o_credits[r.place], NULL::int,
                                NULL::int, NULL::timestamptz, NULL::boolean;
        END IF;
    END LOOP;
    IF v_bad THEN
        RETURN;
    END IF;
    PERFORM credits.enter();
    INSERT INTO credits.usage_history
        (id, user_id, credit_balance_id, operation_type, credits_used, action, key, balance_after,
         available_after, is_priced, grant_id, details, "timestamp")
    SELECT t.id, t.user_id, a_id[t.n], t.operation, t.credits, 'deduct', t.key, t.balance,
           t.available, t.amount IS NULL, t.grant_id,
           nullif(p_details -> t.place::int - 1, 'null'), a_at[t.n]
    FROM unnest(p_ids, p_users, p_operations, o_credits, p_keys, o_balance, o_available, p_amounts,
                o_account, o_grant)
        WITH ORDINALITY AS t (id, user_id, operation, credits, key, balance, available, amount, n,
                              grant_id, place)
    WHERE t.n IS NOT NULL;
    INSERT INTO credits.usage_allocations (usage_id, grant_id, amount)
    SELECT * FROM unnest(l_usage, l_grant, l_amount);
    PERFORM credits.refuse(
        a_user[t.n]::text, 'credits.deduct', p_keys[t.place],
        credits.request_hash(
            p_operations[t.place], p_amounts[t.place],
            nullif(p_details -> t.place - 1, 'null')),
        o_credits[t.place], o_available[t.place])
    FROM unnest(f_place, f_account) AS t (place, n);
    UPDATE credits.credit_grants g SET remaining = g.remaining - (t.before - t.free)
    FROM unnest(g_id, g_free, g_before) AS t (id, free, before)
    WHERE g.id = t.id AND t.free < t.before;
    UPDATE credits.credit_balances b
    SET credits_remaining = t.remaining, last_synced_at = t.at, updated_at = t.at
    FROM unnest(a_id, a_left, a_before, a_at) AS t (id, remaining, was, at)
    WHERE b.id = t.id AND t.remaining <> t.was;
    IF p_contexts IS NULL THEN
        -- One entry per account and call: its charges stand in the history, each by itself.
        PERFORM credits.record(
            'CREDITS_DEDUCTED', 'CreditBalance', a_id[t.n], a_before[t.n], a_left[t.n],
            a_before[t.n] - a_left[t.n] || ' credits in ' || t.charges || ' charges')
        FROM (SELECT x.n, count(*) AS charges FROM unnest(o_account) AS x (n)
              WHERE x.n IS NOT NULL GROUP BY x.n) AS t;
    ELSE
        INSERT INTO credits.audit_logs
            (id, action, entity_type, entity_id, user_id, actor_type, request_id, ip_address,
             user_agent, changes, description)
        SELECT t.id, 'CREDITS_DEDUCTED', 'CreditBalance', a_id[t.n]::text,
               nullif(c.context ->> 'actor', '')::{user_key},
               CASE WHEN nullif(c.context ->> 'actor', '') IS NULL THEN 'SYSTEM' ELSE 'USER' END,
               nullif(c.context ->> 'request_id', ''), nullif(c.context ->> 'ip', ''),
               nullif(c.context ->> 'user_agent', ''),
               credits.change(t.balance + t.credits, t.balance),
               t.credits || ' credits for ' || t.operation
        FROM unnest(p_ids, p_operations, o_credits, o_balance, o_account)
            WITH ORDINALITY AS t (id, operation, credits, balance, n, place)
        CROSS JOIN LATERAL (SELECT p_contexts -> t.place::int - 1 AS context) AS c
        WHERE t.n IS NOT NULL;
    END IF;
    PERFORM credits.leave();
    RETURN QUERY
    SELECT t.place::int, t.outcome, t.id, t.credits, t.balance, t.available, t.at, t.replayed
    FROM unnest(o_outcome, o_id, o_credits, o_balance, o_available, o_at, o_replayed)
        WITH ORDINALITY AS t (outcome, id, credits, balance, available, at, replayed, place);
END $$;
"""

COMMENT = (
    "Charges like deduct, many at a time, in the order given; all of them or none, unless each "
    "has a context of its own."
)
SIGNATURE = (
    "deduct_many(uuid[], {user_key}[], credits.operation_type[], text[], int[], "
    "jsonb, jsonb, jsonb, jsonb)"
)


def upgrade() -> None:
    """Create the verb, for the app's role."""
    run = lines.current().execute
    run(lines.with_places(DEDUCT_MANY))
    run(lines.with_places(f"COMMENT ON FUNCTION credits.{SIGNATURE} IS '{COMMENT}'"))
    lines.executable(lines.with_places(SIGNATURE))


def downgrade() -> None:
    """Drop it."""
    lines.current().execute(lines.with_places(f"DROP FUNCTION credits.{SIGNATURE}"))
