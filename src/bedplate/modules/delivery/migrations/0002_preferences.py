"""What addressees want, and who changed it."""

from __future__ import annotations

from bedplate.kernel import audit, lines

revision = "0002_preferences"
down_revision = "0001_outgoing_mails"

PREFERENCES = """
CREATE TABLE delivery.mail_preferences (
    id UUID NOT NULL,
    user_id {user_key},
    address TEXT,
    category TEXT NOT NULL,
    is_wanted BOOLEAN NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_mail_preferences PRIMARY KEY (id),
    CONSTRAINT ck_mail_preferences_one CHECK (num_nonnulls(user_id, address) = 1),
    CONSTRAINT ck_mail_preferences_address
        CHECK (address = lower(address) AND length(address) BETWEEN 3 AND 254),
    CONSTRAINT fk_mail_preferences_user_id_users FOREIGN KEY (user_id)
        REFERENCES {users} ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_mail_preferences_user_id_category
    ON delivery.mail_preferences (user_id, category) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX uq_mail_preferences_address_category
    ON delivery.mail_preferences (address, category) WHERE address IS NOT NULL;
COMMENT ON TABLE delivery.mail_preferences IS 'Which mail is wanted.';
COMMENT ON COLUMN delivery.mail_preferences.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN delivery.mail_preferences.user_id IS
    'Whose preference, where it is a user''s.';
COMMENT ON COLUMN delivery.mail_preferences.address IS
    'The address, in lower case, where it is one''s.';
COMMENT ON COLUMN delivery.mail_preferences.category IS 'What kind of mail.';
COMMENT ON COLUMN delivery.mail_preferences.is_wanted IS 'Whether it is to be sent.';
COMMENT ON COLUMN delivery.mail_preferences.created_at IS 'When the row was made.';
COMMENT ON COLUMN delivery.mail_preferences.updated_at IS 'When the row was last changed.';
"""

QUIET_HOURS = """
CREATE TABLE delivery.mail_quiet_hours (
    id UUID NOT NULL,
    user_id {user_key},
    address TEXT,
    starts_at TIME WITHOUT TIME ZONE NOT NULL,
    ends_at TIME WITHOUT TIME ZONE NOT NULL,
    time_zone TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_mail_quiet_hours PRIMARY KEY (id),
    CONSTRAINT ck_mail_quiet_hours_one CHECK (num_nonnulls(user_id, address) = 1),
    CONSTRAINT ck_mail_quiet_hours_address
        CHECK (address = lower(address) AND length(address) BETWEEN 3 AND 254),
    CONSTRAINT ck_mail_quiet_hours_hours CHECK (starts_at <> ends_at),
    CONSTRAINT fk_mail_quiet_hours_user_id_users FOREIGN KEY (user_id)
        REFERENCES {users} ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_mail_quiet_hours_user_id
    ON delivery.mail_quiet_hours (user_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX uq_mail_quiet_hours_address
    ON delivery.mail_quiet_hours (address) WHERE address IS NOT NULL;
COMMENT ON TABLE delivery.mail_quiet_hours IS 'When mail has to wait.';
COMMENT ON COLUMN delivery.mail_quiet_hours.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN delivery.mail_quiet_hours.user_id IS 'Whose hours, where they are a user''s.';
COMMENT ON COLUMN delivery.mail_quiet_hours.address IS
    'The address, in lower case, where they are one''s.';
COMMENT ON COLUMN delivery.mail_quiet_hours.starts_at IS
    'Local time from which nothing is sent.';
COMMENT ON COLUMN delivery.mail_quiet_hours.ends_at IS
    'Local time from which mail goes again.';
COMMENT ON COLUMN delivery.mail_quiet_hours.time_zone IS 'The zone, such as Europe/Berlin.';
COMMENT ON COLUMN delivery.mail_quiet_hours.created_at IS 'When the row was made.';
COMMENT ON COLUMN delivery.mail_quiet_hours.updated_at IS 'When the row was last changed.';
"""

TABLES = ("mail_preferences", "mail_quiet_hours")


def upgrade() -> None:
    """Create the preferences and the log of what happens to them."""
    run = lines.current().execute
    run(lines.with_places(PREFERENCES))
    run(lines.with_places(QUIET_HOURS))
    lines.grant(*TABLES)
    audit.create_log(("UNSUBSCRIBED", "MAIL_CANCELLED", "MAIL_RETRIED"), captures=True)
    for table in TABLES:
        audit.capture(table)


def downgrade() -> None:
    """Drop what upgrade() made."""
    audit.release(*TABLES)
    audit.drop_log()
    for table in reversed(TABLES):
        lines.current().execute(f"DROP TABLE delivery.{table}")
