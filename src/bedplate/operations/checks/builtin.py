"""The laws that hold for every module: Bedplate's own checks."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from bedplate.kernel.checks import Check
from bedplate.operations.checks.chain import faults

# The walls: what a stolen or mistaken statement of the app's role could do beyond data.
WALLS = """
SELECT 'the role is a superuser' AS wall, current_user::text AS object
FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL
SELECT 'the role may create in the schema', n.nspname::text
FROM pg_catalog.pg_namespace n
WHERE n.nspname = ANY ({schemas}) AND has_schema_privilege(n.oid, 'CREATE')
UNION ALL
SELECT 'the role may create schemas', current_database()::text
WHERE has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT 'the role may truncate the table', n.nspname || '.' || c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ({schemas}) AND c.relkind IN ('r', 'p')
  AND has_table_privilege(c.oid, 'TRUNCATE')
ORDER BY 1, 2
"""

# An index serves a foreign key when its first columns are the key's, in any order.
# An index of the rows that refer to anything serves as well, and so does a unique one on some of
# the key's columns: it finds one row.
FOREIGN_KEYS = """
SELECT n.nspname || '.' || c.relname AS table, r.conname::text AS foreign_key
FROM pg_catalog.pg_constraint r
JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.contype = 'f' AND n.nspname = ANY ({schemas})
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = i.indrelid AND ARRAY[a.attnum] = r.conkey
    WHERE i.indrelid = r.conrelid AND i.indisvalid
      AND (i.indpred IS NULL
           OR pg_catalog.pg_get_expr(i.indpred, i.indrelid)
              = '(' || quote_ident(a.attname) || ' IS NOT NULL)')
      AND ((i.indkey::smallint[])[0:cardinality(r.conkey) - 1] @> r.conkey
           OR i.indisunique AND i.indpred IS NULL AND i.indkey::smallint[] <@ r.conkey
           OR EXISTS (
               SELECT FROM unnest(r.conkey, r.confkey) AS k (here, there)
               JOIN pg_catalog.pg_index u ON u.indrelid = r.confrelid AND u.indkey[0] = k.there
               WHERE k.here = i.indkey[0] AND i.indpred IS NULL
                 AND u.indisunique AND u.indnkeyatts = 1 AND u.indpred IS NULL))
  )
ORDER BY 1, 2
"""

COMMENTS = """
SELECT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '') AS object
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT NULL::name AS attname, 0 AS attnum
    UNION ALL
    SELECT attname, attnum FROM pg_catalog.pg_attribute
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
) a
WHERE n.nspname = ANY ({schemas}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_description d
                  WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND d.objoid = c.oid AND d.objsubid = a.attnum)
ORDER BY 1
"""


def builtin(schemas: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks that look at every one of these schemas."""
    return (
        Check(
            id="bedplate.W002",
            title="The app's role can touch data only",
            query=_about(schemas, WALLS),
            next_step="Give lines a role of their own: set DATABASE_OWNER_URL, and let DATABASE_URL"
            " be a role without these rights.",
        ),
        Check(
            id="bedplate.E003",
            title="Every foreign key has an index",
            query=_about(schemas, FOREIGN_KEYS),
            next_step="Create an index that begins with the key's columns, in a revision.",
        ),
        Check(
            id="bedplate.E004",
            title="Every table and column has a comment",
            query=_about(schemas, COMMENTS),
            next_step="Comment on them in a revision.",
        ),
        Check(
            id="bedplate.E005",
            title="The chain of migration receipts is whole",
            query=faults("receipts"),
            next_step="Somebody changed the record of what migrations touched: compare it with an"
            " exported one (`bedplate migrate receipts --export`) or a backup.",
        ),
    )


def _about(schemas: Sequence[str], query: str) -> str:
    names = sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(map(sql.Literal, schemas)))
    return query.replace("{schemas}", names.as_string())
