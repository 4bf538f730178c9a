"""What the battery's statements meet: a module's schema `shop`, and a host's beside it."""

from __future__ import annotations

WORLD = """
CREATE SCHEMA host;
CREATE TYPE shop.size AS ENUM ('SMALL', 'LARGE');
CREATE DOMAIN shop.short AS text CHECK (length(VALUE) < 20);
CREATE TYPE shop.pair AS (a int, b int);
CREATE SEQUENCE shop.numbers;
CREATE COLLATION shop.plain FROM "C";
CREATE TABLE shop.items (
    id int PRIMARY KEY, label text, price numeric(12, 2) NOT NULL CHECK (price >= 0),
    size shop.size, kind shop.short, note varchar(20), other text, at timestamptz
);
INSERT INTO shop.items SELECT i, 'label ' || i, i, CASE WHEN i % 2 = 0 THEN 'SMALL' ELSE 'LARGE' END
    ::shop.size, 'kind', 'note ' || i, 'other ' || i, '2026-01-01' FROM generate_series(1, 20) i;
CREATE INDEX ix_items_label ON shop.items (label);
CREATE TABLE shop.orders (
    id int PRIMARY KEY, item_id int REFERENCES shop.items ON DELETE CASCADE, count int
);
INSERT INTO shop.orders SELECT i, i, i FROM generate_series(1, 10) i;
CREATE TABLE shop.empty (id int PRIMARY KEY);
CREATE TABLE shop.events (region text, id int, body text, PRIMARY KEY (region, id))
    PARTITION BY LIST (region);
CREATE TABLE shop.events_eu PARTITION OF shop.events FOR VALUES IN ('eu');
CREATE TABLE shop.events_us PARTITION OF shop.events FOR VALUES IN ('us');
INSERT INTO shop.events SELECT r, i, 'body' FROM unnest(ARRAY['eu', 'us']) r,
    generate_series(1, 5) i;
CREATE TABLE shop.events_as (region text NOT NULL, id int NOT NULL, body text,
    PRIMARY KEY (region, id));
INSERT INTO shop.events_as VALUES ('as', 1, 'body');
CREATE TABLE shop.parent (a int);
CREATE TABLE shop.child () INHERITS (shop.parent);
INSERT INTO shop.child VALUES (1);
CREATE FUNCTION shop.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
CREATE VIEW shop.v_items AS SELECT id, shop.shout(label) AS label FROM shop.items;
CREATE MATERIALIZED VIEW shop.m_items AS SELECT id, price FROM shop.items;
CREATE UNIQUE INDEX ON shop.m_items (id);
CREATE TABLE shop.tickets (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
INSERT INTO shop.tickets (what) VALUES ('one'), ('two');
CREATE TABLE shop.doubled (a int, b int GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO shop.doubled VALUES (1), (2);
CREATE UNLOGGED TABLE shop.scratch (a int);
INSERT INTO shop.scratch VALUES (1);
CREATE TABLE shop.log (what text);
CREATE FUNCTION shop.write_log() RETURNS void LANGUAGE sql AS
    $$ INSERT INTO shop.log VALUES ('written') $$;
CREATE FUNCTION shop.sly(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM shop.write_log(); RETURN $1; END $$;
CREATE FUNCTION shop.raise_prices() RETURNS void LANGUAGE sql SECURITY DEFINER AS
    $$ UPDATE shop.items SET price = price + 1 $$;
CREATE PROCEDURE shop.clear_notes() LANGUAGE sql AS $$ UPDATE shop.items SET note = NULL $$;
CREATE FUNCTION shop.late() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN UPDATE shop.items SET other = 'late'; RETURN NULL; END $$;
CREATE TABLE shop.inbox (a int);
CREATE CONSTRAINT TRIGGER tr_inbox_late AFTER INSERT ON shop.inbox
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.late();
CREATE TABLE shop.walled (a int, owner text);
INSERT INTO shop.walled VALUES (1, 'x');
ALTER TABLE shop.walled ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON shop.walled USING (true);
CREATE FUNCTION shop.noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER tr_walled BEFORE UPDATE ON shop.walled
    FOR EACH ROW EXECUTE FUNCTION shop.noop();
CREATE VIEW shop.v_walled AS SELECT a FROM shop.walled;
CREATE RULE no_delete AS ON DELETE TO shop.log DO INSTEAD NOTHING;
CREATE TABLE host.users (id text PRIMARY KEY, email text NOT NULL UNIQUE, born date);
INSERT INTO host.users SELECT 'u' || i, i || '@example.com', '2000-01-01'
    FROM generate_series(1, 5) i;
CREATE TABLE host.posts (id int PRIMARY KEY, user_id text REFERENCES host.users ON DELETE SET NULL);
INSERT INTO host.posts SELECT i, 'u' || i FROM generate_series(1, 5) i;
CREATE FUNCTION host.version() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT lo_from_bytea(4242, 'large');
"""

WORLD_18 = """
CREATE TABLE shop.virtual (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL);
INSERT INTO shop.virtual VALUES (1), (2);
"""

# A server that nothing can be asked of: what counts is who may log in there, and how.
AFAR = """
CREATE FOREIGN DATA WRAPPER afar;
CREATE SERVER afar FOREIGN DATA WRAPPER afar;
CREATE USER MAPPING FOR PUBLIC SERVER afar OPTIONS (user 'guest');
"""
