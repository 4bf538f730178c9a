"""Statements that give a relation a new file, or move a sequence."""

from __future__ import annotations

from tests.operations.battery.case import case

FILES = (
    case("truncate", "TRUNCATE shop.orders", "emptied"),
    case("truncate cascade", "TRUNCATE shop.items CASCADE", "emptied"),
    case("truncate restart", "TRUNCATE shop.tickets RESTART IDENTITY", "emptied", "moved"),
    case("truncate a partition", "TRUNCATE shop.events_eu", "emptied"),
    case("truncate the parent", "TRUNCATE shop.events", "emptied"),
    case("truncate what is empty", "TRUNCATE shop.empty", "rewritten"),
    case(
        "update then truncate",
        "UPDATE shop.orders SET count = 0; TRUNCATE shop.orders",
        "emptied",
        "attempted",
    ),
    case(
        "truncate and insert the same",
        "CREATE TEMP TABLE kept AS SELECT * FROM shop.orders;"
        " TRUNCATE shop.orders; INSERT INTO shop.orders SELECT * FROM kept",
        "rows",
        "rewritten",
    ),
    case(
        "truncate, counters off",
        "SET LOCAL track_counts = off; TRUNCATE shop.orders",
        "emptied",
        superuser=True,
    ),
    case(
        "volatile default",
        "ALTER TABLE shop.items ADD token uuid DEFAULT gen_random_uuid()",
        "rewritten",
        "additive",
    ),
    case("another type", "ALTER TABLE shop.orders ALTER count TYPE bigint", "rewritten", "shape"),
    case(
        "another type using",
        "ALTER TABLE shop.orders ALTER count TYPE int USING count + 1",
        "rewritten",
    ),
    case(
        "stored generated column",
        "ALTER TABLE shop.items ADD twice numeric GENERATED ALWAYS AS (price * 2) STORED",
        "rewritten",
        "additive",
    ),
    case(
        "identity column",
        "ALTER TABLE shop.orders ADD n int GENERATED ALWAYS AS IDENTITY",
        "rewritten",
        "additive",
    ),
    case("serial column", "ALTER TABLE shop.orders ADD n serial", "rewritten", "additive"),
    case("set unlogged", "ALTER TABLE shop.orders SET UNLOGGED", "rewritten", "shape"),
    case("set logged", "ALTER TABLE shop.scratch SET LOGGED", "rewritten", "shape"),
    case("cluster", "CLUSTER shop.items USING items_pkey", "rewritten"),
    case(
        "domain with a rule",
        "CREATE DOMAIN shop.positive AS int CHECK (VALUE > 0);"
        " ALTER TABLE shop.items ADD n shop.positive",
        "rewritten",
        "additive",
    ),
    case("refresh", "REFRESH MATERIALIZED VIEW shop.m_items", "derived"),
    case(
        "refresh with changes",
        "UPDATE shop.items SET price = 0; REFRESH MATERIALIZED VIEW shop.m_items",
        "rows",
        "derived",
    ),
    case(
        "refresh concurrently",
        "UPDATE shop.items SET price = 0; REFRESH MATERIALIZED VIEW CONCURRENTLY shop.m_items",
        "rows",
        "derived",
    ),
    case("refresh with no data", "REFRESH MATERIALIZED VIEW shop.m_items WITH NO DATA", "derived"),
    case("reindex", "REINDEX TABLE shop.items"),
)

SEQUENCES = (
    case("nextval", "SELECT nextval('shop.numbers')", "moved"),
    case("setval", "SELECT setval('shop.numbers', 500)", "moved"),
    case("setval not called", "SELECT setval('shop.numbers', 700, false)", "moved"),
    case(
        "nextval undone",
        "DO $$ BEGIN PERFORM nextval('shop.numbers'); RAISE 'x';"
        " EXCEPTION WHEN OTHERS THEN NULL; END $$",
        "moved",
    ),
    case("restart", "ALTER SEQUENCE shop.numbers RESTART WITH 900", "moved"),
    case("increment", "ALTER SEQUENCE shop.numbers INCREMENT 5", "shape", "moved"),
    case("restart identity", "ALTER TABLE shop.tickets ALTER id RESTART WITH 50", "moved"),
    case("owned by", "ALTER SEQUENCE shop.numbers OWNED BY shop.items.id", "shape"),
    case("identity insert", "INSERT INTO shop.tickets (what) VALUES ('x')", "rows", "moved"),
    case("a new sequence", "CREATE SEQUENCE shop.more; SELECT nextval('shop.more')", "additive"),
)
