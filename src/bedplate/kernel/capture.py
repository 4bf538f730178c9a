"""What a revision asks for an audit log: its table, and triggers that record a table's changes.

A captured change is one row of `<schema>.audit_logs`, whoever made it and however: raw SQL, COPY,
a cascade. An INSERT keeps the whole row as `after`, a DELETE the whole row as `before`, an UPDATE
the key and the columns that changed on both sides; an UPDATE that changes nothing keeps nothing.
TRUNCATE is one row without values, about the entity `*`. The entity's type is the table's name,
its id the primary key as text, the parts of a composite one joined by commas.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from bedplate.kernel import lines
from bedplate.kernel.lines import LineContext

LOG_TABLE = "audit_logs"
"""The table's name, in each schema that has one."""

CAPTURED = ("ROW_INSERTED", "ROW_UPDATED", "ROW_DELETED", "TABLE_TRUNCATED")
"""The actions of captured rows; a log that captures has them behind its own."""

REDACTED = "[redacted]"
"""What stands for a value that is never shown; NULL stays NULL."""

SAID = ("id", "action", "entity_type", "entity_id", "changes", "description")
"""What of an entry the app's role may say; who, when and from where is the transaction's."""

LOG = """
CREATE TYPE {schema}.audit_action AS ENUM ({actions});
COMMENT ON TYPE {schema}.audit_action IS 'What an audit log records.';
CREATE TABLE {log} (
    id uuid NOT NULL DEFAULT bedplate.uuid7(),
    action {schema}.audit_action NOT NULL,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    user_id {key} DEFAULT bedplate.actor_key(NULL::{key}),
    changes jsonb,
    description text NOT NULL,
    ip_address text DEFAULT bedplate.context('ip'),
    user_agent text DEFAULT bedplate.context('user_agent'),
    created_at timestamptz NOT NULL DEFAULT bedplate.now(),
    actor_type text NOT NULL DEFAULT
        CASE WHEN bedplate.context('actor') IS NULL THEN 'SYSTEM' ELSE 'USER' END,
    request_id text DEFAULT bedplate.context('request_id'),
    transaction_id xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    CONSTRAINT pk_audit_logs PRIMARY KEY (id),
    CONSTRAINT fk_audit_logs_user_id_users FOREIGN KEY (user_id)
        REFERENCES {users} ({users_key}) ON DELETE RESTRICT,
    CONSTRAINT ck_audit_logs_actor CHECK (
        (actor_type = 'USER' AND user_id IS NOT NULL)
        OR (actor_type = 'SYSTEM' AND user_id IS NULL)
    )
);
CREATE INDEX ix_audit_logs_entity_id_created_at ON {log} (entity_id, created_at);
CREATE INDEX ix_audit_logs_entity_type ON {log} (entity_type);
CREATE INDEX ix_audit_logs_user_id ON {log} (user_id);
CREATE INDEX ix_audit_logs_created_at ON {log} (created_at);
CREATE INDEX ix_audit_logs_action ON {log} (action);
COMMENT ON TABLE {log} IS {table_comment};
"""

TABLE_COMMENT = "Who changed what, when and from where; append-only."
COMMENTS = {
    "id": "Key (UUIDv7).",
    "action": "What was done.",
    "entity_type": "What it was done to: a table's name, or the business's own word.",
    "entity_id": "Which one: its key as text; * for a whole table.",
    "user_id": "Who did it; NULL for the system itself.",
    "changes": "{before, after}: the values that changed, secrets redacted; NULL where none did.",
    "description": "What was done, in words.",
    "ip_address": "Where the request came from.",
    "user_agent": "The program it came from.",
    "created_at": "When, by the start of the transaction.",
    "actor_type": "USER, or SYSTEM where nobody was known to act.",
    "request_id": "Which request it belongs to.",
    "transaction_id": "Which transaction did it; all that it did has the same.",
}
"""The comment of each column, in the order of the columns."""

# Who owns the tables owns this function, and it runs as its owner: the roles that change rows need
# no right to the log. Settings are fixed, so that a value's text never depends on the session, and
# so that no statement is planned anew.
CAPTURE_ROWS = """
CREATE FUNCTION {schema}.capture_rows() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET intervalstyle = 'iso_8601'
    SET bytea_output = 'hex'
    SET extra_float_digits = 1
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    key_columns CONSTANT text[] := TG_ARGV[0];
    redacted CONSTANT text[] := TG_ARGV[1];
    known CONSTANT name[] := key_columns || redacted;
    actor CONSTANT {key} := bedplate.actor_key(NULL::{key});
    kind CONSTANT text := CASE WHEN actor IS NULL THEN 'SYSTEM' ELSE 'USER' END;
BEGIN
    IF actor IS NOT NULL AND NOT EXISTS (SELECT FROM {users} WHERE {users_key} = actor) THEN
        RAISE EXCEPTION 'The acting user is not among the users.' USING ERRCODE = 'BP002',
            SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    -- A column that was renamed would no longer be redacted: better to refuse the change.
    IF (
        SELECT count(*) FROM pg_attribute
        WHERE attrelid = TG_RELID AND attname = ANY (known) AND NOT attisdropped
    ) < cardinality(known) THEN
        RAISE EXCEPTION 'The audit log misses a column of %.% that it was told of.',
            TG_TABLE_SCHEMA, TG_TABLE_NAME USING HINT = 'Capture the table anew, in a revision.';
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {log}
            (action, entity_type, entity_id, changes, description, user_id, actor_type)
        SELECT 'ROW_INSERTED', TG_TABLE_NAME, {entity_id},
            jsonb_build_object('before', NULL, 'after', {shown}), 'Row inserted.', actor, kind
        FROM (SELECT to_jsonb(r) AS row FROM new_rows AS r) AS r;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {log}
            (action, entity_type, entity_id, changes, description, user_id, actor_type)
        SELECT 'ROW_DELETED', TG_TABLE_NAME, {entity_id},
            jsonb_build_object('before', {shown}, 'after', NULL), 'Row deleted.', actor, kind
        FROM (SELECT to_jsonb(r) AS row FROM old_rows AS r) AS r;
    ELSIF TG_OP = 'UPDATE' THEN
        -- Both sides come in one order, so the nth of one is the nth of the other, also where a
        -- key changes or a cascade changes one row twice. A window and not a join: the plan is
        -- kept, and one made for a few rows would compare each of many with every other.
        INSERT INTO {log}
            (action, entity_type, entity_id, changes, description, user_id, actor_type)
        SELECT 'ROW_UPDATED', TG_TABLE_NAME, {entity_id},
            jsonb_build_object('before', c.before, 'after', c.after),
            'Changed ' || c.columns || '.', actor, kind
        FROM (
            SELECT side, lag(side_row) OVER (ORDER BY n, side) AS row, side_row AS now
            FROM (
                SELECT 1 AS side, row_number() OVER () AS n, to_jsonb(o) AS side_row
                FROM old_rows AS o
                UNION ALL
                SELECT 2, row_number() OVER (), to_jsonb(o) FROM new_rows AS o
            ) AS sides
        ) AS r
        CROSS JOIN LATERAL (
            SELECT
                jsonb_object_agg(b.key, {old_value}) AS before,
                jsonb_object_agg(b.key, {new_value}) AS after,
                string_agg(b.key, ', ') FILTER (WHERE {changed}) AS columns
            FROM jsonb_each(r.row) AS b
            WHERE {changed} OR b.key = ANY (key_columns)
        ) AS c
        WHERE r.side = 2 AND c.columns IS NOT NULL;
    ELSE
        INSERT INTO {log} (action, entity_type, entity_id, description, user_id, actor_type)
        VALUES ('TABLE_TRUNCATED', TG_TABLE_NAME, '*', 'Every row removed by TRUNCATE.',
            actor, kind);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION {schema}.capture_rows() IS
    'Records the changes of captured tables in audit_logs.';
REVOKE ALL ON FUNCTION {schema}.capture_rows() FROM PUBLIC;
"""

# Compared as text: jsonb takes 1.0 and 1.00 for the same.
CHANGED = "(r.now -> b.key)::text <> b.value::text"
VALUE = """CASE WHEN b.key = ANY (redacted) AND {value} <> 'null'
                    THEN to_jsonb({redacted}::text) ELSE {value} END"""
ENTITY_ID = "(SELECT string_agg(r.row ->> c, ',') FROM unnest(key_columns) AS c)"
SHOWN = """CASE WHEN redacted = '{{}}' THEN r.row ELSE r.row || coalesce((
                SELECT jsonb_object_agg(c, {redacted}::text) FROM unnest(redacted) AS c
                WHERE r.row ->> c IS NOT NULL
            ), '{{}}') END"""
KEY_TYPES = {"uuid": sql.SQL("uuid"), "text": sql.SQL("text"), "bigint": sql.SQL("bigint")}

VIEW = """SELECT {module}::text AS module, id, action::text AS action, entity_type, entity_id,
    user_id::text AS user_id, changes, description, ip_address, user_agent, created_at, actor_type,
    request_id, transaction_id
FROM {log}"""
EMPTY_VIEW = """SELECT NULL::text AS module, NULL::uuid AS id, NULL::text AS action,
    NULL::text AS entity_type, NULL::text AS entity_id, NULL::text AS user_id,
    NULL::jsonb AS changes, NULL::text AS description, NULL::text AS ip_address,
    NULL::text AS user_agent, NULL::timestamptz AS created_at, NULL::text AS actor_type,
    NULL::text AS request_id, NULL::xid8 AS transaction_id
WHERE false"""


def create_log(
    actions: Iterable[str] = (), *, captures: bool = False, app_records: bool = True
) -> None:
    """Create the schema's `audit_logs` and its enum `audit_action`, in a revision.

    `actions` are the members of the module's own; `captures=True` adds those of captured rows
    behind them, and the trigger function that `capture` needs. The app may SELECT, and INSERT what
    was done (`SAID`): actor, request and moment are the transaction's, and so they are where a
    function of the schema does not name them. `app_records=False` is for a ledger whose functions
    record all there is: the app adds nothing then. Rows are history, whoever asks.
    """
    context = lines.current()
    members = [*actions, *(CAPTURED if captures else ())]
    names = _names(context)
    statement = sql.SQL(LOG).format(
        actions=sql.SQL(", ").join(map(sql.Literal, members)),
        table_comment=sql.Literal(TABLE_COMMENT),
        **names,
    )
    context.execute(statement.as_string())
    for column, comment in COMMENTS.items():
        statement = sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
            names["log"], sql.Identifier(column), sql.Literal(comment)
        )
        context.execute(statement.as_string())
    lines.append_only(LOG_TABLE)
    lines.grant(LOG_TABLE, privileges=("SELECT",))
    if app_records:
        said = sql.SQL(", ").join(map(sql.Identifier, SAID))
        statement = sql.SQL("GRANT INSERT ({}) ON {} TO {{role:app}}").format(said, names["log"])
        lines.execute(statement.as_string())
    if captures:
        context.execute(_capture_rows(names))


def drop_log() -> None:
    """Drop what `create_log` made; `release` the captured tables, or drop them, before that."""
    context = lines.current()
    schema = sql.Identifier(context.schema).as_string()
    context.execute(f"DROP TABLE {schema}.{LOG_TABLE}")
    context.execute(f"DROP FUNCTION IF EXISTS {schema}.capture_rows()")
    context.execute(f"DROP TYPE {schema}.audit_action")


def capture(table: str, *, redact: Iterable[str] = ()) -> None:
    """Record every change of a table of the module's schema in its audit log, in a revision.

    The values of `redact` are never shown, only that they changed. The revision fails where the
    table has no primary key or no such column; renaming one of these columns later makes changes
    of the table fail until it is captured anew.

    A ledger's SECURITY DEFINER function writes rows of its own instead, after `PERFORM
    set_config('bedplate.audited', '<schema>', true)`; it says `''` at its end. Only the owner's
    statements heed that, so the app's role cannot go without capture by saying the same. (As a
    SET of the function itself, PostgreSQL allows such a setting to superusers only.)
    """
    context = lines.current()
    statement = sql.SQL("SELECT bedplate.capture({}, {}, {}::text[])").format(
        sql.Literal(context.schema), sql.Literal(table), sql.Literal(list(redact))
    )
    context.execute(statement.as_string())


def release(*tables: str) -> None:
    """No longer record the changes of these tables; the way back of `capture`."""
    context = lines.current()
    for table in tables:
        for kind in ("insert", "update", "delete", "truncate"):
            statement = sql.SQL("DROP TRIGGER {} ON {}").format(
                sql.Identifier(f"tr_{table}_capture_{kind}"),
                sql.Identifier(context.schema, table),
            )
            context.execute(statement.as_string())


def view_sql(schemas: Iterable[str]) -> str:
    """Return what makes `bedplate.audit_log` show the logs of these schemas, and no others.

    It always has the same columns, so that it can be replaced while others read it; its comment
    names the schemas.
    """
    found = sorted(schemas)
    parts = [
        sql.SQL(VIEW).format(module=sql.Literal(schema), log=sql.Identifier(schema, LOG_TABLE))
        for schema in found
    ]
    body = sql.SQL("\nUNION ALL ").join(parts) if parts else sql.SQL(EMPTY_VIEW)
    return (
        sql.SQL("CREATE OR REPLACE VIEW bedplate.audit_log AS {}; COMMENT ON VIEW {} IS {}")
        .format(body, sql.Identifier("bedplate", "audit_log"), sql.Literal(view_comment(found)))
        .as_string()
    )


def view_comment(schemas: Iterable[str]) -> str:
    """Return the comment of the view over the logs of these schemas."""
    return f"Every enabled module's audit log: {', '.join(sorted(schemas)) or 'none yet'}."


VIEW_COMMENTS = ";\n".join(
    sql.SQL("COMMENT ON COLUMN bedplate.audit_log.{} IS {}")
    .format(sql.Identifier(name), sql.Literal(comment))
    .as_string()
    for name, comment in {"module": "Whose log it is.", **COMMENTS}.items()
)
"""Comments of the view's columns; replacing the view keeps them."""


def _capture_rows(names: dict[str, sql.Composable]) -> str:
    redacted = sql.Literal(REDACTED)
    return (
        sql.SQL(CAPTURE_ROWS)
        .format(
            entity_id=sql.SQL(ENTITY_ID),
            shown=sql.SQL(SHOWN).format(redacted=redacted),
            old_value=sql.SQL(VALUE).format(value=sql.SQL("b.value"), redacted=redacted),
            new_value=sql.SQL(VALUE).format(value=sql.SQL("(r.now -> b.key)"), redacted=redacted),
            changed=sql.SQL(CHANGED),
            **names,
        )
        .as_string()
    )


def _names(context: LineContext) -> dict[str, sql.Composable]:
    binding = context.bindings.get("users")
    *users, users_key = lines.users_reference().split(".")
    return {
        "schema": sql.Identifier(context.schema),
        "log": sql.Identifier(context.schema, LOG_TABLE),
        "key": KEY_TYPES[binding.key_type if binding else "uuid"],
        "users": sql.Identifier(*users),
        "users_key": sql.Identifier(users_key),
    }
