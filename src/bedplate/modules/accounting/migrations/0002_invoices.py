"""Invoices, their payments, refunds, documents and messages."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0002_invoices"
down_revision = "0001_prices_and_templates"

TYPES = """
CREATE TYPE accounting.invoice_status AS ENUM (
    'DRAFT', 'ISSUED', 'OVERDUE', 'PAID', 'CANCELLED', 'REFUNDED'
);
COMMENT ON TYPE accounting.invoice_status IS 'Where an invoice stands.';
CREATE TYPE accounting.notification_type AS ENUM (
    'INVOICE_ISSUED', 'PAYMENT_REMINDER', 'OVERDUE_REMINDER', 'PAYMENT_RECEIVED', 'INVOICE_VIEWED'
);
COMMENT ON TYPE accounting.notification_type IS 'What a customer is told about an invoice.';
CREATE TYPE accounting.notification_status AS ENUM (
    'PENDING', 'SENT', 'FAILED', 'BOUNCED', 'UNSUBSCRIBED'
);
COMMENT ON TYPE accounting.notification_status IS 'How far a message came.';
"""

TABLES = {
    "invoices": """
CREATE TABLE accounting.invoices (
    id UUID NOT NULL,
    user_id {users_key} NOT NULL,
    total_miners INTEGER NOT NULL,
    unit_price NUMERIC(10, 2) NOT NULL,
    due_date DATE NOT NULL,
    invoice_number VARCHAR DEFAULT '' NOT NULL,
    total_amount NUMERIC(12, 2) GENERATED ALWAYS AS (total_miners * unit_price) STORED NOT NULL,
    status accounting.invoice_status DEFAULT 'DRAFT' NOT NULL,
    invoice_generated_date TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    issued_date TIMESTAMP WITH TIME ZONE,
    paid_date TIMESTAMP WITH TIME ZONE,
    paid_amount NUMERIC(12, 2) DEFAULT 0 NOT NULL,
    refunded_amount NUMERIC(12, 2) DEFAULT 0 NOT NULL,
    recurring_invoice_id UUID,
    billing_date DATE,
    created_by {users_key} NOT NULL,
    updated_by {users_key},
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_invoices PRIMARY KEY (id),
    CONSTRAINT uq_invoices_invoice_number UNIQUE (invoice_number),
    CONSTRAINT ck_invoices_total_miners CHECK (total_miners > 0),
    CONSTRAINT ck_invoices_unit_price CHECK (unit_price BETWEEN 0.01 AND 99999999.99),
    CONSTRAINT ck_invoices_paid_amount
        CHECK (paid_amount = 0 OR paid_amount BETWEEN 0 AND total_miners * unit_price),
    CONSTRAINT ck_invoices_refunded_amount CHECK (refunded_amount BETWEEN 0 AND paid_amount),
    CONSTRAINT ck_invoices_status
        CHECK (CASE status
            WHEN 'DRAFT' THEN paid_amount = 0 AND issued_date IS NULL
            WHEN 'CANCELLED' THEN paid_amount = 0
            WHEN 'ISSUED' THEN paid_amount < total_miners * unit_price AND issued_date IS NOT NULL
            WHEN 'OVERDUE' THEN paid_amount < total_miners * unit_price AND issued_date IS NOT NULL
            WHEN 'PAID' THEN paid_amount = total_miners * unit_price AND paid_date IS NOT NULL
            WHEN 'REFUNDED' THEN refunded_amount = total_miners * unit_price
            END),
    CONSTRAINT ck_invoices_billing_date
        CHECK ((recurring_invoice_id IS NULL) = (billing_date IS NULL)),
    CONSTRAINT fk_invoices_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT,
    CONSTRAINT fk_invoices_recurring_invoice_id_recurring_invoices FOREIGN KEY(recurring_invoice_id)
        REFERENCES accounting.recurring_invoices (id) ON DELETE RESTRICT,
    CONSTRAINT fk_invoices_created_by_users FOREIGN KEY(created_by)
        REFERENCES {users} ON DELETE RESTRICT,
    CONSTRAINT fk_invoices_updated_by_users FOREIGN KEY(updated_by)
        REFERENCES {users} ON DELETE RESTRICT
);
CREATE UNIQUE INDEX uq_invoices_recurring_invoice_id_month
    ON accounting.invoices (recurring_invoice_id, date_trunc('month', billing_date::timestamp));
CREATE INDEX ix_invoices_created_at ON accounting.invoices (created_at, id);
CREATE INDEX ix_invoices_created_by ON accounting.invoices (created_by);
CREATE INDEX ix_invoices_due_date ON accounting.invoices (due_date);
CREATE INDEX ix_invoices_issued_date ON accounting.invoices (issued_date);
CREATE INDEX ix_invoices_status ON accounting.invoices (status, due_date);
CREATE INDEX ix_invoices_updated_by ON accounting.invoices (updated_by);
CREATE INDEX ix_invoices_user_id ON accounting.invoices (user_id, created_at, id);
COMMENT ON TABLE accounting.invoices IS 'Invoices to customers.';
COMMENT ON COLUMN accounting.invoices.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN accounting.invoices.user_id IS 'The customer.';
COMMENT ON COLUMN accounting.invoices.total_miners IS 'How many miners are billed.';
COMMENT ON COLUMN accounting.invoices.unit_price IS 'Price of one miner.';
COMMENT ON COLUMN accounting.invoices.due_date IS
    'The last day to pay without being overdue, in the billing time zone.';
COMMENT ON COLUMN accounting.invoices.invoice_number IS
    'YYYYMMDD and the day''s serial once issued; DRAFT-<id> before.';
COMMENT ON COLUMN accounting.invoices.total_amount IS 'total_miners × unit_price, by the database.';
COMMENT ON COLUMN accounting.invoices.status IS 'Where it stands.';
COMMENT ON COLUMN accounting.invoices.invoice_generated_date IS 'When it was drafted.';
COMMENT ON COLUMN accounting.invoices.issued_date IS 'When it was issued.';
COMMENT ON COLUMN accounting.invoices.paid_date IS 'The date of the payment that closed it.';
COMMENT ON COLUMN accounting.invoices.paid_amount IS 'Sum of its payments. Ours.';
COMMENT ON COLUMN accounting.invoices.refunded_amount IS 'Sum of its refunds. Ours.';
COMMENT ON COLUMN accounting.invoices.recurring_invoice_id IS
    'The template it was made from. Ours.';
COMMENT ON COLUMN accounting.invoices.billing_date IS
    'The day of the template that it bills. Ours.';
COMMENT ON COLUMN accounting.invoices.created_by IS 'Who created it.';
COMMENT ON COLUMN accounting.invoices.updated_by IS 'Who changed it last.';
COMMENT ON COLUMN accounting.invoices.created_at IS 'When the row was made.';
COMMENT ON COLUMN accounting.invoices.updated_at IS 'When the row was last changed.';
""",
    "allocated_payments": """
CREATE TABLE accounting.allocated_payments (
    cost_payment_id {cost_payments_key} NOT NULL,
    amount_allocated NUMERIC(12, 2) NOT NULL,
    CONSTRAINT pk_allocated_payments PRIMARY KEY (cost_payment_id),
    CONSTRAINT ck_allocated_payments_amount_allocated
        CHECK (amount_allocated BETWEEN 0 AND 9999999999.99),
    CONSTRAINT fk_allocated_payments_cost_payment_id_cost_payments FOREIGN KEY(cost_payment_id)
        REFERENCES {cost_payments} ON DELETE RESTRICT
);
COMMENT ON TABLE accounting.allocated_payments IS 'How much of each payment is allocated.';
COMMENT ON COLUMN accounting.allocated_payments.cost_payment_id IS 'The money that came in.';
COMMENT ON COLUMN accounting.allocated_payments.amount_allocated IS
    'Sum of its allocations to invoices.';
""",
    "invoice_payments": """
CREATE TABLE accounting.invoice_payments (
    id UUID NOT NULL,
    invoice_id UUID NOT NULL,
    cost_payment_id {cost_payments_key} NOT NULL,
    amount_paid NUMERIC(12, 2) NOT NULL,
    paid_date TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_invoice_payments PRIMARY KEY (id),
    CONSTRAINT uq_invoice_payments_invoice_id_cost_payment_id UNIQUE (invoice_id, cost_payment_id),
    CONSTRAINT ck_invoice_payments_amount_paid CHECK (amount_paid BETWEEN 0.01 AND 9999999999.99),
    CONSTRAINT fk_invoice_payments_invoice_id_invoices FOREIGN KEY(invoice_id)
        REFERENCES accounting.invoices (id) ON DELETE CASCADE,
    CONSTRAINT fk_invoice_payments_cost_payment_id_cost_payments FOREIGN KEY(cost_payment_id)
        REFERENCES {cost_payments} ON DELETE RESTRICT
);
CREATE INDEX ix_invoice_payments_cost_payment_id ON accounting.invoice_payments (cost_payment_id);
CREATE INDEX ix_invoice_payments_created_at ON accounting.invoice_payments (created_at);
COMMENT ON TABLE accounting.invoice_payments IS 'Which payments pay which invoices.';
COMMENT ON COLUMN accounting.invoice_payments.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN accounting.invoice_payments.invoice_id IS 'The invoice.';
COMMENT ON COLUMN accounting.invoice_payments.cost_payment_id IS
    'The money that came in; read only.';
COMMENT ON COLUMN accounting.invoice_payments.amount_paid IS 'How much of it.';
COMMENT ON COLUMN accounting.invoice_payments.paid_date IS 'When it was paid.';
COMMENT ON COLUMN accounting.invoice_payments.created_at IS 'When it was allocated.';
""",
    "invoice_refunds": """
CREATE TABLE accounting.invoice_refunds (
    id UUID NOT NULL,
    invoice_id UUID NOT NULL,
    key VARCHAR NOT NULL,
    amount NUMERIC(12, 2) NOT NULL,
    reason VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_invoice_refunds PRIMARY KEY (id),
    CONSTRAINT uq_invoice_refunds_invoice_id_key UNIQUE (invoice_id, key),
    CONSTRAINT ck_invoice_refunds_amount CHECK (amount BETWEEN 0.01 AND 9999999999.99),
    CONSTRAINT ck_invoice_refunds_key CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT fk_invoice_refunds_invoice_id_invoices FOREIGN KEY(invoice_id)
        REFERENCES accounting.invoices (id) ON DELETE RESTRICT
);
COMMENT ON TABLE accounting.invoice_refunds IS 'Money given back on invoices.';
COMMENT ON COLUMN accounting.invoice_refunds.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN accounting.invoice_refunds.invoice_id IS 'The invoice.';
COMMENT ON COLUMN accounting.invoice_refunds.key IS 'The request''s idempotency key.';
COMMENT ON COLUMN accounting.invoice_refunds.amount IS 'How much was given back.';
COMMENT ON COLUMN accounting.invoice_refunds.reason IS 'Why.';
COMMENT ON COLUMN accounting.invoice_refunds.created_at IS 'When.';
""",
    "invoice_documents": """
CREATE TABLE accounting.invoice_documents (
    invoice_id UUID NOT NULL,
    content JSONB NOT NULL,
    content_sha256 BYTEA NOT NULL,
    pdf BYTEA,
    pdf_sha256 BYTEA,
    rendered_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_invoice_documents PRIMARY KEY (invoice_id),
    CONSTRAINT ck_invoice_documents_rendered
        CHECK ((pdf IS NULL) = (pdf_sha256 IS NULL) AND (pdf IS NULL) = (rendered_at IS NULL)),
    CONSTRAINT ck_invoice_documents_pdf_sha256 CHECK (pdf_sha256 = sha256(pdf)),
    CONSTRAINT fk_invoice_documents_invoice_id_invoices FOREIGN KEY(invoice_id)
        REFERENCES accounting.invoices (id) ON DELETE RESTRICT
);
COMMENT ON TABLE accounting.invoice_documents IS 'Documents of issued invoices.';
COMMENT ON COLUMN accounting.invoice_documents.invoice_id IS 'The invoice.';
COMMENT ON COLUMN accounting.invoice_documents.content IS
    'Everything the page shows, as it was at issue.';
COMMENT ON COLUMN accounting.invoice_documents.content_sha256 IS 'Hash of the content.';
COMMENT ON COLUMN accounting.invoice_documents.pdf IS 'The page.';
COMMENT ON COLUMN accounting.invoice_documents.pdf_sha256 IS 'Hash of the page.';
COMMENT ON COLUMN accounting.invoice_documents.rendered_at IS 'When the page was rendered.';
COMMENT ON COLUMN accounting.invoice_documents.created_at IS 'When it was issued.';
""",
    "invoice_notifications": """
CREATE TABLE accounting.invoice_notifications (
    id UUID NOT NULL,
    invoice_id UUID NOT NULL,
    notification_type accounting.notification_type NOT NULL,
    sent_to VARCHAR NOT NULL,
    stage INTEGER DEFAULT '0' NOT NULL,
    due_date DATE,
    sent_at TIMESTAMP WITH TIME ZONE,
    is_read BOOLEAN DEFAULT false NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE,
    status accounting.notification_status DEFAULT 'PENDING' NOT NULL,
    failure_reason VARCHAR,
    retry_count INTEGER DEFAULT '0' NOT NULL,
    next_retry_at TIMESTAMP WITH TIME ZONE,
    mail_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_invoice_notifications PRIMARY KEY (id),
    CONSTRAINT uq_invoice_notifications_once
        UNIQUE NULLS NOT DISTINCT (invoice_id, notification_type, due_date, stage),
    CONSTRAINT ck_invoice_notifications_due_date
        CHECK ((notification_type IN ('PAYMENT_REMINDER', 'OVERDUE_REMINDER'))
               = (due_date IS NOT NULL)),
    CONSTRAINT ck_invoice_notifications_retry_count CHECK (retry_count BETWEEN 0 AND 49),
    CONSTRAINT ck_invoice_notifications_sent_at
        CHECK (sent_at IS NOT NULL OR status <> 'SENT'),
    CONSTRAINT ck_invoice_notifications_opened_at CHECK (is_read = (opened_at IS NOT NULL)),
    CONSTRAINT fk_invoice_notifications_invoice_id_invoices FOREIGN KEY(invoice_id)
        REFERENCES accounting.invoices (id) ON DELETE CASCADE
);
CREATE INDEX ix_invoice_notifications_created_at ON accounting.invoice_notifications (created_at);
CREATE INDEX ix_invoice_notifications_mail_id ON accounting.invoice_notifications (mail_id);
CREATE INDEX ix_invoice_notifications_sent_at ON accounting.invoice_notifications (sent_at);
CREATE INDEX ix_invoice_notifications_sent_to ON accounting.invoice_notifications (sent_to);
CREATE INDEX ix_invoice_notifications_status ON accounting.invoice_notifications (status);
COMMENT ON TABLE accounting.invoice_notifications IS
    'What customers were told about their invoices.';
COMMENT ON COLUMN accounting.invoice_notifications.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN accounting.invoice_notifications.invoice_id IS 'The invoice.';
COMMENT ON COLUMN accounting.invoice_notifications.notification_type IS 'What it is about.';
COMMENT ON COLUMN accounting.invoice_notifications.sent_to IS 'The address.';
COMMENT ON COLUMN accounting.invoice_notifications.stage IS
    'Which reminder of its type: days from the due date. Ours.';
COMMENT ON COLUMN accounting.invoice_notifications.due_date IS
    'The due date that a reminder is of. Ours.';
COMMENT ON COLUMN accounting.invoice_notifications.sent_at IS 'When the mail host took it.';
COMMENT ON COLUMN accounting.invoice_notifications.is_read IS 'Whether it was opened.';
COMMENT ON COLUMN accounting.invoice_notifications.opened_at IS 'When it was first opened.';
COMMENT ON COLUMN accounting.invoice_notifications.status IS 'How far it came.';
COMMENT ON COLUMN accounting.invoice_notifications.failure_reason IS 'Why the last attempt failed.';
COMMENT ON COLUMN accounting.invoice_notifications.retry_count IS 'Attempts after the first.';
COMMENT ON COLUMN accounting.invoice_notifications.next_retry_at IS 'When it is tried again.';
COMMENT ON COLUMN accounting.invoice_notifications.mail_id IS
    'The outgoing mail of `delivery`. Ours.';
COMMENT ON COLUMN accounting.invoice_notifications.created_at IS 'When the row was made.';
""",
}

TYPE_NAMES = ("notification_status", "notification_type", "invoice_status")


def upgrade() -> None:
    """Create types and tables."""
    run = lines.current().execute
    run(TYPES)
    for text in TABLES.values():
        run(lines.with_places(text))
    lines.grant("invoices")
    lines.grant("invoice_payments", privileges=("SELECT", "INSERT", "DELETE"))
    lines.grant("invoice_refunds", privileges=("SELECT", "INSERT"))
    lines.grant("allocated_payments", privileges=("SELECT",))
    lines.grant("invoice_documents", privileges=("SELECT", "UPDATE"))
    lines.grant("invoice_notifications", privileges=("SELECT", "INSERT", "UPDATE"))
    lines.append_only("invoice_refunds")
    lines.guard("invoices", "user_id", privileges=("SELECT",))


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    for table in reversed(TABLES):
        run(f"DROP TABLE accounting.{table}")
    for name in TYPE_NAMES:
        run(f"DROP TYPE accounting.{name}")
