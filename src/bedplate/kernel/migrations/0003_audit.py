"""What every audit log shares: ids made in SQL, who is acting, capture, and one view over all."""

from __future__ import annotations

from alembic import op

from bedplate.kernel import capture, lines

revision = "0003_audit"
down_revision = "0002_append_only"

# Ids rise by the machine's clock, as those made in Python do, also while a test's clock stands
# still. 60 bits of time (milliseconds, then 1/4096ths of one) and 62 of chance; only built-in
# functions, each asked once, so that PostgreSQL inlines the whole into the INSERT.
UUID7 = """
CREATE FUNCTION bedplate.uuid7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (
        pg_catalog.overlay(
            pg_catalog.lpad(pg_catalog.to_hex(
                (EXTRACT(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint * 512 / 125
            ), 15, '0'),
            '7', 13, 0
        ) || pg_catalog.right(pg_catalog.gen_random_uuid()::text, 17)
    )::uuid;
COMMENT ON FUNCTION bedplate.uuid7() IS
    'A key (UUIDv7) for rows that SQL itself makes; it rises within a connection.';
"""

CONTEXT = """
CREATE FUNCTION bedplate.context(name text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(pg_catalog.current_setting('bedplate.' || name, true), '');
COMMENT ON FUNCTION bedplate.context(text) IS
    'What the transaction says of its request: actor, request_id, ip or user_agent, else NULL.';

CREATE FUNCTION bedplate.actor_key(anyelement) RETURNS anyelement
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    actor CONSTANT text := nullif(current_setting('bedplate.actor', true), '');
    key ALIAS FOR $0;
BEGIN
    IF actor IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        key := actor;
    EXCEPTION WHEN data_exception THEN
        RAISE EXCEPTION 'The acting user is not the key of a user.' USING ERRCODE = 'BP002';
    END;
    RETURN key;
END
$$;
COMMENT ON FUNCTION bedplate.actor_key(anyelement) IS
    'Who is acting, in the type of the value given (NULL::uuid); NULL for the system itself.';
"""

# Names are looked up once, here: a trigger runs for every statement. WHEN lets the functions of a
# ledger, which write rows of their own, go without capture. The setting alone would let anyone go
# without it, so the statement must also be run by who may create in the schema (such a function's
# owner), and not by a cascade, which PostgreSQL runs as the owner whoever caused it. A function
# says so, as PostgreSQL would take the condition itself from its stored text for every statement.
CAPTURE = """
CREATE FUNCTION bedplate.is_captured(log_schema text) RETURNS boolean
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN coalesce(pg_catalog.current_setting('bedplate.audited', true), '')
            OPERATOR(pg_catalog.<>) log_schema
        OR pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.>) 0
        OR NOT pg_catalog.has_schema_privilege(log_schema, 'CREATE');
END
$$;
COMMENT ON FUNCTION bedplate.is_captured(text) IS
    'Whether a statement that runs now is captured, or by a ledger''s function that records it.';

CREATE FUNCTION bedplate.capture(log_schema text, captured text, redacted text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place CONSTANT regclass := format('%I.%I', log_schema, captured);
    key text[];
    missing text;
    kind text;
BEGIN
    SELECT array_agg(a.attname::text ORDER BY k.nth) INTO key
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, nth)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = place AND i.indisprimary;
    IF key IS NULL THEN
        RAISE EXCEPTION '% has no primary key to name its rows by.', place;
    END IF;
    SELECT string_agg(name, ', ') INTO missing FROM unnest(redacted) AS name
    WHERE name = ANY (key) OR NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = place AND attname = name AND attnum > 0 AND NOT attisdropped
    );
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '% has no column to redact outside of its key: %.', place, missing;
    END IF;
    FOREACH kind IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
        EXECUTE format(
            'CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT'
            ' WHEN (bedplate.is_captured(%L)) EXECUTE FUNCTION %I.capture_rows(%L, %L)',
            format('tr_%s_capture_%s', captured, lower(kind)), kind, place,
            CASE kind
                WHEN 'INSERT' THEN 'REFERENCING NEW TABLE AS new_rows'
                WHEN 'UPDATE' THEN 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'
                WHEN 'DELETE' THEN 'REFERENCING OLD TABLE AS old_rows'
                ELSE ''
            END,
            log_schema, log_schema, key, redacted
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION bedplate.capture(text, text, text[]) IS
    'Records every change of a table in its schema''s audit log; for revisions.';
REVOKE ALL ON FUNCTION bedplate.capture(text, text, text[]) FROM PUBLIC;
"""


def upgrade() -> None:
    """Create the functions, and the view that is empty while no module has a log."""
    op.execute(UUID7)
    op.execute(CONTEXT)
    op.execute(CAPTURE)
    op.execute(capture.view_sql(()))
    op.execute(capture.VIEW_COMMENTS)
    lines.grant("audit_log", privileges=("SELECT",))


def downgrade() -> None:
    """Drop what upgrade() made."""
    op.execute("DROP VIEW bedplate.audit_log")
    op.execute("DROP FUNCTION bedplate.capture(text, text, text[])")
    op.execute("DROP FUNCTION bedplate.is_captured(text)")
    op.execute("DROP FUNCTION bedplate.actor_key(anyelement)")
    op.execute("DROP FUNCTION bedplate.context(text)")
    op.execute("DROP FUNCTION bedplate.uuid7()")
