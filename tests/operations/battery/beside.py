"""Statements that add, that reach into other schemas, and what others do meanwhile."""

from __future__ import annotations

from tests.operations.battery.case import case

ADDITIONS = (
    case(
        "new table",
        "CREATE TABLE shop.fresh (id int PRIMARY KEY); INSERT INTO shop.fresh VALUES (1)",
        "additive",
    ),
    case("new column", "ALTER TABLE shop.items ADD more int", "additive"),
    case("constant default", "ALTER TABLE shop.items ADD more int NOT NULL DEFAULT 7", "additive"),
    case("new index", "CREATE INDEX ON shop.items (price)", "additive"),
    case("new check", "ALTER TABLE shop.items ADD CHECK (price < 1000)", "additive"),
    case(
        "not valid, then valid",
        "ALTER TABLE shop.items ADD CONSTRAINT c CHECK (id > 0) NOT VALID;"
        " ALTER TABLE shop.items VALIDATE CONSTRAINT c",
        "additive",
    ),
    case(
        "foreign key to a host",
        "CREATE TABLE shop.fans (user_id text REFERENCES host.users)",
        "additive",
    ),
    case(
        "foreign key within",
        "ALTER TABLE shop.orders ADD fan text REFERENCES host.users",
        "additive",
    ),
    case(
        "new partition",
        "CREATE TABLE shop.events_af PARTITION OF shop.events FOR VALUES IN ('af')",
        "additive",
    ),
    case("new default", "ALTER TABLE shop.items ALTER label SET DEFAULT 'x'", "additive"),
    case("comment", "COMMENT ON TABLE shop.items IS 'What is sold.'", "said"),
    case("grant", "GRANT INSERT ON shop.items TO {app}", "additive"),
    case(
        "new function",
        "CREATE FUNCTION shop.one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "additive",
    ),
    case("new statistics", "CREATE STATISTICS shop.s ON id, price FROM shop.items", "additive"),
    case("new enum", "CREATE TYPE shop.colour AS ENUM ('RED')", "additive"),
    case("new view", "CREATE VIEW shop.v AS SELECT id FROM shop.items", "additive"),
    case("nothing", "SELECT 1"),
)

ELSEWHERE = (
    case("comment of a host", "COMMENT ON TABLE host.users IS 'x'", "said"),
    case("grant of a host", "GRANT SELECT ON host.users TO {app}", "additive"),
    case("column grant of a host", "GRANT SELECT (email) ON host.users TO {app}", "additive"),
    case(
        "column grant in a savepoint",
        "SAVEPOINT a; GRANT SELECT (email) ON host.users TO {app}; RELEASE a",
        "additive",
    ),
    case(
        "column grant undone",
        "SAVEPOINT a; GRANT SELECT (email) ON host.users TO {app}; ROLLBACK TO a",
    ),
    case("index of a host", "CREATE INDEX ON host.users (born)", "additive"),
    case("column of a host", "ALTER TABLE host.users ADD more int", "additive"),
    case("table in a host", "CREATE TABLE host.fresh (a int)", "additive"),
    case("table in public", "CREATE TABLE public.fresh (a int)", "additive"),
    case(
        "function in a host",
        "CREATE FUNCTION host.one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "additive",
    ),
    case("new schema", "CREATE SCHEMA extra", "additive"),
    case(
        "default privileges",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA host GRANT SELECT ON TABLES TO {app}",
        "additive",
    ),
    case(
        "database setting",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''8MB''',"
        " current_database()); END $$",
        "additive",
    ),
    case(
        "setting of a role",
        "ALTER ROLE CURRENT_USER SET search_path = host, shop",
        "additive",
    ),
    case(
        "setting of a role here",
        "DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I"
        " SET search_path = host', current_database()); END $$",
        "additive",
    ),
    case(
        "setting of a role elsewhere",
        "ALTER ROLE CURRENT_USER IN DATABASE postgres SET search_path = host",
        "additive",
    ),
    case(
        "setting in a savepoint",
        "SAVEPOINT a; ALTER ROLE CURRENT_USER SET jit = off; RELEASE a",
        "additive",
    ),
    case("setting undone", "SAVEPOINT a; ALTER ROLE CURRENT_USER SET jit = off; ROLLBACK TO a"),
    case(
        "setting of all roles",
        "ALTER ROLE ALL SET search_path = host",
        "additive",
        superuser=True,
    ),
    case("membership", "GRANT pg_read_all_data TO {app}", "additive", superuser=True),
    case("rights of a role", "ALTER ROLE {app} BYPASSRLS", "shape", superuser=True),
    case("new role", "CREATE ROLE battery_guest", "additive", superuser=True),
    case(
        "user mapping",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER afar OPTIONS (user 'x')",
        "additive",
    ),
    case(
        "user mapping changed",
        "ALTER USER MAPPING FOR PUBLIC SERVER afar OPTIONS (SET user 'root')",
        "shape",
        superuser=True,
    ),
    case(
        "publication",
        "CREATE PUBLICATION p FOR TABLE host.users",
        "additive",
        "shape",
        superuser=True,
    ),
)

OTHER_SESSIONS = (
    case("vacuum full meanwhile", "SELECT 1", "external", meanwhile="VACUUM FULL host.users"),
    case(
        "app traffic meanwhile",
        "CREATE TABLE shop.fresh (a int)",
        "additive",
        meanwhile="UPDATE host.users SET born = born",
    ),
    case(
        "app draws numbers meanwhile",
        "SELECT 1",
        "external",
        meanwhile="SELECT nextval('shop.numbers')",
    ),
    case(
        "table meanwhile",
        "SELECT 1",
        "external",
        meanwhile="CREATE TABLE IF NOT EXISTS host.later (a int)",
    ),
    case(
        "column meanwhile",
        "SELECT 1",
        meanwhile="ALTER TABLE host.posts ADD IF NOT EXISTS later int",
    ),
    case(
        "setting of a role meanwhile",
        "SELECT 1",
        "external",
        meanwhile="DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I"
        " SET work_mem = ''9MB''', current_database()); END $$",
    ),
    case("autovacuum meanwhile", "SELECT 1", meanwhile="VACUUM ANALYZE host.posts"),
)
