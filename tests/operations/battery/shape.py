"""Statements that change a definition through which rows are read."""

from __future__ import annotations

from tests.operations.battery.case import case

SHAPE = (
    case("drop table", "DROP TABLE shop.orders", "gone"),
    case(
        "drop and make again",
        "DROP TABLE shop.orders; CREATE TABLE shop.orders (id int PRIMARY"
        " KEY, item_id int REFERENCES shop.items ON DELETE CASCADE, count int)",
        "gone",
        "additive",
    ),
    case(
        "table swap",
        "ALTER TABLE shop.orders RENAME TO o; ALTER TABLE shop.empty RENAME TO"
        " orders; ALTER TABLE shop.o RENAME TO empty",
        "shape",
    ),
    case("rename table", "ALTER TABLE shop.orders RENAME TO bookings", "shape"),
    case("another schema", "ALTER TABLE shop.orders SET SCHEMA host", "shape"),
    case(
        "rename schema", "ALTER SCHEMA host RENAME TO guests", "shape", "additive", superuser=True
    ),
    case("rename column", "ALTER TABLE shop.items RENAME note TO remark", "shape"),
    case(
        "rename in a savepoint",
        "SAVEPOINT a; SAVEPOINT b; ALTER TABLE shop.items RENAME note TO remark; RELEASE a",
        "shape",
    ),
    case(
        "rename undone", "SAVEPOINT a; ALTER TABLE shop.items RENAME note TO remark; ROLLBACK TO a"
    ),
    case(
        "column swap",
        "ALTER TABLE shop.items RENAME other TO o; ALTER TABLE shop.items RENAME"
        " label TO other; ALTER TABLE shop.items RENAME o TO label",
        "shape",
    ),
    case("drop column", "ALTER TABLE shop.items DROP note", "shape"),
    case(
        "drop and add column",
        "ALTER TABLE shop.items DROP note; ALTER TABLE shop.items ADD note varchar(20)",
        "shape",
        "additive",
    ),
    case("wider varchar", "ALTER TABLE shop.items ALTER note TYPE varchar(40)", "shape"),
    case("text for varchar", "ALTER TABLE shop.items ALTER note TYPE text", "shape"),
    case("detach partition", "ALTER TABLE shop.events DETACH PARTITION shop.events_eu", "shape"),
    case(
        "attach partition",
        "ALTER TABLE shop.events ATTACH PARTITION shop.events_as FOR VALUES IN ('as')",
        "shape",
    ),
    case(
        "attach a new one with rows",
        "CREATE TABLE shop.events_af (LIKE shop.events INCLUDING"
        " ALL); INSERT INTO shop.events_af VALUES ('af', 1, 'x'); ALTER TABLE shop.events ATTACH"
        " PARTITION shop.events_af FOR VALUES IN ('af')",
        "shape",
        "additive",
    ),
    case("drop partition", "DROP TABLE shop.events_eu", "gone", "shape"),
    case("no inherit", "ALTER TABLE shop.child NO INHERIT shop.parent", "shape"),
    case("rename label", "ALTER TYPE shop.size RENAME VALUE 'SMALL' TO 'TINY'", "shape"),
    case(
        "labels swapped",
        "ALTER TYPE shop.size RENAME VALUE 'SMALL' TO 'X';"
        " ALTER TYPE shop.size RENAME VALUE 'LARGE' TO 'SMALL';"
        " ALTER TYPE shop.size RENAME VALUE 'X' TO 'LARGE'",
        "shape",
    ),
    case(
        "label by hand",
        "UPDATE pg_enum SET enumlabel = 'TINY' WHERE enumlabel = 'SMALL'",
        "shape",
        superuser=True,
    ),
    case(
        "column by hand",
        "UPDATE pg_attribute SET attname = 'remark' WHERE attname = 'note'"
        " AND attrelid = 'shop.items'::regclass",
        "shape",
        superuser=True,
    ),
    case("add label", "ALTER TYPE shop.size ADD VALUE 'HUGE'", "shape"),
    case("rename type", "ALTER TYPE shop.size RENAME TO extent", "shape", "additive"),
    case(
        "view redefined",
        "CREATE OR REPLACE VIEW shop.v_items AS SELECT id, lower(label) AS label FROM shop.items",
        "shape",
    ),
    case(
        "view column added",
        "CREATE OR REPLACE VIEW shop.v_items AS SELECT id,"
        " shop.shout(label) AS label, price FROM shop.items",
        "shape",
        "additive",
    ),
    case("drop view", "DROP VIEW shop.v_items", "gone"),
    case("drop matview", "DROP MATERIALIZED VIEW shop.m_items", "gone"),
    case(
        "function redefined",
        "CREATE OR REPLACE FUNCTION shop.shout(text) RETURNS text LANGUAGE"
        " sql IMMUTABLE AS 'SELECT lower($1)'",
        "shape",
    ),
    case(
        "function of a host",
        "CREATE OR REPLACE FUNCTION host.version() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "shape",
    ),
    case("drop function", "DROP FUNCTION host.version()", "shape"),
    case("function setting", "ALTER FUNCTION shop.shout(text) SET search_path = host", "shape"),
    case("function renamed", "ALTER FUNCTION shop.noop() RENAME TO nothing", "shape", "additive"),
    case(
        "generated re-expressed",
        "ALTER TABLE shop.virtual ALTER b SET EXPRESSION AS (a * 3)",
        "shape",
        major=18,
    ),
    case(
        "stored re-expressed",
        "ALTER TABLE shop.doubled ALTER b SET EXPRESSION AS (a * 3)",
        "shape",
        "rewritten",
        major=18,
    ),
    case("drop expression", "ALTER TABLE shop.doubled ALTER b DROP EXPRESSION", "shape"),
    case("domain loosened", "ALTER DOMAIN shop.short DROP CONSTRAINT short_check", "shape"),
    case("domain tightened", "ALTER DOMAIN shop.short ADD CHECK (VALUE <> '')", "shape"),
    case("domain default", "ALTER DOMAIN shop.short SET DEFAULT 'x'", "shape"),
    case("composite attribute", "ALTER TYPE shop.pair DROP ATTRIBUTE b", "shape"),
    case("drop not null", "ALTER TABLE shop.items ALTER price DROP NOT NULL", "shape"),
    case("drop check", "ALTER TABLE shop.items DROP CONSTRAINT items_price_check", "shape"),
    case(
        "drop foreign key", "ALTER TABLE shop.orders DROP CONSTRAINT orders_item_id_fkey", "shape"
    ),
    case("rename index", "ALTER INDEX shop.ix_items_label RENAME TO ix_o", "shape", "additive"),
    case("index storage", "ALTER INDEX shop.ix_items_label SET (fillfactor = 50)", "shape"),
    case("drop index", "DROP INDEX shop.ix_items_label", "shape"),
    case(
        "another default",
        "ALTER TABLE shop.doubled ALTER a SET DEFAULT 1; ALTER TABLE shop.items"
        " ALTER kind SET DEFAULT 'a'; ALTER TABLE shop.items ALTER kind SET DEFAULT 'b'",
        "additive",
    ),
    case("owner", "ALTER TABLE shop.orders OWNER TO {app}", "shape", superuser=True),
    case("storage", "ALTER TABLE shop.items SET (fillfactor = 70)", "shape"),
    case("statistics target", "ALTER TABLE shop.items ALTER label SET STATISTICS 500", "shape"),
    case("column storage", "ALTER TABLE shop.items ALTER label SET STORAGE EXTERNAL", "shape"),
    case("replica identity", "ALTER TABLE shop.items REPLICA IDENTITY FULL", "shape"),
    case("set not null", "ALTER TABLE shop.doubled ALTER a SET NOT NULL", "additive"),
    case("revoke", "REVOKE SELECT ON shop.items FROM {app}", "shape"),
    case("drop schema", "DROP SCHEMA host CASCADE", "gone", "shape"),
    case("extension", "CREATE EXTENSION vector", "additive", superuser=True, extension="vector"),
    case("collation version", "ALTER COLLATION shop.plain REFRESH VERSION"),
)

BEHAVIOUR = (
    case(
        "new trigger",
        "CREATE TRIGGER t BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.noop()",
        "behaviour",
    ),
    case(
        "trigger of a host",
        "CREATE TRIGGER t BEFORE UPDATE ON host.users FOR EACH ROW EXECUTE FUNCTION shop.noop()",
        "behaviour",
    ),
    case("drop trigger", "DROP TRIGGER tr_walled ON shop.walled", "behaviour"),
    case("disable trigger", "ALTER TABLE shop.walled DISABLE TRIGGER tr_walled", "behaviour"),
    case(
        "disable foreign keys",
        "ALTER TABLE shop.orders DISABLE TRIGGER ALL",
        "behaviour",
        superuser=True,
    ),
    case("row security", "ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY", "behaviour"),
    case("row security off", "ALTER TABLE shop.walled DISABLE ROW LEVEL SECURITY", "behaviour"),
    case("force row security", "ALTER TABLE shop.walled FORCE ROW LEVEL SECURITY", "behaviour"),
    case(
        "new policy", "CREATE POLICY none ON shop.walled AS RESTRICTIVE USING (false)", "behaviour"
    ),
    case("policy changed", "ALTER POLICY all_rows ON shop.walled USING (false)", "behaviour"),
    case("drop policy", "DROP POLICY all_rows ON shop.walled", "behaviour"),
    case(
        "new rule", "CREATE RULE quiet AS ON INSERT TO shop.orders DO INSTEAD NOTHING", "behaviour"
    ),
    case("drop rule", "DROP RULE no_delete ON shop.log", "behaviour"),
    case(
        "instead of",
        "CREATE TRIGGER t INSTEAD OF UPDATE ON shop.v_items FOR EACH ROW"
        " EXECUTE FUNCTION shop.noop()",
        "behaviour",
    ),
)
