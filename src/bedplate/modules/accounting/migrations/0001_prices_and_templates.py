"""What all invoices share, customers' prices, and the templates of monthly invoices."""

from __future__ import annotations

from bedplate.kernel import lines

revision = "0001_prices_and_templates"
down_revision = None

TABLES = {
    "billing_settings": """
CREATE TABLE accounting.billing_settings (
    id VARCHAR DEFAULT 'singleton' NOT NULL,
    time_zone VARCHAR DEFAULT 'UTC' NOT NULL,
    catch_up_months INTEGER DEFAULT '24' NOT NULL,
    seller VARCHAR DEFAULT '' NOT NULL,
    currency VARCHAR DEFAULT '' NOT NULL,
    reminder_days JSONB DEFAULT '[-3, 1, 7, 14]' NOT NULL,
    mail_invoices BOOLEAN DEFAULT false NOT NULL,
    mail_receipts BOOLEAN DEFAULT false NOT NULL,
    mail_invoices_from TIMESTAMP WITH TIME ZONE,
    mail_receipts_from TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_billing_settings PRIMARY KEY (id),
    CONSTRAINT ck_billing_settings_singleton CHECK (id = 'singleton'),
    CONSTRAINT ck_billing_settings_catch_up_months CHECK (catch_up_months BETWEEN 1 AND 1200),
    CONSTRAINT ck_billing_settings_seller CHECK (length(seller) <= 1000),
    CONSTRAINT ck_billing_settings_currency CHECK (currency ~ '^([A-Z]{3})?$'),
    CONSTRAINT ck_billing_settings_time_zone
        CHECK (timestamp '2000-01-01' AT TIME ZONE time_zone IS NOT NULL),
    CONSTRAINT ck_billing_settings_reminder_days
        CHECK (jsonb_typeof(reminder_days) = 'array' AND NOT reminder_days @?
            'strict $[*] ? (@.type() != "number" || @.floor() != @ || @.abs() > 365)')
);
COMMENT ON TABLE accounting.billing_settings IS 'What all invoices share.';
COMMENT ON COLUMN accounting.billing_settings.id IS 'Always ''singleton''.';
COMMENT ON COLUMN accounting.billing_settings.time_zone IS
    'Where a billing day begins and ends, as in Europe/Reykjavik.';
COMMENT ON COLUMN accounting.billing_settings.catch_up_months IS
    'How many months a template may be behind and still be billed by itself.';
COMMENT ON COLUMN accounting.billing_settings.seller IS
    'Who bills: name, address and account, one a line; for invoices issued from now on.';
COMMENT ON COLUMN accounting.billing_settings.currency IS
    'What amounts are in, as in EUR, or nothing; for invoices issued from now on.';
COMMENT ON COLUMN accounting.billing_settings.reminder_days IS
    'Days from the due date on which customers are reminded.';
COMMENT ON COLUMN accounting.billing_settings.mail_invoices IS
    'Whether every issued invoice is mailed to its customer.';
COMMENT ON COLUMN accounting.billing_settings.mail_receipts IS
    'Whether customers are told that an invoice is paid.';
COMMENT ON COLUMN accounting.billing_settings.mail_invoices_from IS
    'Invoices issued from then on are mailed; kept by the database.';
COMMENT ON COLUMN accounting.billing_settings.mail_receipts_from IS
    'Payments made from then on are confirmed; kept by the database.';
COMMENT ON COLUMN accounting.billing_settings.created_at IS 'When the row was made.';
COMMENT ON COLUMN accounting.billing_settings.updated_at IS 'When the row was last changed.';
""",
    "billed_customers": """
CREATE TABLE accounting.billed_customers (
    user_id {users_key} NOT NULL,
    price_changes INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_billed_customers PRIMARY KEY (user_id),
    CONSTRAINT fk_billed_customers_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT
);
COMMENT ON TABLE accounting.billed_customers IS
    'Customers, as far as changes wait for one another.';
COMMENT ON COLUMN accounting.billed_customers.user_id IS 'The customer.';
COMMENT ON COLUMN accounting.billed_customers.price_changes IS 'Counts the changes of its prices.';
""",
    "customer_pricing_config": """
CREATE TABLE accounting.customer_pricing_config (
    id UUID NOT NULL,
    user_id {users_key} NOT NULL,
    default_unit_price NUMERIC(10, 2) NOT NULL,
    effective_from DATE NOT NULL,
    effective_to DATE,
    created_by {users_key} NOT NULL,
    updated_by {users_key},
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_customer_pricing_config PRIMARY KEY (id),
    CONSTRAINT uq_customer_pricing_config_user_id_effective_from UNIQUE (user_id, effective_from),
    CONSTRAINT ck_customer_pricing_config_effective_to CHECK (effective_to > effective_from),
    CONSTRAINT ck_customer_pricing_config_default_unit_price
        CHECK (default_unit_price BETWEEN 0.01 AND 99999999.99),
    CONSTRAINT fk_customer_pricing_config_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT,
    CONSTRAINT fk_customer_pricing_config_created_by_users FOREIGN KEY(created_by)
        REFERENCES {users} ON DELETE RESTRICT,
    CONSTRAINT fk_customer_pricing_config_updated_by_users FOREIGN KEY(updated_by)
        REFERENCES {users} ON DELETE RESTRICT
);
CREATE INDEX ix_customer_pricing_config_created_by
    ON accounting.customer_pricing_config (created_by);
CREATE INDEX ix_customer_pricing_config_effective_from
    ON accounting.customer_pricing_config (effective_from);
CREATE INDEX ix_customer_pricing_config_effective_to
    ON accounting.customer_pricing_config (effective_to);
CREATE INDEX ix_customer_pricing_config_updated_by
    ON accounting.customer_pricing_config (updated_by);
COMMENT ON TABLE accounting.customer_pricing_config IS 'Prices of customers over time.';
COMMENT ON COLUMN accounting.customer_pricing_config.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN accounting.customer_pricing_config.user_id IS 'The customer.';
COMMENT ON COLUMN accounting.customer_pricing_config.default_unit_price IS
    'Price of one miner per month.';
COMMENT ON COLUMN accounting.customer_pricing_config.effective_from IS
    'The first day of the price.';
COMMENT ON COLUMN accounting.customer_pricing_config.effective_to IS
    'The first day it is over; NULL: open.';
COMMENT ON COLUMN accounting.customer_pricing_config.created_by IS 'Who created it.';
COMMENT ON COLUMN accounting.customer_pricing_config.updated_by IS 'Who changed it last.';
COMMENT ON COLUMN accounting.customer_pricing_config.created_at IS 'When the row was made.';
COMMENT ON COLUMN accounting.customer_pricing_config.updated_at IS 'When the row was last changed.';
""",
    "recurring_invoices": """
CREATE TABLE accounting.recurring_invoices (
    id UUID NOT NULL,
    user_id {users_key} NOT NULL,
    day_of_month INTEGER NOT NULL,
    start_date DATE NOT NULL,
    unit_price NUMERIC(10, 2),
    end_date DATE,
    is_active BOOLEAN DEFAULT true NOT NULL,
    last_generated_date DATE,
    last_day_of_month BOOLEAN DEFAULT false NOT NULL,
    due_days INTEGER DEFAULT '14' NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by {users_key} NOT NULL,
    updated_by {users_key},
    created_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT bedplate.now() NOT NULL,
    CONSTRAINT pk_recurring_invoices PRIMARY KEY (id),
    CONSTRAINT ck_recurring_invoices_day_of_month CHECK (day_of_month BETWEEN 1 AND 28),
    CONSTRAINT ck_recurring_invoices_start_date
        CHECK (start_date BETWEEN '2000-01-01' AND '2199-12-31'),
    CONSTRAINT ck_recurring_invoices_end_date CHECK (end_date >= start_date),
    CONSTRAINT ck_recurring_invoices_unit_price CHECK (unit_price BETWEEN 0.01 AND 99999999.99),
    CONSTRAINT ck_recurring_invoices_due_days CHECK (due_days BETWEEN 0 AND 365),
    CONSTRAINT ck_recurring_invoices_deleted_at CHECK (deleted_at IS NULL OR NOT is_active),
    CONSTRAINT fk_recurring_invoices_user_id_users FOREIGN KEY(user_id)
        REFERENCES {users} ON DELETE RESTRICT,
    CONSTRAINT fk_recurring_invoices_created_by_users FOREIGN KEY(created_by)
        REFERENCES {users} ON DELETE RESTRICT,
    CONSTRAINT fk_recurring_invoices_updated_by_users FOREIGN KEY(updated_by)
        REFERENCES {users} ON DELETE RESTRICT
);
CREATE INDEX ix_recurring_invoices_created_by ON accounting.recurring_invoices (created_by);
CREATE INDEX ix_recurring_invoices_day_of_month ON accounting.recurring_invoices (day_of_month);
CREATE INDEX ix_recurring_invoices_is_active ON accounting.recurring_invoices (is_active);
CREATE INDEX ix_recurring_invoices_start_date ON accounting.recurring_invoices (start_date);
CREATE INDEX ix_recurring_invoices_updated_by ON accounting.recurring_invoices (updated_by);
CREATE INDEX ix_recurring_invoices_user_id ON accounting.recurring_invoices (user_id);
COMMENT ON TABLE accounting.recurring_invoices IS 'Templates of monthly invoices.';
COMMENT ON COLUMN accounting.recurring_invoices.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN accounting.recurring_invoices.user_id IS 'The customer.';
COMMENT ON COLUMN accounting.recurring_invoices.day_of_month IS 'The day that is billed, 1 to 28.';
COMMENT ON COLUMN accounting.recurring_invoices.start_date IS 'No day before it is billed.';
COMMENT ON COLUMN accounting.recurring_invoices.unit_price IS
    'Price of one miner; NULL: the customer''s price.';
COMMENT ON COLUMN accounting.recurring_invoices.end_date IS
    'No day after it is billed; NULL: never ends.';
COMMENT ON COLUMN accounting.recurring_invoices.is_active IS 'False while it is paused.';
COMMENT ON COLUMN accounting.recurring_invoices.last_generated_date IS
    'The last day that was billed.';
COMMENT ON COLUMN accounting.recurring_invoices.last_day_of_month IS
    'Bill the month''s last day instead of day_of_month. Ours.';
COMMENT ON COLUMN accounting.recurring_invoices.due_days IS
    'Days from issue to the due date. Ours.';
COMMENT ON COLUMN accounting.recurring_invoices.deleted_at IS 'When it was ended for good. Ours.';
COMMENT ON COLUMN accounting.recurring_invoices.created_by IS 'Who created it.';
COMMENT ON COLUMN accounting.recurring_invoices.updated_by IS 'Who changed it last.';
COMMENT ON COLUMN accounting.recurring_invoices.created_at IS 'When the row was made.';
COMMENT ON COLUMN accounting.recurring_invoices.updated_at IS 'When the row was last changed.';
""",
    "template_pauses": """
CREATE TABLE accounting.template_pauses (
    id UUID DEFAULT bedplate.uuid7() NOT NULL,
    recurring_invoice_id UUID NOT NULL,
    paused_on DATE NOT NULL,
    resumed_on DATE,
    billed BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_template_pauses PRIMARY KEY (id),
    CONSTRAINT ck_template_pauses_resumed_on CHECK (resumed_on >= paused_on),
    CONSTRAINT fk_template_pauses_recurring_invoice_id_recurring_invoices
        FOREIGN KEY(recurring_invoice_id)
        REFERENCES accounting.recurring_invoices (id) ON DELETE RESTRICT
);
CREATE INDEX ix_template_pauses_recurring_invoice_id
    ON accounting.template_pauses (recurring_invoice_id);
CREATE UNIQUE INDEX uq_template_pauses_open ON accounting.template_pauses (recurring_invoice_id)
    WHERE resumed_on IS NULL;
COMMENT ON TABLE accounting.template_pauses IS 'When templates were paused.';
COMMENT ON COLUMN accounting.template_pauses.id IS 'Key (UUIDv7).';
COMMENT ON COLUMN accounting.template_pauses.recurring_invoice_id IS 'The template.';
COMMENT ON COLUMN accounting.template_pauses.paused_on IS 'The first day of the pause.';
COMMENT ON COLUMN accounting.template_pauses.resumed_on IS
    'The first day it is over; NULL while it lasts.';
COMMENT ON COLUMN accounting.template_pauses.billed IS 'Whether its days are billed after all.';
""",
}

BILLING_DAY = """
CREATE FUNCTION accounting.billing_day(p_at timestamptz) RETURNS date
    LANGUAGE sql STABLE
    RETURN (p_at AT TIME ZONE coalesce(
        (SELECT s.time_zone FROM accounting.billing_settings s), 'UTC'))::date;
COMMENT ON FUNCTION accounting.billing_day(timestamptz) IS
    'The day of a moment, in the time zone in which is billed (UTC unless set).';
"""

REFUSE = """
CREATE FUNCTION accounting.refuse(p_table text, p_rule text, p_message text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', p_message
        USING ERRCODE = '23514', SCHEMA = 'accounting', TABLE = p_table, CONSTRAINT = p_rule;
END $$;
COMMENT ON FUNCTION accounting.refuse(text, text, text) IS
    'Refuse a change of a table by the name of the rule that it breaks.';
"""

GUARDS = """
CREATE FUNCTION accounting.guard_price() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.id, NEW.user_id, NEW.default_unit_price, NEW.effective_from,
                             NEW.created_by, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.default_unit_price, OLD.effective_from,
                          OLD.created_by, OLD.created_at)
    THEN
        PERFORM accounting.refuse('customer_pricing_config', 'frozen',
            'A price can only be given its end.');
    END IF;
    -- Changed, not only locked: at any isolation the second of two then sees the first, or fails.
    INSERT INTO accounting.billed_customers AS c (user_id, price_changes) VALUES (NEW.user_id, 1)
    ON CONFLICT (user_id) DO UPDATE SET price_changes = c.price_changes + 1;
    IF EXISTS (
        SELECT FROM accounting.customer_pricing_config p
        WHERE p.user_id = NEW.user_id AND p.id <> NEW.id
          AND daterange(p.effective_from, p.effective_to)
              && daterange(NEW.effective_from, NEW.effective_to))
    THEN
        RAISE EXCEPTION 'Two prices of one customer would overlap.'
            USING ERRCODE = '23P01', SCHEMA = 'accounting', TABLE = 'customer_pricing_config',
                  CONSTRAINT = 'overlap';
    END IF;
    NEW.updated_at := bedplate.now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.guard_price() IS
    'Keep a price as it was given, and two of a customer from holding on one day.';
CREATE TRIGGER tr_customer_pricing_config_guard
    BEFORE INSERT OR UPDATE ON accounting.customer_pricing_config
    FOR EACH ROW EXECUTE FUNCTION accounting.guard_price();

-- No definer's: the run is told from everybody else by whose rights it has, which are the owner's.
CREATE FUNCTION accounting.guard_template() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- There is no OLD of a row that is new: its columns are NULL.
    IF NEW.last_generated_date IS DISTINCT FROM OLD.last_generated_date AND NOT pg_has_role(
        (SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'MEMBER')
    THEN
        PERFORM accounting.refuse('recurring_invoices', 'billed',
            'What a template has billed is written by the run alone.');
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NEW;
    END IF;
    IF OLD.deleted_at IS NOT NULL THEN
        PERFORM accounting.refuse('recurring_invoices', 'final', 'A template that ended stays so.');
    END IF;
    IF (NEW.id, NEW.user_id, NEW.start_date, NEW.created_by, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.start_date, OLD.created_by, OLD.created_at)
       OR NEW.last_generated_date < OLD.last_generated_date
       OR NEW.last_generated_date IS NULL AND OLD.last_generated_date IS NOT NULL
    THEN
        PERFORM accounting.refuse('recurring_invoices', 'frozen',
            'Whose a template is and what it has billed is fixed.');
    END IF;
    NEW.updated_at := bedplate.now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION accounting.guard_template() IS
    'Keep whose a template is, its end, and what it has billed: only the run moves that on.';
CREATE TRIGGER tr_recurring_invoices_guard
    BEFORE INSERT OR UPDATE ON accounting.recurring_invoices
    FOR EACH ROW EXECUTE FUNCTION accounting.guard_template();

CREATE FUNCTION accounting.note_pause() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_today date := accounting.billing_day(bedplate.clock());
BEGIN
    IF NEW.is_active THEN
        UPDATE accounting.template_pauses p SET resumed_on = greatest(p.paused_on, v_today)
        WHERE p.recurring_invoice_id = NEW.id AND p.resumed_on IS NULL;
    ELSIF NEW.deleted_at IS NULL AND NOT EXISTS (
        SELECT FROM accounting.template_pauses p
        WHERE p.recurring_invoice_id = NEW.id AND p.resumed_on IS NULL)
    THEN
        INSERT INTO accounting.template_pauses (recurring_invoice_id, paused_on)
        VALUES (NEW.id, v_today);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION accounting.note_pause() IS
    'Begin or end the pause of a template with its is_active.';
CREATE TRIGGER tr_recurring_invoices_pause
    AFTER INSERT OR UPDATE OF is_active ON accounting.recurring_invoices
    FOR EACH ROW EXECUTE FUNCTION accounting.note_pause();
"""
FUNCTIONS = (
    "note_pause()",
    "guard_template()",
    "guard_price()",
    "refuse(text, text, text)",
)


def upgrade() -> None:
    """Create the tables and what guards them."""
    run = lines.current().execute
    for text in TABLES.values():
        run(lines.with_places(text))
    run(BILLING_DAY)
    run(REFUSE)
    run(lines.with_places(GUARDS))
    lines.grant("billing_settings", privileges=("SELECT", "INSERT", "UPDATE"))
    lines.grant("billed_customers", "template_pauses", privileges=("SELECT",))
    lines.grant(
        "customer_pricing_config", "recurring_invoices", privileges=("SELECT", "INSERT", "UPDATE")
    )
    for table in ("customer_pricing_config", "recurring_invoices"):
        lines.guard(table, "user_id", privileges=("SELECT",))
    lines.executable("billing_day(timestamptz)")


def downgrade() -> None:
    """Drop what upgrade() made."""
    run = lines.current().execute
    run("DROP FUNCTION accounting.billing_day(timestamptz)")
    for table in reversed(TABLES):
        run(f"DROP TABLE accounting.{table}")
    for signature in FUNCTIONS:
        run(f"DROP FUNCTION accounting.{signature}")
