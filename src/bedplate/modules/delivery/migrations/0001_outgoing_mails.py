"""Mail on its way, and the law of what may become of it."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from bedplate.kernel import lines
from bedplate.kernel.leased import leased_columns, leased_rules

revision = "0001_outgoing_mails"
down_revision = None

RULES = {
    "dedupe_key": "length(dedupe_key) BETWEEN 1 AND 255",
    "recipient": "length(recipient) BETWEEN 3 AND 254",
    "header": "(recipient || coalesce(reply_to, '') || subject) !~ '[[:cntrl:]]'",
    "content_hash": "length(content_hash) = 32",
    "status": "status IN ('PENDING', 'SENT', 'FAILED', 'BOUNCED', 'UNSUBSCRIBED')",
    "settled": "(state = 'SUCCEEDED') = (status IN ('SENT', 'BOUNCED', 'UNSUBSCRIBED'))",
    "given_up": ("CASE WHEN state IN ('FAILED', 'CANCELLED') THEN status = 'FAILED' ELSE true END"),
    "next_retry_at": "(next_retry_at IS NOT NULL) = (status = 'FAILED' AND state = 'PENDING')",
    "sent_at": (
        "CASE status WHEN 'SENT' THEN sent_at IS NOT NULL WHEN 'PENDING' THEN sent_at IS NULL"
        " WHEN 'FAILED' THEN sent_at IS NULL ELSE true END"
    ),
    "mandatory": "status <> 'UNSUBSCRIBED' OR NOT is_mandatory",
    "retry_count": "retry_count < max_attempts",
}

# The work's state is what leases write; the mail's status follows it here, so that whoever writes,
# and a crash too, leaves the two in step. What a mail says and to whom is as it was asked for.
KEEP = """
CREATE FUNCTION delivery.keep_mail() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF (NEW.state, NEW.status, NEW.attempts, NEW.epoch, NEW.errors)
            IS DISTINCT FROM ('PENDING', 'PENDING', 0::smallint, 0::bigint, '[]'::jsonb)
            OR num_nonnulls(NEW.sent_at, NEW.opened_at, NEW.failure_reason) > 0 THEN
            RAISE EXCEPTION 'A mail begins as PENDING, and nothing became of it yet.' USING
                ERRCODE = '23514', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                CONSTRAINT = 'initial';
        END IF;
        NEW.tried_from := NEW.run_at;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.dedupe_key, NEW.category, NEW.is_mandatory, NEW.is_on_by_default,
            NEW.is_urgent, NEW.recipient, NEW.reply_to, NEW.subject, NEW.body_text,
            NEW.body_html, NEW.content_hash, NEW.created_at)
        IS DISTINCT FROM
        (OLD.id, OLD.dedupe_key, OLD.category, OLD.is_mandatory, OLD.is_on_by_default,
            OLD.is_urgent, OLD.recipient, OLD.reply_to, OLD.subject, OLD.body_text,
            OLD.body_html, OLD.content_hash, OLD.created_at)
        OR (NEW.user_id IS NOT NULL AND NEW.user_id IS DISTINCT FROM OLD.user_id)
        OR (OLD.opened_at IS NOT NULL AND NEW.opened_at IS DISTINCT FROM OLD.opened_at)
        OR NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'What a mail says, to whom and when it was opened does not change.'
            USING ERRCODE = '23514', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                CONSTRAINT = 'frozen';
    END IF;

    -- What is tried anew by hand has all its time again.
    NEW.tried_from := CASE WHEN OLD.state = 'FAILED' AND NEW.state = 'PENDING'
        THEN bedplate.clock() ELSE OLD.tried_from END;
    v_last := NEW.errors -> -1 ->> 'message';
    IF NEW.errors IS DISTINCT FROM OLD.errors THEN
        NEW.failure_reason := v_last;
    END IF;
    IF NEW.state <> OLD.state THEN
        IF NEW.state = 'RUNNING' OR OLD.state = 'FAILED' THEN
            NEW.status := 'PENDING';
            NEW.next_retry_at := NULL;
            IF OLD.state = 'FAILED' THEN
                NEW.failure_reason := NULL;
            END IF;
        ELSIF NEW.state = 'PENDING' AND NEW.errors IS DISTINCT FROM OLD.errors THEN
            NEW.status := 'FAILED';
            NEW.next_retry_at := NEW.run_at;
        ELSIF NEW.state IN ('FAILED', 'CANCELLED') THEN
            NEW.status := 'FAILED';
            NEW.next_retry_at := NULL;
            IF NEW.state = 'CANCELLED' THEN
                NEW.failure_reason := 'It was cancelled.';
            END IF;
        END IF;
        IF NOT (CASE OLD.state
            WHEN 'PENDING' THEN NEW.state IN ('RUNNING', 'CANCELLED')
            WHEN 'RUNNING' THEN true
            WHEN 'FAILED' THEN NEW.state = 'PENDING'
            ELSE false END) THEN
            RAISE EXCEPTION 'The work on a mail does not go from % to %.', OLD.state, NEW.state
                USING ERRCODE = '23514', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                    CONSTRAINT = 'transition';
        END IF;
    END IF;
    IF NEW.status <> OLD.status AND NOT (CASE OLD.status
        WHEN 'PENDING' THEN NEW.status IN ('SENT', 'FAILED', 'BOUNCED', 'UNSUBSCRIBED')
        WHEN 'FAILED' THEN NEW.status = 'PENDING' AND NEW.attempts <= NEW.max_attempts
        WHEN 'SENT' THEN NEW.status IN ('BOUNCED', 'UNSUBSCRIBED')
        ELSE false END) THEN
        RAISE EXCEPTION 'A mail does not go from % to %.', OLD.status, NEW.status
            USING ERRCODE = '23514', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                CONSTRAINT = 'transition';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION delivery.keep_mail() FROM PUBLIC;
COMMENT ON FUNCTION delivery.keep_mail() IS
    'Keep what a mail says, its status to its transitions, and both in step with its work.';
CREATE TRIGGER tr_outgoing_mails_keep BEFORE INSERT OR UPDATE ON delivery.outgoing_mails
    FOR EACH ROW EXECUTE FUNCTION delivery.keep_mail();
"""

# Beside the trigger: the app's role cannot even name the columns of what was asked for.
CHANGING = """
GRANT UPDATE (state, run_at, attempts, epoch, holder, expires_at, cancel_requested_at, finished_at,
    errors, status, next_retry_at, failure_reason, sent_at, opened_at)
    ON delivery.outgoing_mails TO {role:app}
"""


def upgrade() -> None:
    """Create the mails and the trigger that keeps them, the attachments and the tokens."""
    _mails()
    _attachments()
    _tokens()
    lines.current().execute(KEEP)
    lines.grant("outgoing_mails", "mail_attachments", privileges=("SELECT", "INSERT"))
    lines.execute(CHANGING)
    lines.grant("mail_tokens", privileges=("SELECT", "INSERT", "DELETE"))


def _mails() -> None:
    op.create_table(
        "outgoing_mails",
        sa.Column("id", sa.Uuid, nullable=False, comment="Key (UUIDv7)."),
        _text("dedupe_key", "One mail per key, for good."),
        _text("category", "What kind of mail: accounting.reminder."),
        _flag("is_mandatory", "Sent whatever the addressee wants."),
        _flag("is_on_by_default", "Wanted by who said nothing."),
        _flag("is_urgent", "Sent in quiet hours too."),
        sa.Column(
            "user_id",
            lines.key_type("users"),
            comment="Whose mail it is, where it is a user's.",
        ),
        _text("recipient", "The address it goes to."),
        sa.Column("reply_to", sa.Text, comment="Where an answer goes."),
        _text("subject", "Its subject."),
        _text("body_text", "Its plain text."),
        sa.Column("body_html", sa.Text, comment="The same in HTML."),
        sa.Column(
            "content_hash",
            sa.LargeBinary,
            nullable=False,
            comment="SHA-256 of the letter and what is attached to it.",
        ),
        sa.Column(
            "status",
            sa.Text,
            nullable=False,
            server_default="PENDING",
            comment="What became of it; see MailStatus.",
        ),
        *leased_columns(),
        sa.Column(
            "retry_count",
            sa.SmallInteger,
            sa.Computed("greatest(attempts - 1, 0)", persisted=True),
            nullable=False,
            comment="Attempts after the first.",
        ),
        _since("tried_from", "When it was first to go; from then on an outage is waited for."),
        _moment("next_retry_at", "When it is tried again, while it is FAILED."),
        sa.Column("failure_reason", sa.Text, comment="What the last failure was."),
        _moment("sent_at", "When a server accepted it."),
        _moment("opened_at", "When it was first opened, as far as that shows."),
        sa.Column(
            "is_read",
            sa.Boolean,
            sa.Computed("opened_at IS NOT NULL", persisted=True),
            nullable=False,
            comment="Whether it was opened.",
        ),
        _since("created_at", "When it was asked for."),
        sa.PrimaryKeyConstraint("id", name="pk_outgoing_mails"),
        sa.UniqueConstraint("dedupe_key", name="uq_outgoing_mails_dedupe_key"),
        *(sa.CheckConstraint(law, f"ck_outgoing_mails_{name}") for name, law in RULES.items()),
        schema="delivery",
        comment="Mail on its way, and mail that went.",
    )
    leased_rules("outgoing_mails")
    _mail_indexes()


def _mail_indexes() -> None:
    run = lines.current().execute
    run(
        lines.with_places(
            "ALTER TABLE delivery.outgoing_mails"
            " ADD CONSTRAINT fk_outgoing_mails_user_id_users"
            " FOREIGN KEY (user_id) REFERENCES {users} ON DELETE SET NULL"
        )
    )
    run(
        "CREATE INDEX ix_outgoing_mails_recipient"
        " ON delivery.outgoing_mails (recipient, created_at)"
    )
    run(
        "CREATE INDEX ix_outgoing_mails_user_id ON delivery.outgoing_mails (user_id, created_at)"
        " WHERE user_id IS NOT NULL"
    )
    run("CREATE INDEX ix_outgoing_mails_status ON delivery.outgoing_mails (status, created_at)")


def _attachments() -> None:
    op.create_table(
        "mail_attachments",
        sa.Column("mail_id", sa.Uuid, nullable=False, comment="The mail."),
        sa.Column(
            "position",
            sa.SmallInteger,
            autoincrement=False,
            nullable=False,
            comment="Its place, from 1.",
        ),
        _text("filename", "Its name in the mail."),
        _text("content_type", "Its kind, such as application/pdf."),
        sa.Column("content", sa.LargeBinary, nullable=False, comment="Its bytes."),
        sa.PrimaryKeyConstraint("mail_id", "position", name="pk_mail_attachments"),
        sa.CheckConstraint("position > 0", "ck_mail_attachments_position"),
        sa.CheckConstraint(
            "(filename || content_type) !~ '[[:cntrl:]]'", "ck_mail_attachments_header"
        ),
        _of_mail("mail_attachments"),
        schema="delivery",
        comment="Files that go along with mail.",
    )


def _tokens() -> None:
    op.create_table(
        "mail_tokens",
        sa.Column("id", sa.Uuid, nullable=False, comment="Key (UUIDv7)."),
        sa.Column("token_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of the token."),
        sa.Column("mail_id", sa.Uuid, nullable=False, comment="The mail."),
        _text("purpose", "OPEN or UNSUBSCRIBE."),
        _since("created_at", "When it was made."),
        sa.PrimaryKeyConstraint("id", name="pk_mail_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_mail_tokens_token_hash"),
        sa.CheckConstraint("length(token_hash) = 32", "ck_mail_tokens_token_hash"),
        sa.CheckConstraint("purpose IN ('OPEN', 'UNSUBSCRIBE')", "ck_mail_tokens_purpose"),
        _of_mail("mail_tokens"),
        schema="delivery",
        comment="Hashes of the tokens in mails' links.",
    )
    op.create_index("ix_mail_tokens_mail_id", "mail_tokens", ["mail_id"], schema="delivery")


def _text(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, comment=comment)


def _flag(name: str, comment: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, comment=comment)


def _moment(name: str, comment: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment)


def _since(name: str, comment: str) -> sa.Column[datetime]:
    now = sa.text("bedplate.now()")
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=now,
        comment=comment,
    )


def _of_mail(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["mail_id"],
        ["delivery.outgoing_mails.id"],
        f"fk_{table}_mail_id_outgoing_mails",
        ondelete="CASCADE",
    )


def downgrade() -> None:
    """Drop what upgrade() made."""
    for table in ("mail_tokens", "mail_attachments", "outgoing_mails"):
        op.drop_table(table, schema="delivery")
    lines.current().execute("DROP FUNCTION delivery.keep_mail()")
