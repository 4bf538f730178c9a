-- A product that keeps its people in a schema of its own, with what hand-written schemas have: a
-- view, a trigger, a domain, a policy, partitions, a generated and a quoted column.

CREATE SCHEMA crm;
CREATE DOMAIN crm.address AS text CHECK (VALUE ~ '@');
CREATE TABLE crm.contacts (
    contact_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "e-mail" crm.address NOT NULL UNIQUE,
    name text,
    name_upper text GENERATED ALWAYS AS (upper(name)) STORED,
    changed_at timestamptz
);
COMMENT ON TABLE crm.contacts IS 'Whom we know';
CREATE FUNCTION crm.touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN new.changed_at := '2026-01-01'; RETURN new; END $$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON crm.contacts
    FOR EACH ROW EXECUTE FUNCTION crm.touch();
CREATE VIEW crm.named AS SELECT contact_id, name FROM crm.contacts WHERE name IS NOT NULL;
CREATE TABLE crm.visits (contact_id uuid NOT NULL REFERENCES crm.contacts, on_day date NOT NULL)
    PARTITION BY RANGE (on_day);
CREATE TABLE crm.visits_2026 PARTITION OF crm.visits
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
ALTER TABLE crm.visits ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone ON crm.visits USING (true);

INSERT INTO crm.contacts (contact_id, "e-mail", name) VALUES
    ('00000000-0000-4000-8000-000000000001', 'ada@example.com', 'Ada'),
    ('00000000-0000-4000-8000-000000000002', 'grace@example.com', 'Grace'),
    ('00000000-0000-4000-8000-000000000003', 'tony@example.com', NULL);
INSERT INTO crm.visits VALUES ('00000000-0000-4000-8000-000000000001', '2026-05-06');
