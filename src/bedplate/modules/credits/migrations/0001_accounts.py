"""Accounts of credits, the grants that fill them, their charges and their breakage."""

from __future__ import annotations

from bedplate.kernel import lines
from bedplate.kernel.footprint import Footprint

revision = "0001_accounts"
down_revision = None

touches = Footprint(behaviour=["auth.users"])

TYPES = """
CREATE TYPE credits.operation_type AS ENUM (
    'AI_TEXT_CHAT',
    'AI_IMAGE_GENERATION',
    'PROJECT_CREATION',
    'PRD_GENERATION',
    'SCHEMA_GENERATION',
    'FLOWCHART_GENERATION',
    'TASK_GENERATION',
    'PLAN_GENERATION',
    'ADMIN_ADJUSTMENT',
    'WORKSPACE_BLUEPRINT',
    'FEATURE_SEGMENTATION'
);
COMMENT ON TYPE credits.operation_type IS 'What credits are spent on.';
"""

ACCOUNTS = """
CREATE TABLE credits.credit_balances (
    id UUID NOT NULL,
    user_id {user_key} NOT NULL,
    clerk_user_id VARCHAR,
    credits_remaining INTEGER DEFAULT 100 NOT NULL,
    credits_held INTEGER DEFAULT 0 NOT NULL,
    next_expiry TIMESTAMP WITH TIME ZONE,
    last_synced_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_credit_balances PRIMARY KEY (id),
    CONSTRAINT uq_credit_balances_user_id UNIQUE (user_id),
    CONSTRAINT uq_credit_balances_id_user_id UNIQUE (id, user_id),
    CONSTRAINT uq_credit_balances_clerk_user_id UNIQUE (clerk_user_id),
    CONSTRAINT ck_credit_balances_remaining CHECK (credits_remaining >= 0),
    CONSTRAINT ck_credit_balances_held CHECK (credits_held BETWEEN 0 AND credits_remaining),
    CONSTRAINT fk_credit_balances_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT
);

CREATE INDEX ix_credit_balances_next_expiry
    ON credits.credit_balances (next_expiry, id)
    WHERE next_expiry IS NOT NULL;
COMMENT ON TABLE credits.credit_balances IS 'Accounts of credits.';
COMMENT ON COLUMN credits.credit_balances.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN credits.credit_balances.user_id IS 'Whose account.';
COMMENT ON COLUMN credits.credit_balances.clerk_user_id IS
    'The user''s key at Clerk; follows auth.users.clerk_id, NULL beside a host''s users.';
COMMENT ON COLUMN credits.credit_balances.credits_remaining IS
    'Credits of the account, held ones included.';
COMMENT ON COLUMN credits.credit_balances.credits_held IS 'Credits set aside by open holds.';
COMMENT ON COLUMN credits.credit_balances.next_expiry IS
    'When the next grant or hold of the account expires.';
COMMENT ON COLUMN credits.credit_balances.last_synced_at IS 'When the balance last changed.';
COMMENT ON COLUMN credits.credit_balances.created_at IS 'When the row was made.';
COMMENT ON COLUMN credits.credit_balances.updated_at IS 'When the row was last changed.';

CREATE TABLE credits.credit_grants (
    id UUID NOT NULL,
    credit_balance_id UUID NOT NULL,
    key VARCHAR(255) NOT NULL,
    source VARCHAR NOT NULL,
    amount INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    held INTEGER DEFAULT 0 NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    balance_after INTEGER NOT NULL,
    details JSONB,
    is_open BOOLEAN GENERATED ALWAYS AS (remaining > 0) STORED NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_credit_grants PRIMARY KEY (id),
    CONSTRAINT uq_credit_grants_credit_balance_id_key UNIQUE (credit_balance_id, key),
    CONSTRAINT ck_credit_grants_amount CHECK (amount > 0),
    CONSTRAINT ck_credit_grants_remaining CHECK (remaining BETWEEN 0 AND amount),
    CONSTRAINT ck_credit_grants_held CHECK (held BETWEEN 0 AND remaining),
    CONSTRAINT ck_credit_grants_key CHECK (key <> ''),
    CONSTRAINT fk_credit_grants_credit_balance_id_credit_balances FOREIGN KEY(credit_balance_id)
        REFERENCES credits.credit_balances (id) ON DELETE RESTRICT
);

CREATE INDEX ix_credit_grants_burn_order
    ON credits.credit_grants (credit_balance_id, priority, expires_at, created_at, id)
    WHERE is_open;
COMMENT ON TABLE credits.credit_grants IS 'Credits that came into accounts.';
COMMENT ON COLUMN credits.credit_grants.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN credits.credit_grants.credit_balance_id IS 'The account that got them.';
COMMENT ON COLUMN credits.credit_grants.key IS
    'The request that granted them; unique per account.';
COMMENT ON COLUMN credits.credit_grants.source IS
    'Where they came from: opening, purchase, plan …';
COMMENT ON COLUMN credits.credit_grants.amount IS 'Credits granted.';
COMMENT ON COLUMN credits.credit_grants.remaining IS 'Credits neither used nor expired.';
COMMENT ON COLUMN credits.credit_grants.held IS 'Credits of the remaining ones in open holds.';
COMMENT ON COLUMN credits.credit_grants.priority IS 'Lower is burned first.';
COMMENT ON COLUMN credits.credit_grants.expires_at IS
    'From when they cannot be used; NULL: never.';
COMMENT ON COLUMN credits.credit_grants.balance_after IS 'credits_remaining right after.';
COMMENT ON COLUMN credits.credit_grants.details IS 'What the caller noted.';
COMMENT ON COLUMN credits.credit_grants.is_open IS 'Whether any is left.';
COMMENT ON COLUMN credits.credit_grants.created_at IS 'When they were granted.';
"""

HISTORY = """
CREATE TABLE credits.usage_history (
    id UUID NOT NULL,
    user_id {user_key} NOT NULL,
    credit_balance_id UUID NOT NULL,
    operation_type credits.operation_type NOT NULL,
    credits_used INTEGER NOT NULL,
    action VARCHAR NOT NULL,
    key VARCHAR(255) NOT NULL,
    balance_after INTEGER NOT NULL,
    available_after INTEGER NOT NULL,
    is_priced BOOLEAN DEFAULT false NOT NULL,
    refund_of UUID,
    grant_id UUID,
    details JSONB,
    timestamp TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_usage_history PRIMARY KEY (id),
    CONSTRAINT uq_usage_history_credit_balance_id_key UNIQUE (credit_balance_id, action, key),
    CONSTRAINT ck_usage_history_action CHECK (action IN ('deduct', 'capture', 'refund')),
    CONSTRAINT ck_usage_history_key CHECK (key <> ''),
    CONSTRAINT ck_usage_history_sign
        CHECK ((action = 'refund') = (refund_of IS NOT NULL)
            AND (credits_used < 0) = (refund_of IS NOT NULL)),
    CONSTRAINT ck_usage_history_balance_after CHECK (available_after BETWEEN 0 AND balance_after),
    CONSTRAINT fk_usage_history_credit_balance_id_user_id_credit_balances
        FOREIGN KEY(credit_balance_id, user_id)
        REFERENCES credits.credit_balances (id, user_id) ON DELETE RESTRICT,
    CONSTRAINT fk_usage_history_grant_id_credit_grants FOREIGN KEY(grant_id)
        REFERENCES credits.credit_grants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_usage_history_refund_of_usage_history FOREIGN KEY(refund_of)
        REFERENCES credits.usage_history (id) ON DELETE RESTRICT
);

CREATE INDEX ix_usage_history_grant_id ON credits.usage_history (grant_id);
CREATE INDEX ix_usage_history_refund_of
    ON credits.usage_history (refund_of)
    WHERE refund_of IS NOT NULL;
CREATE INDEX ix_usage_history_user_id ON credits.usage_history (user_id, timestamp, id);
COMMENT ON TABLE credits.usage_history IS 'Charges and refunds.';
COMMENT ON COLUMN credits.usage_history.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN credits.usage_history.user_id IS 'Whose credits.';
COMMENT ON COLUMN credits.usage_history.credit_balance_id IS 'The account.';
COMMENT ON COLUMN credits.usage_history.operation_type IS 'What they were spent on.';
COMMENT ON COLUMN credits.usage_history.credits_used IS 'Credits used; negative on a refund.';
COMMENT ON COLUMN credits.usage_history.action IS 'The verb: deduct, capture or refund.';
COMMENT ON COLUMN credits.usage_history.key IS 'The request''s idempotency key.';
COMMENT ON COLUMN credits.usage_history.balance_after IS 'credits_remaining right after.';
COMMENT ON COLUMN credits.usage_history.available_after IS 'What could be spent right after.';
COMMENT ON COLUMN credits.usage_history.is_priced IS
    'Whether the amount was the feature''s cost and not the caller''s.';
COMMENT ON COLUMN credits.usage_history.refund_of IS 'The charge that this refunds.';
COMMENT ON COLUMN credits.usage_history.grant_id IS
    'The grant that paid a charge whole; usage_allocations has the others.';
COMMENT ON COLUMN credits.usage_history.details IS 'What the caller noted.';
COMMENT ON COLUMN credits.usage_history.timestamp IS 'When it happened.';

CREATE TABLE credits.usage_allocations (
    usage_id UUID NOT NULL,
    grant_id UUID NOT NULL,
    amount INTEGER NOT NULL,
    CONSTRAINT pk_usage_allocations PRIMARY KEY (usage_id, grant_id),
    CONSTRAINT ck_usage_allocations_amount CHECK (amount <> 0),
    CONSTRAINT fk_usage_allocations_usage_id_usage_history FOREIGN KEY(usage_id)
        REFERENCES credits.usage_history (id) ON DELETE RESTRICT,
    CONSTRAINT fk_usage_allocations_grant_id_credit_grants FOREIGN KEY(grant_id)
        REFERENCES credits.credit_grants (id) ON DELETE RESTRICT
);

CREATE INDEX ix_usage_allocations_grant_id ON credits.usage_allocations (grant_id);
COMMENT ON TABLE credits.usage_allocations IS
    'Which grants paid for charges that name none, and got refunds back.';
COMMENT ON COLUMN credits.usage_allocations.usage_id IS 'The charge or refund.';
COMMENT ON COLUMN credits.usage_allocations.grant_id IS 'The grant that paid, or got back.';
COMMENT ON COLUMN credits.usage_allocations.amount IS 'Credits; negative on a refund.';

CREATE VIEW credits.payments WITH (security_invoker = true) AS
    SELECT h.id AS usage_id, h.grant_id, h.credits_used AS amount
    FROM credits.usage_history h WHERE h.grant_id IS NOT NULL
    UNION ALL
    SELECT a.usage_id, a.grant_id, a.amount FROM credits.usage_allocations a;
COMMENT ON VIEW credits.payments IS 'Which grants paid for which charges, and got refunds back.';
COMMENT ON COLUMN credits.payments.usage_id IS 'The charge or refund.';
COMMENT ON COLUMN credits.payments.grant_id IS 'The grant that paid, or got back.';
COMMENT ON COLUMN credits.payments.amount IS 'Credits; negative on a refund.';

CREATE TABLE credits.credit_expirations (
    id UUID NOT NULL,
    credit_balance_id UUID NOT NULL,
    grant_id UUID NOT NULL,
    amount INTEGER NOT NULL,
    expired_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_credit_expirations PRIMARY KEY (id),
    CONSTRAINT ck_credit_expirations_amount CHECK (amount > 0),
    CONSTRAINT fk_credit_expirations_credit_balance_id_credit_balances
        FOREIGN KEY(credit_balance_id)
        REFERENCES credits.credit_balances (id) ON DELETE RESTRICT,
    CONSTRAINT fk_credit_expirations_grant_id_credit_grants FOREIGN KEY(grant_id)
        REFERENCES credits.credit_grants (id) ON DELETE RESTRICT
);

CREATE INDEX ix_credit_expirations_credit_balance_id
    ON credits.credit_expirations (credit_balance_id, expired_at);
CREATE INDEX ix_credit_expirations_grant_id ON credits.credit_expirations (grant_id);
COMMENT ON TABLE credits.credit_expirations IS 'Credits that expired unused.';
COMMENT ON COLUMN credits.credit_expirations.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN credits.credit_expirations.credit_balance_id IS 'The account.';
COMMENT ON COLUMN credits.credit_expirations.grant_id IS 'The grant.';
COMMENT ON COLUMN credits.credit_expirations.amount IS 'Credits that expired.';
COMMENT ON COLUMN credits.credit_expirations.expired_at IS
    'The instant from which they could not be used.';
COMMENT ON COLUMN credits.credit_expirations.created_at IS 'When it was booked.';
"""

# Both tables change with every charge: room in their pages keeps those changes off the indexes.
ROOM = """
ALTER TABLE credits.credit_balances SET (fillfactor = 70);
ALTER TABLE credits.credit_grants SET (fillfactor = 70);
"""

# A host's users table has no Clerk key that could be followed. Of ours, the foreign key cascades a
# key that changes; one that comes later refers to nothing before, so nothing cascades.
CLERK = """
ALTER TABLE credits.credit_balances
    ADD CONSTRAINT fk_credit_balances_user_id_clerk_user_id_users
    FOREIGN KEY (user_id, clerk_user_id) REFERENCES auth.users (id, clerk_id) ON UPDATE CASCADE;

CREATE FUNCTION credits.follow_clerk_id() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE credits.credit_balances
    SET clerk_user_id = NEW.clerk_id, updated_at = bedplate.now()
    WHERE user_id = NEW.id AND clerk_user_id IS DISTINCT FROM NEW.clerk_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION credits.follow_clerk_id() IS
    'Takes a user''s new key at Clerk over into the account.';
REVOKE ALL ON FUNCTION credits.follow_clerk_id() FROM PUBLIC;
CREATE TRIGGER tr_users_follow_clerk_id AFTER UPDATE ON auth.users
    FOR EACH ROW WHEN (NEW.clerk_id IS DISTINCT FROM OLD.clerk_id)
    EXECUTE FUNCTION credits.follow_clerk_id();
"""

LEDGER = (
    "credit_balances",
    "credit_grants",
    "usage_history",
    "usage_allocations",
    "credit_expirations",
)


def upgrade() -> None:
    """Create the ledger; the app's role reads it, and writes through the functions to come."""
    run = lines.current().execute
    run(TYPES)
    for text in (ACCOUNTS, HISTORY):
        run(lines.with_places(text))
    run(ROOM)
    if not lines.is_bound("users"):
        run(CLERK)
    lines.grant(*LEDGER, "payments", privileges=("SELECT",))
    lines.append_only("usage_history", "usage_allocations", "credit_expirations")
    lines.guard("credit_balances", "user_id", privileges=("SELECT",))
    lines.guard("usage_history", "user_id", privileges=("SELECT",))


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    if not lines.is_bound("users"):
        run("DROP TRIGGER tr_users_follow_clerk_id ON auth.users")
        run("DROP FUNCTION credits.follow_clerk_id()")
    run("DROP VIEW credits.payments")
    for table in reversed(LEDGER):
        run(f"DROP TABLE credits.{table}")
    run("DROP TYPE credits.operation_type")
