"""Statements that write rows, or try to."""

from __future__ import annotations

from tests.operations.battery.case import case

ROWS = (
    case("insert", "INSERT INTO shop.items (id, price) VALUES (99, 1)", "rows"),
    case("update", "UPDATE shop.items SET price = price + 1", "rows"),
    case("delete", "DELETE FROM shop.orders WHERE id = 1", "rows"),
    case("update one of a host", "UPDATE host.users SET email = 'x' WHERE id = 'u1'", "rows"),
    case(
        "merge",
        "MERGE INTO shop.items i USING (VALUES (1), (98)) v (id) ON i.id = v.id"
        " WHEN MATCHED THEN UPDATE SET price = 0 WHEN NOT MATCHED THEN INSERT (id, price)"
        " VALUES (v.id, 0)",
        "rows",
    ),
    case("copy", "COPY shop.log FROM PROGRAM 'echo x'", "rows", superuser=True),
    case("insert select", "INSERT INTO shop.log SELECT label FROM shop.items", "rows"),
    case("cte", "WITH d AS (DELETE FROM shop.orders RETURNING 1) SELECT count(*) FROM d", "rows"),
    case("returning", "UPDATE shop.items SET other = 'x' WHERE id = 1 RETURNING id", "rows"),
    case("cascade", "DELETE FROM shop.items WHERE id = 1", "rows"),
    case("set null of a host", "DELETE FROM host.users WHERE id = 'u1'", "rows"),
    case("do block", "DO $$ BEGIN UPDATE shop.items SET price = 0; END $$", "rows"),
    case(
        "dynamic",
        "DO $$ BEGIN EXECUTE concat('UPDATE ', 'shop', '.items SET price = 0'); END $$",
        "rows",
    ),
    case("security definer", "SELECT shop.raise_prices()", "rows"),
    case("procedure", "CALL shop.clear_notes()", "rows"),
    case(
        "row move",
        "UPDATE shop.events SET region = 'us', id = 9 WHERE region = 'eu' AND id = 1",
        "rows",
    ),
    case("insert through the parent", "INSERT INTO shop.events VALUES ('eu', 77, 'x')", "rows"),
    case("insert into a leaf", "INSERT INTO shop.events_us VALUES ('us', 77, 'x')", "rows"),
    case("update through the parent", "UPDATE shop.parent SET a = 2", "rows", "attempted"),
    case("update through a view", "UPDATE shop.v_walled SET a = 2", "rows"),
    case(
        "on conflict update",
        "INSERT INTO shop.items (id, price) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET price = 5",
        "rows",
    ),
    case(
        "delete and insert the same",
        "CREATE TEMP TABLE kept AS SELECT * FROM shop.orders;"
        " DELETE FROM shop.orders; INSERT INTO shop.orders SELECT * FROM kept",
        "rows",
    ),
    case("savepoint kept", "SAVEPOINT a; UPDATE shop.items SET price = 0; RELEASE a", "rows"),
    case(
        "undone, then done",
        "SAVEPOINT a; UPDATE shop.items SET price = 0; ROLLBACK TO a;"
        " UPDATE shop.items SET price = 1 WHERE id = 1",
        "rows",
    ),
    case("deferred trigger", "INSERT INTO shop.inbox VALUES (1)", "rows"),
    case(
        "deferred again", "SET CONSTRAINTS ALL DEFERRED; INSERT INTO shop.inbox VALUES (1)", "rows"
    ),
    case(
        "deferred on a new table",
        "CREATE TABLE shop.fresh (a int); CREATE CONSTRAINT TRIGGER t"
        " AFTER INSERT ON shop.fresh DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION"
        " shop.late(); INSERT INTO shop.fresh VALUES (1)",
        "rows",
        "additive",
    ),
    case(
        "expression index that writes",
        "CREATE INDEX ON shop.orders (shop.sly(id))",
        "rows",
        "additive",
    ),
    case(
        "check that writes",
        "ALTER TABLE shop.orders ADD CHECK (shop.sly(id) > 0)",
        "rows",
        "additive",
    ),
    case(
        "default that writes",
        "CREATE TABLE shop.fresh (a int, b int DEFAULT shop.sly(1));"
        " INSERT INTO shop.fresh (a) VALUES (1)",
        "rows",
        "additive",
    ),
    case("unlogged", "UPDATE shop.scratch SET a = 2", "rows"),
    case(
        "new trigger that writes",
        "CREATE TRIGGER t AFTER INSERT ON shop.log FOR EACH ROW"
        " EXECUTE FUNCTION shop.late(); INSERT INTO shop.log VALUES ('x')",
        "rows",
        "behaviour",
    ),
    case("prepared", "PREPARE p AS UPDATE shop.items SET price = 0; EXECUTE p", "rows"),
    case(
        "cursor",
        "DO $$ DECLARE c CURSOR FOR SELECT * FROM shop.orders FOR UPDATE; BEGIN FOR r IN"
        " c LOOP UPDATE shop.orders SET count = 0 WHERE CURRENT OF c; END LOOP; END $$",
        "rows",
    ),
    case("no-op update", "UPDATE shop.items SET price = price", "rows"),
    case(
        "counters off",
        "SET LOCAL track_counts = off; UPDATE shop.items SET price = 0",
        "attempted",
        superuser=True,
    ),
    case(
        "counters off and on",
        "SET LOCAL track_counts = off; UPDATE shop.items SET price = 0;"
        " SET LOCAL track_counts = on",
        "attempted",
        superuser=True,
    ),
    case(
        "as a replica",
        "SET LOCAL session_replication_role = replica; DELETE FROM shop.items WHERE id = 1",
        "rows",
        superuser=True,
    ),
    case("large object written", "SELECT lo_put(4242, 0, 'other')", "rows"),
    case("large object removed", "SELECT lo_unlink(4242)", "rows"),
    case("large object truncated", "SELECT lo_truncate(lo_open(4242, 131072), 1)", "rows"),
    case("large object made", "SELECT lo_create(4243)", "rows"),
    case("another search path", "SET LOCAL search_path = host; DELETE FROM posts", "rows"),
    case(
        "as another role",
        "SET LOCAL ROLE pg_database_owner; RESET ROLE; UPDATE shop.items SET price = 0",
        "rows",
        superuser=True,
    ),
)

EMPTY_HANDED = (
    case("update of no row", "UPDATE shop.items SET price = 0 WHERE false", "attempted"),
    case("delete of no row", "DELETE FROM host.users WHERE id = 'nobody'", "attempted"),
    case(
        "on conflict nothing",
        "INSERT INTO shop.items (id, price) VALUES (1, 5) ON CONFLICT DO NOTHING",
        "attempted",
    ),
    case("insert of no row", "INSERT INTO shop.log SELECT 'x' WHERE false", "attempted"),
    case("a rule that refuses", "DELETE FROM shop.log", "attempted"),
    case(
        "undone by savepoint",
        "SAVEPOINT a; UPDATE shop.items SET price = 0; ROLLBACK TO a",
        "undone",
    ),
    case(
        "undone by exception",
        "DO $$ BEGIN UPDATE shop.items SET price = 0; RAISE 'x';"
        " EXCEPTION WHEN OTHERS THEN NULL; END $$",
        "undone",
    ),
    case("select for update", "SELECT FROM shop.items FOR UPDATE"),
    case("select", "SELECT count(*) FROM shop.items"),
    case("lock", "LOCK TABLE shop.items IN SHARE ROW EXCLUSIVE MODE"),
    case("analyze", "ANALYZE shop.items"),
    case("temporary table", "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT * FROM shop.items"),
    case("explain", "EXPLAIN DELETE FROM shop.items", "attempted"),
)

# Last: what they take away of the statistics stays away.
RESETS = (
    case(
        "statistics reset",
        "UPDATE shop.items SET price = 0; SELECT pg_stat_reset()",
        "rows",
        superuser=True,
    ),
    case(
        "statistics of a table reset",
        "UPDATE shop.items SET price = 0;"
        " SELECT pg_stat_reset_single_table_counters('shop.items'::regclass)",
        "rows",
        superuser=True,
    ),
)
