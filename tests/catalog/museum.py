"""A schema with at least one object of every kind, and what can change of each."""

from __future__ import annotations

from dataclasses import dataclass

MUSEUM = """
CREATE SCHEMA shop;
CREATE SCHEMA far;
CREATE SCHEMA later;
COMMENT ON SCHEMA shop IS 'A shop.';
CREATE TYPE shop.size AS ENUM ('SMALL', 'LARGE');
CREATE TYPE shop.point AS (x int, y int);
CREATE TYPE shop.span AS RANGE (subtype = int);
CREATE DOMAIN shop.email AS text CONSTRAINT has_at CHECK (VALUE LIKE '%@%');
COMMENT ON DOMAIN shop.email IS 'An address.';
CREATE SEQUENCE shop.numbers INCREMENT BY 2;
CREATE FUNCTION shop.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE FUNCTION shop.twice(n text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT n || n';
CREATE PROCEDURE shop.tidy() LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE AGGREGATE shop.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE shop.shelves (id uuid PRIMARY KEY, label varchar(20) NOT NULL UNIQUE);
CREATE TABLE shop.items (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial serial,
    shelf_id uuid CONSTRAINT on_shelf REFERENCES shop.shelves ON DELETE CASCADE,
    price numeric(12, 2) NOT NULL DEFAULT 0 CONSTRAINT price_positive CHECK (price >= 0),
    size shop.size,
    email shop.email,
    gross numeric GENERATED ALWAYS AS (price * 2) STORED,
    name text COLLATE "C",
    during int4range,
    CONSTRAINT one_at_a_time EXCLUDE USING gist (during WITH &&),
    CONSTRAINT one_name UNIQUE NULLS NOT DISTINCT (name)
) WITH (fillfactor = 90);
COMMENT ON TABLE shop.items IS 'Items.';
COMMENT ON COLUMN shop.items.price IS 'In euros.';
COMMENT ON CONSTRAINT price_positive ON shop.items IS 'Nothing is given away.';
CREATE INDEX items_dear ON shop.items (price DESC NULLS LAST) WHERE size IS NULL;
CREATE UNIQUE INDEX items_name ON shop.items (lower(name)) NULLS NOT DISTINCT;
CREATE TRIGGER touched BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE RULE silent AS ON DELETE TO shop.shelves DO INSTEAD NOTHING;
CREATE POLICY cheap ON shop.items FOR SELECT USING (price < 10);
ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS shop.together ON price, size FROM shop.items;
CREATE VIEW shop.dear AS SELECT number, price FROM shop.items WHERE price > 100;
CREATE TABLE shop.states (
    state varchar(9) DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'it''s (shut)', E'a\\\\b')),
    code char(2) CHECK (code IN ('a', 'b')),
    price numeric CHECK (price IN (1, 2.5)),
    at timestamptz CHECK (at > '2030-01-01 12:00+02' AND at <> 'infinity'),
    wait interval DEFAULT '1 day 02:00' CHECK (wait BETWEEN '1 s' AND '2 years'),
    raw bytea DEFAULT 'x', ratio float8 DEFAULT 0.1, cost money DEFAULT 1.5,
    "Odd ""name" varchar CHECK ("Odd ""name" NOT IN ('x', 'y'))
);
CREATE INDEX states_open ON shop.states (code) WHERE state IN ('OPEN', 'x');
CREATE VIEW shop.open AS SELECT code FROM shop.states WHERE state IN ('OPEN', 'x');
CREATE MATERIALIZED VIEW shop.counted AS SELECT count(*) AS n FROM shop.items;
CREATE TABLE shop.events (at date NOT NULL, kind text CHECK (kind <> ''))
    PARTITION BY RANGE (at);
CREATE INDEX events_at ON shop.events (at);
CREATE TRIGGER touched BEFORE UPDATE ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE TABLE shop.events_2030 PARTITION OF shop.events
    FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
CREATE TABLE shop.events_2031
    (at date NOT NULL, kind text CONSTRAINT events_kind_check CHECK (kind <> ''));
GRANT SELECT, INSERT ON shop.items TO {app};
GRANT UPDATE (price) ON shop.items TO {app};
REVOKE EXECUTE ON FUNCTION shop.touch() FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA later GRANT SELECT ON TABLES TO {app};
"""


SCHEMAS = ["far", "later", "shop"]


@dataclass(frozen=True)
class Mutation:
    """A statement, and what must be named: (action, kind, name) of each change."""

    statement: str
    named: tuple[tuple[str, str, str], ...]
    since: int = 15

    @property
    def id(self) -> str:
        return self.statement[:60]


def one(action: str, kind: str, name: str, statement: str, since: int = 15) -> Mutation:
    return Mutation(statement, ((action, kind, f"shop.{name}"),), since)


MUTATIONS = (
    # A partial index's predicate, an index's direction, NULLS and options.
    one(
        "changed",
        "index",
        "items.items_dear",
        "DROP INDEX shop.items_dear;"
        " CREATE INDEX items_dear ON shop.items (price DESC NULLS LAST) WHERE size IS NOT NULL",
    ),
    one(
        "changed",
        "index",
        "items.items_dear",
        "DROP INDEX shop.items_dear;"
        " CREATE INDEX items_dear ON shop.items (price ASC NULLS LAST) WHERE size IS NULL",
    ),
    one(
        "changed",
        "index",
        "items.items_dear",
        "DROP INDEX shop.items_dear;"
        " CREATE INDEX items_dear ON shop.items (price DESC NULLS FIRST) WHERE size IS NULL",
    ),
    one(
        "changed",
        "index",
        "items.items_name",
        "DROP INDEX shop.items_name; CREATE UNIQUE INDEX items_name ON shop.items (lower(name))",
    ),
    one("changed", "index", "items.items_dear", "ALTER INDEX shop.items_dear SET (fillfactor=50)"),
    one("removed", "index", "items.items_dear", "DROP INDEX shop.items_dear"),
    # Constraints.
    one(
        "changed",
        "check constraint",
        "items.price_positive",
        "ALTER TABLE shop.items DROP CONSTRAINT price_positive,"
        " ADD CONSTRAINT price_positive CHECK (price > 0);"
        " COMMENT ON CONSTRAINT price_positive ON shop.items IS 'Nothing is given away.'",
    ),
    one(
        "changed",
        "check constraint",
        "items.price_positive",
        "ALTER TABLE shop.items DROP CONSTRAINT price_positive,"
        " ADD CONSTRAINT price_positive CHECK (price >= 0) NOT VALID;"
        " COMMENT ON CONSTRAINT price_positive ON shop.items IS 'Nothing is given away.'",
    ),
    one(
        "removed",
        "exclusion constraint",
        "items.one_at_a_time",
        "ALTER TABLE shop.items DROP CONSTRAINT one_at_a_time",
    ),
    one(
        "changed",
        "unique constraint",
        "items.one_name",
        "ALTER TABLE shop.items DROP CONSTRAINT one_name, ADD CONSTRAINT one_name UNIQUE (name)",
    ),
    one(
        "changed",
        "foreign key",
        "items.on_shelf",
        "ALTER TABLE shop.items ALTER CONSTRAINT on_shelf DEFERRABLE INITIALLY DEFERRED",
    ),
    one(
        "changed",
        "check constraint",
        "events.events_kind_check",
        "ALTER TABLE shop.events DROP CONSTRAINT events_kind_check,"
        " ADD CONSTRAINT events_kind_check CHECK (kind <> '?')",
    ),
    one(
        "changed",
        "foreign key",
        "items.on_shelf",
        "ALTER TABLE shop.items ALTER CONSTRAINT on_shelf NOT ENFORCED",
        since=18,
    ),
    # Columns.
    one(
        "changed",
        "column",
        "items.gross",
        "ALTER TABLE shop.items DROP gross,"
        " ADD gross numeric GENERATED ALWAYS AS (price * 3) STORED",
    ),
    one(
        "changed",
        "column",
        "items.gross",
        "ALTER TABLE shop.items DROP gross,"
        " ADD gross numeric GENERATED ALWAYS AS (price * 2) VIRTUAL",
        since=18,
    ),
    one(
        "changed",
        "column",
        "items.number",
        "ALTER TABLE shop.items ALTER number SET GENERATED BY DEFAULT",
    ),
    one(
        "changed",
        "column",
        "items.number",
        "ALTER TABLE shop.items ALTER number SET INCREMENT BY 10",
    ),
    one("changed", "column", "items.price", "ALTER TABLE shop.items ALTER price SET DEFAULT 1"),
    one("changed", "column", "items.price", "ALTER TABLE shop.items ALTER price DROP NOT NULL"),
    one("changed", "column", "shelves.label", "ALTER TABLE shop.shelves ALTER label TYPE text"),
    one(
        "changed", "column", "items.name", "ALTER TABLE shop.items ALTER name SET STORAGE EXTERNAL"
    ),
    one("changed", "column", "items.size", "ALTER TABLE shop.items ALTER size SET STATISTICS 7"),
    Mutation(
        'ALTER TABLE shop.shelves ALTER label TYPE varchar(20) COLLATE "POSIX"',
        (("changed", "column", "shop.shelves.label"),),
    ),
    one("added", "column", "events.note", "ALTER TABLE shop.events ADD note text"),
    Mutation(
        "ALTER TABLE shop.events RENAME kind TO sort",
        (
            ("changed", "check constraint", "shop.events.events_kind_check"),
            ("removed", "column", "shop.events.kind"),
            ("added", "column", "shop.events.sort"),
        ),
    ),
    one(
        "changed",
        "column",
        "events_2030.kind",
        "ALTER TABLE shop.events_2030 ALTER kind SET DEFAULT 'x'",
    ),
    # Tables as a whole.
    one("changed", "table", "items", "ALTER TABLE shop.items SET (fillfactor = 80)"),
    one("changed", "table", "shelves", "ALTER TABLE shop.shelves REPLICA IDENTITY FULL"),
    one("changed", "table", "events_2031", "ALTER TABLE shop.events_2031 SET UNLOGGED"),
    one("removed", "table", "events_2031", "DROP TABLE shop.events_2031"),
    one(
        "added",
        "partition",
        "events_2031",
        "ALTER TABLE shop.events ATTACH PARTITION shop.events_2031"
        " FOR VALUES FROM ('2031-01-01') TO ('2032-01-01')",
    ),
    one("removed", "table", "events_2030", "DROP TABLE shop.events_2030"),
    one(
        "removed",
        "partition",
        "events_2030",
        "ALTER TABLE shop.events DETACH PARTITION shop.events_2030;"
        " CREATE TRIGGER touched BEFORE UPDATE ON shop.events_2030 FOR EACH ROW"
        " EXECUTE FUNCTION shop.touch()",
    ),
    # Row-level security.
    one(
        "changed",
        "policy",
        "items.cheap",
        "ALTER POLICY cheap ON shop.items USING (price < 5)",
    ),
    one("changed", "policy", "items.cheap", "ALTER POLICY cheap ON shop.items TO {app}"),
    one(
        "changed",
        "policy",
        "items.cheap",
        "DROP POLICY cheap ON shop.items;"
        " CREATE POLICY cheap ON shop.items AS RESTRICTIVE FOR SELECT USING (price < 10)",
    ),
    one(
        "removed",
        "row-level security",
        "items",
        "ALTER TABLE shop.items DISABLE ROW LEVEL SECURITY",
    ),
    one(
        "changed",
        "row-level security",
        "items",
        "ALTER TABLE shop.items FORCE ROW LEVEL SECURITY",
    ),
    # Triggers and rules.
    one(
        "changed",
        "trigger",
        "items.touched",
        "CREATE OR REPLACE TRIGGER touched BEFORE UPDATE OF price ON shop.items"
        " FOR EACH ROW EXECUTE FUNCTION shop.touch()",
    ),
    one("changed", "trigger", "items.touched", "ALTER TABLE shop.items DISABLE TRIGGER touched"),
    one(
        "changed",
        "trigger",
        "events_2030.touched",
        "ALTER TABLE shop.events_2030 DISABLE TRIGGER touched",
    ),
    one("changed", "rule", "shelves.silent", "ALTER TABLE shop.shelves DISABLE RULE silent"),
    # Views and functions.
    one(
        "changed",
        "view",
        "dear",
        "CREATE OR REPLACE VIEW shop.dear AS"
        " SELECT number, price FROM shop.items WHERE price > 200",
    ),
    one("changed", "view", "dear", "ALTER VIEW shop.dear SET (security_invoker = true)"),
    one(
        "changed",
        "materialized view",
        "counted",
        "DROP MATERIALIZED VIEW shop.counted;"
        " CREATE MATERIALIZED VIEW shop.counted AS SELECT count(price) AS n FROM shop.items",
    ),
    one(
        "changed",
        "function",
        "twice(integer)",
        "CREATE OR REPLACE FUNCTION shop.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE"
        " RETURN n * 3",
    ),
    one("changed", "function", "twice(integer)", "ALTER FUNCTION shop.twice(int) STABLE"),
    one("changed", "function", "touch()", "ALTER FUNCTION shop.touch() SECURITY DEFINER"),
    one("removed", "function", "twice(text)", "DROP FUNCTION shop.twice(text)"),
    one("changed", "procedure", "tidy()", "ALTER PROCEDURE shop.tidy() SET work_mem = '1MB'"),
    one(
        "changed",
        "aggregate",
        "total(integer)",
        "CREATE OR REPLACE AGGREGATE shop.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '1')",
    ),
    # Types and sequences.
    one("changed", "enum", "size", "ALTER TYPE shop.size ADD VALUE 'HUGE' BEFORE 'LARGE'"),
    one("changed", "enum", "size", "ALTER TYPE shop.size RENAME VALUE 'LARGE' TO 'BIG'"),
    one("changed", "domain", "email", "ALTER DOMAIN shop.email DROP CONSTRAINT has_at"),
    one("changed", "domain", "email", "ALTER DOMAIN shop.email SET NOT NULL"),
    one("changed", "domain", "email", "ALTER DOMAIN shop.email SET DEFAULT 'a@b'"),
    one("changed", "composite type", "point", "ALTER TYPE shop.point ADD ATTRIBUTE z int"),
    one(
        "changed",
        "range type",
        "span",
        "DROP TYPE shop.span; CREATE TYPE shop.span AS RANGE (subtype = int8)",
    ),
    one("changed", "sequence", "numbers", "ALTER SEQUENCE shop.numbers CYCLE"),
    one("changed", "sequence", "numbers", "ALTER SEQUENCE shop.numbers OWNED BY shop.items.price"),
    one("changed", "sequence", "numbers", "ALTER SEQUENCE shop.numbers AS int"),
    one(
        "removed",
        "statistics",
        "together",
        "DROP STATISTICS shop.together",
    ),
    # Comments and grants.
    one("changed", "comment", "items", "COMMENT ON TABLE shop.items IS 'All items.'"),
    one("removed", "comment", "items.price", "COMMENT ON COLUMN shop.items.price IS NULL"),
    one("added", "comment", "items.items_dear", "COMMENT ON INDEX shop.items_dear IS 'Dear.'"),
    one("added", "comment", "items.cheap", "COMMENT ON POLICY cheap ON shop.items IS 'Cheap.'"),
    one("added", "comment", "twice(text)", "COMMENT ON FUNCTION shop.twice(text) IS 'Twice.'"),
    one("added", "comment", "numbers", "COMMENT ON SEQUENCE shop.numbers IS 'Odd.'"),
    one("changed", "grant", "items", "GRANT DELETE ON shop.items TO {app}"),
    one("changed", "grant", "items", "GRANT SELECT ON shop.items TO {app} WITH GRANT OPTION"),
    one("removed", "grant", "items.price", "REVOKE UPDATE (price) ON shop.items FROM {app}"),
    one("removed", "grant", "touch()", "GRANT EXECUTE ON FUNCTION shop.touch() TO PUBLIC"),
    one("added", "grant", "numbers", "GRANT USAGE ON SEQUENCE shop.numbers TO {app}"),
    one("added", "grant", "size", "REVOKE USAGE ON TYPE shop.size FROM PUBLIC"),
    Mutation(
        "GRANT USAGE ON SCHEMA shop TO {app}",
        (("added", "grant", "shop"),),
    ),
    Mutation(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA later GRANT INSERT ON TABLES TO {app}",
        (("changed", "default privileges", "TABLES of {owner} in later"),),
    ),
    Mutation("CREATE PUBLICATION news", (("added", "publication", "news"),)),
    Mutation("CREATE TABLE shop.more (id int)", (("added", "table", "shop.more"),)),
    Mutation("DROP SCHEMA far", (("removed", "schema", "far"),)),
)

HARMLESS = (
    "SELECT 1",
    "INSERT INTO shop.items (price) VALUES (3)",
    "SELECT setval('shop.numbers', 99)",
    "ALTER TABLE shop.items ADD tmp int; ALTER TABLE shop.items DROP tmp",
    "ALTER TABLE shop.shelves RENAME label TO l; ALTER TABLE shop.shelves RENAME l TO label",
    "ANALYZE shop.items; REINDEX TABLE shop.items; CLUSTER shop.items USING items_pkey;"
    " ALTER TABLE shop.items SET WITHOUT CLUSTER",
    "GRANT DELETE ON shop.items TO {app}; REVOKE DELETE ON shop.items FROM {app}",
    "GRANT SELECT ON shop.shelves TO {app}; REVOKE SELECT ON shop.shelves FROM {app}",
    "GRANT EXECUTE ON FUNCTION shop.twice(int) TO PUBLIC",
    "DROP VIEW shop.dear; CREATE VIEW shop.dear AS"
    " SELECT number, price FROM shop.items WHERE price > 100",
    "ALTER TABLE shop.items DROP email, ADD email shop.email",
    "DROP TABLE shop.events_2030; CREATE TABLE shop.events_2030 PARTITION OF shop.events"
    " FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')",
    "COMMENT ON TABLE shop.shelves IS 'x'; COMMENT ON TABLE shop.shelves IS NULL",
    "SET search_path = shop; SET DateStyle = German; SET IntervalStyle = iso_8601;"
    " SET TimeZone = 'Asia/Tokyo'; SET quote_all_identifiers = on; SET extra_float_digits = -10",
)
