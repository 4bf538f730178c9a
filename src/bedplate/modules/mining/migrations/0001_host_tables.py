"""The six tables of a mining host, those that the project adopts left as they are."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0001_host_tables"
down_revision = None

TABLES = {
    "spaces": """
CREATE TABLE mining.spaces (
    id UUID NOT NULL,
    name VARCHAR NOT NULL,
    location VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_spaces PRIMARY KEY (id),
    CONSTRAINT uq_spaces_name UNIQUE (name)
);
COMMENT ON TABLE mining.spaces IS 'Rooms in which miners stand.';
COMMENT ON COLUMN mining.spaces.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN mining.spaces.name IS 'What the space is called.';
COMMENT ON COLUMN mining.spaces.location IS 'Where it is.';
COMMENT ON COLUMN mining.spaces.created_at IS 'When the row was made.';
COMMENT ON COLUMN mining.spaces.updated_at IS 'When the row was last changed.';
""",
    "hardware": """
CREATE TABLE mining.hardware (
    id UUID NOT NULL,
    name VARCHAR NOT NULL,
    hash_rate_ths NUMERIC(10, 2) NOT NULL,
    power_watts INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_hardware PRIMARY KEY (id),
    CONSTRAINT uq_hardware_name UNIQUE (name),
    CONSTRAINT ck_hardware_hash_rate_ths CHECK (hash_rate_ths BETWEEN 0.01 AND 99999999.99),
    CONSTRAINT ck_hardware_power_watts CHECK (power_watts > 0)
);
COMMENT ON TABLE mining.hardware IS 'Kinds of machines.';
COMMENT ON COLUMN mining.hardware.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN mining.hardware.name IS 'The maker''s name of the machine.';
COMMENT ON COLUMN mining.hardware.hash_rate_ths IS 'Hash rate in terahashes per second.';
COMMENT ON COLUMN mining.hardware.power_watts IS 'Power it draws, in watts.';
COMMENT ON COLUMN mining.hardware.created_at IS 'When the row was made.';
COMMENT ON COLUMN mining.hardware.updated_at IS 'When the row was last changed.';
""",
    "miners": """
CREATE TABLE mining.miners (
    id UUID NOT NULL,
    user_id {users_key} NOT NULL,
    name VARCHAR,
    status VARCHAR DEFAULT 'ACTIVE' NOT NULL,
    hardware_id {hardware_key},
    space_id {spaces_key},
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_miners PRIMARY KEY (id),
    CONSTRAINT ck_miners_status CHECK (status IN ('ACTIVE', 'MAINTENANCE', 'RETIRED')),
    CONSTRAINT fk_miners_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT,
    CONSTRAINT fk_miners_hardware_id_hardware FOREIGN KEY(hardware_id)
        REFERENCES {hardware} ON DELETE RESTRICT,
    CONSTRAINT fk_miners_space_id_spaces FOREIGN KEY(space_id)
        REFERENCES {spaces} ON DELETE RESTRICT
);
CREATE INDEX ix_miners_hardware_id ON mining.miners (hardware_id);
CREATE INDEX ix_miners_space_id ON mining.miners (space_id);
CREATE INDEX ix_miners_user_id ON mining.miners (user_id);
COMMENT ON TABLE mining.miners IS 'Machines of customers.';
COMMENT ON COLUMN mining.miners.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN mining.miners.user_id IS 'Whose it is.';
COMMENT ON COLUMN mining.miners.name IS 'What its owner calls it.';
COMMENT ON COLUMN mining.miners.status IS 'ACTIVE, MAINTENANCE or RETIRED.';
COMMENT ON COLUMN mining.miners.hardware_id IS 'Its kind.';
COMMENT ON COLUMN mining.miners.space_id IS 'Its place.';
COMMENT ON COLUMN mining.miners.created_at IS 'When the row was made.';
COMMENT ON COLUMN mining.miners.updated_at IS 'When the row was last changed.';
""",
    "miner_rate_history": """
CREATE TABLE mining.miner_rate_history (
    id UUID NOT NULL,
    miner_id {miners_key} NOT NULL,
    rate NUMERIC(10, 2) NOT NULL,
    effective_from DATE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_miner_rate_history PRIMARY KEY (id),
    CONSTRAINT uq_miner_rate_history_miner_id_effective_from UNIQUE (miner_id, effective_from),
    CONSTRAINT ck_miner_rate_history_rate CHECK (rate BETWEEN 0 AND 99999999.99),
    CONSTRAINT fk_miner_rate_history_miner_id_miners FOREIGN KEY(miner_id)
        REFERENCES {miners} ON DELETE CASCADE
);
COMMENT ON TABLE mining.miner_rate_history IS 'Rates of miners over time.';
COMMENT ON COLUMN mining.miner_rate_history.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN mining.miner_rate_history.miner_id IS 'Whose rate it is.';
COMMENT ON COLUMN mining.miner_rate_history.rate IS 'Rate per day.';
COMMENT ON COLUMN mining.miner_rate_history.effective_from IS 'The first day of the rate.';
COMMENT ON COLUMN mining.miner_rate_history.created_at IS 'When the row was made.';
""",
    "cost_payments": """
CREATE TABLE mining.cost_payments (
    id UUID NOT NULL,
    user_id {users_key} NOT NULL,
    amount NUMERIC(12, 2) NOT NULL,
    reference VARCHAR,
    paid_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_cost_payments PRIMARY KEY (id),
    CONSTRAINT ck_cost_payments_amount CHECK (amount BETWEEN 0.01 AND 9999999999.99),
    CONSTRAINT fk_cost_payments_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT
);
CREATE INDEX ix_cost_payments_user_id ON mining.cost_payments (user_id, paid_at);
COMMENT ON TABLE mining.cost_payments IS 'Money that came in.';
COMMENT ON COLUMN mining.cost_payments.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN mining.cost_payments.user_id IS 'Who paid.';
COMMENT ON COLUMN mining.cost_payments.amount IS 'What was paid.';
COMMENT ON COLUMN mining.cost_payments.reference IS 'What the bank or the customer wrote on it.';
COMMENT ON COLUMN mining.cost_payments.paid_at IS 'When it was paid.';
COMMENT ON COLUMN mining.cost_payments.created_at IS 'When the row was made.';
""",
    "user_activities": """
CREATE TABLE mining.user_activities (
    id UUID NOT NULL,
    user_id {users_key} NOT NULL,
    kind VARCHAR NOT NULL,
    details JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_user_activities PRIMARY KEY (id),
    CONSTRAINT fk_user_activities_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT
);
CREATE INDEX ix_user_activities_user_id ON mining.user_activities (user_id, created_at);
COMMENT ON TABLE mining.user_activities IS 'What customers did.';
COMMENT ON COLUMN mining.user_activities.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN mining.user_activities.user_id IS 'Who did it.';
COMMENT ON COLUMN mining.user_activities.kind IS 'What was done, such as LOGIN.';
COMMENT ON COLUMN mining.user_activities.details IS 'What else is known of it.';
COMMENT ON COLUMN mining.user_activities.created_at IS 'When it was done.';
""",
}
OWNED = ("miners", "cost_payments", "user_activities")


def upgrade() -> None:
    """Create the tables that are not bound to a host's, in the order in which they refer."""
    for name, text in TABLES.items():
        if lines.is_bound(name):
            continue
        lines.current().execute(lines.with_places(text))
        lines.grant(name)
        if name in OWNED:
            lines.guard(name, "user_id", privileges=("SELECT",))


def downgrade() -> None:
    """Drop what upgrade() made."""
    for name in reversed(TABLES):
        if not lines.is_bound(name):
            lines.current().execute(f"DROP TABLE mining.{name}")
