"""Grants, and what new objects are granted as."""

from __future__ import annotations

# NULL stands for what PostgreSQL gives unasked, and the same written out means no more: a right
# counts where it is held beyond that, or was taken away from it. The grantor does not count.
GRANTS = """
WITH held AS (
    SELECT 'relation' AS sort, c.oid, 0 AS part, c.relacl AS acl,
           pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
                                 c.relowner) AS unasked
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%(schemas)s) AND c.relacl IS NOT NULL
    UNION ALL
    SELECT 'relation', a.attrelid, a.attnum, a.attacl, NULL
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%(schemas)s) AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'function', p.oid, 0, p.proacl, pg_catalog.acldefault('f', p.proowner)
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY (%(schemas)s) AND p.proacl IS NOT NULL
    UNION ALL
    SELECT 'type', t.oid, 0, t.typacl, pg_catalog.acldefault('T', t.typowner)
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = ANY (%(schemas)s) AND t.typacl IS NOT NULL
    UNION ALL
    SELECT 'schema', n.oid, 0, n.nspacl, pg_catalog.acldefault('n', n.nspowner)
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname = ANY (%(schemas)s) AND n.nspacl IS NOT NULL
    UNION ALL
    SELECT 'default', d.oid, 0, d.defaclacl, CASE WHEN d.defaclnamespace = 0 THEN
           pg_catalog.acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END,
                                 d.defaclrole) END
    FROM pg_catalog.pg_default_acl d
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    WHERE d.defaclnamespace = 0 OR n.nspname = ANY (%(schemas)s)
)
SELECT sort, oid, part,
       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(grantee)::text END
           COLLATE "C",
       array_agg(privilege_type ORDER BY privilege_type COLLATE "C"), is_grantable, revoked
FROM held CROSS JOIN LATERAL (
    (SELECT grantee, privilege_type, is_grantable, false AS revoked
     FROM pg_catalog.aclexplode(held.acl)
     EXCEPT SELECT grantee, privilege_type, is_grantable, false
     FROM pg_catalog.aclexplode(held.unasked))
    UNION ALL
    (SELECT grantee, privilege_type, is_grantable, true
     FROM pg_catalog.aclexplode(held.unasked)
     EXCEPT SELECT grantee, privilege_type, is_grantable, true
     FROM pg_catalog.aclexplode(held.acl))
) g
GROUP BY sort, oid, part, grantee, is_grantable, revoked
ORDER BY sort, oid, part, 4, is_grantable, revoked
"""

DEFAULT_PRIVILEGES = """
SELECT d.oid, pg_catalog.pg_get_userbyid(d.defaclrole)::text, n.nspname,
       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                            WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
                            WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END
FROM pg_catalog.pg_default_acl d
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
WHERE d.defaclnamespace = 0 OR n.nspname = ANY (%s)
ORDER BY 2, 3, 4
"""
