"""Holds, settings and features; and the audit log of it all."""

from __future__ import annotations

from bedplate.kernel import audit, lines
from bedplate.kernel.footprint import Footprint

revision = "0002_holds_and_features"
down_revision = "0001_accounts"

touches = Footprint(behaviour=["credits.credit_balances", "credits.credit_grants"])

HOLDS = """
CREATE TABLE credits.credit_holds (
    id UUID NOT NULL,
    credit_balance_id UUID NOT NULL,
    operation_type credits.operation_type NOT NULL,
    key VARCHAR(255) NOT NULL,
    amount INTEGER NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    is_priced BOOLEAN DEFAULT false NOT NULL,
    available_after INTEGER NOT NULL,
    details JSONB,
    state VARCHAR DEFAULT 'OPEN' NOT NULL,
    usage_id UUID,
    ended_at TIMESTAMP WITH TIME ZONE,
    balance_after INTEGER,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_credit_holds PRIMARY KEY (id),
    CONSTRAINT uq_credit_holds_credit_balance_id_key UNIQUE (credit_balance_id, key),
    CONSTRAINT ck_credit_holds_amount CHECK (amount >= 0),
    CONSTRAINT ck_credit_holds_key CHECK (key <> ''),
    CONSTRAINT ck_credit_holds_state CHECK (state IN ('OPEN', 'CAPTURED', 'RELEASED', 'EXPIRED')),
    CONSTRAINT ck_credit_holds_ended CHECK ((state = 'OPEN') = (ended_at IS NULL)),
    CONSTRAINT ck_credit_holds_captured CHECK ((state = 'CAPTURED') = (usage_id IS NOT NULL)),
    CONSTRAINT fk_credit_holds_credit_balance_id_credit_balances FOREIGN KEY(credit_balance_id)
        REFERENCES credits.credit_balances (id) ON DELETE RESTRICT,
    CONSTRAINT fk_credit_holds_usage_id_usage_history FOREIGN KEY(usage_id)
        REFERENCES credits.usage_history (id) ON DELETE RESTRICT
);

CREATE INDEX ix_credit_holds_open
    ON credits.credit_holds (credit_balance_id, expires_at)
    WHERE state = 'OPEN';
CREATE INDEX ix_credit_holds_usage_id
    ON credits.credit_holds (usage_id)
    WHERE usage_id IS NOT NULL;
COMMENT ON TABLE credits.credit_holds IS 'Credits set aside for charges to come.';
COMMENT ON COLUMN credits.credit_holds.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN credits.credit_holds.credit_balance_id IS 'The account.';
COMMENT ON COLUMN credits.credit_holds.operation_type IS 'What they are set aside for.';
COMMENT ON COLUMN credits.credit_holds.key IS 'The request''s idempotency key.';
COMMENT ON COLUMN credits.credit_holds.amount IS 'Credits set aside.';
COMMENT ON COLUMN credits.credit_holds.expires_at IS 'From when it can no longer be captured.';
COMMENT ON COLUMN credits.credit_holds.is_priced IS
    'Whether the amount was the feature''s cost and not the caller''s.';
COMMENT ON COLUMN credits.credit_holds.available_after IS 'What could be spent right after.';
COMMENT ON COLUMN credits.credit_holds.details IS 'What the caller noted.';
COMMENT ON COLUMN credits.credit_holds.state IS 'OPEN, CAPTURED, RELEASED or EXPIRED.';
COMMENT ON COLUMN credits.credit_holds.usage_id IS 'The charge that captured it.';
COMMENT ON COLUMN credits.credit_holds.ended_at IS 'When it stopped being open.';
COMMENT ON COLUMN credits.credit_holds.balance_after IS
    'credits_remaining right after it was released or expired.';
COMMENT ON COLUMN credits.credit_holds.created_at IS 'When it was made.';

CREATE TABLE credits.hold_allocations (
    hold_id UUID NOT NULL,
    grant_id UUID NOT NULL,
    amount INTEGER NOT NULL,
    CONSTRAINT pk_hold_allocations PRIMARY KEY (hold_id, grant_id),
    CONSTRAINT ck_hold_allocations_amount CHECK (amount > 0),
    CONSTRAINT fk_hold_allocations_hold_id_credit_holds FOREIGN KEY(hold_id)
        REFERENCES credits.credit_holds (id) ON DELETE RESTRICT,
    CONSTRAINT fk_hold_allocations_grant_id_credit_grants FOREIGN KEY(grant_id)
        REFERENCES credits.credit_grants (id) ON DELETE RESTRICT
);

CREATE INDEX ix_hold_allocations_grant_id ON credits.hold_allocations (grant_id);
COMMENT ON TABLE credits.hold_allocations IS 'Which grants the credits of holds belong to.';
COMMENT ON COLUMN credits.hold_allocations.hold_id IS 'The hold.';
COMMENT ON COLUMN credits.hold_allocations.grant_id IS 'The grant.';
COMMENT ON COLUMN credits.hold_allocations.amount IS
    'Credits of the grant that the hold sets aside.';
"""

FEATURES = """
CREATE TABLE credits.admin_settings (
    id VARCHAR DEFAULT 'singleton' NOT NULL,
    feature_costs JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_admin_settings PRIMARY KEY (id),
    CONSTRAINT ck_admin_settings_singleton CHECK (id = 'singleton')
);

COMMENT ON TABLE credits.admin_settings IS 'Settings that administrators change while it runs.';
COMMENT ON COLUMN credits.admin_settings.id IS 'Always ''singleton''.';
COMMENT ON COLUMN credits.admin_settings.feature_costs IS
    'Credits per operation, by OperationType.';
COMMENT ON COLUMN credits.admin_settings.created_at IS 'When the row was made.';
COMMENT ON COLUMN credits.admin_settings.updated_at IS 'When the row was last changed.';

CREATE TABLE credits.features (
    id UUID NOT NULL,
    name VARCHAR NOT NULL,
    workspace_id VARCHAR DEFAULT 'default' NOT NULL,
    description VARCHAR,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_features PRIMARY KEY (id)
);

CREATE INDEX ix_features_workspace_id ON credits.features (workspace_id);
COMMENT ON TABLE credits.features IS 'Features of the product.';
COMMENT ON COLUMN credits.features.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN credits.features.name IS 'What the feature is called.';
COMMENT ON COLUMN credits.features.workspace_id IS 'The workspace it belongs to.';
COMMENT ON COLUMN credits.features.description IS 'What it does.';
COMMENT ON COLUMN credits.features.tags IS 'Labels.';
COMMENT ON COLUMN credits.features.created_at IS 'When the row was made.';
COMMENT ON COLUMN credits.features.updated_at IS 'When the row was last changed.';

INSERT INTO credits.admin_settings DEFAULT VALUES;
"""

ACTIONS = (
    "ACCOUNT_OPENED",
    "CREDITS_GRANTED",
    "CREDITS_DEDUCTED",
    "CREDITS_REFUNDED",
    "CREDITS_RESERVED",
    "CREDITS_CAPTURED",
    "CREDITS_RELEASED",
    "CREDITS_EXPIRED",
    "FEATURE_COSTS_SET",
)
CAPTURED = ("credit_balances", "credit_grants", "admin_settings", "features")


def upgrade() -> None:
    """Create the tables, and record what is changed outside of the verbs."""
    run = lines.current().execute
    run(HOLDS)
    run(FEATURES)
    lines.grant("credit_holds", "hold_allocations", privileges=("SELECT",))
    lines.grant("admin_settings", privileges=("SELECT", "UPDATE"))
    lines.grant("features")
    lines.append_only("hold_allocations")
    audit.create_log(ACTIONS, captures=True, app_records=False)
    for table in CAPTURED:
        audit.capture(table)


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    audit.release(*CAPTURED)
    audit.drop_log()
    for table in ("features", "admin_settings", "hold_allocations", "credit_holds"):
        run(f"DROP TABLE credits.{table}")
