"""Tables, views and what they consist of."""

from __future__ import annotations

from bedplate.catalog.options import options_set
from bedplate.catalog.queries.comments import comment_on

TABLES = f"""
SELECT c.oid, n.nspname, c.relname,
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                      WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END,
       {comment_on("pg_class", "c.oid")}, pg_catalog.pg_get_userbyid(c.relowner)::text,
       CASE WHEN c.relispartition THEN parent.names[1] END,
       pg_catalog.pg_get_expr(c.relpartbound, c.oid),
       CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
       CASE WHEN c.relispartition THEN '{{}}' ELSE coalesce(parent.names, '{{}}') END,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END,
       c.relpersistence = 'u',
       coalesce(c.reloptions, '{{}}') || ARRAY(
           SELECT 'toast.' || o FROM pg_catalog.pg_class t, unnest(t.reloptions) o
           WHERE t.oid = c.reltoastrelid AND t.reloptions IS NOT NULL),
       pg_catalog.array_remove(ARRAY[
           (SELECT 'SET ACCESS METHOD ' || m.amname FROM pg_catalog.pg_am m
            WHERE m.oid = c.relam AND m.amname <> 'heap'),
           (SELECT 'SET TABLESPACE ' || s.spcname FROM pg_catalog.pg_tablespace s
            WHERE s.oid = c.reltablespace),
           CASE WHEN c.reloftype <> 0
                THEN 'OF ' || pg_catalog.format_type(c.reloftype, NULL) END,
           CASE c.relreplident WHEN 'f' THEN 'REPLICA IDENTITY FULL'
                WHEN 'n' THEN CASE WHEN c.relkind IN ('r', 'p')
                                   THEN 'REPLICA IDENTITY NOTHING' END
                WHEN 'i' THEN (SELECT 'REPLICA IDENTITY USING INDEX ' || x.relname
                               FROM pg_catalog.pg_index i
                               JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
                               WHERE i.indrelid = c.oid AND i.indisreplident) END,
           (SELECT 'SERVER ' || s.srvname || coalesce(' OPTIONS (' || (
                SELECT pg_catalog.string_agg(o, ', ' ORDER BY o) FROM unnest(f.ftoptions) o)
                || ')', '')
            FROM pg_catalog.pg_foreign_table f
            JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid)
       ]::text[], NULL),
       CASE WHEN NOT c.relrowsecurity AND NOT c.relforcerowsecurity THEN ''
            WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 'enabled, forced'
            WHEN c.relrowsecurity THEN 'enabled' ELSE 'forced' END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN (
    SELECT i.inhrelid, array_agg(pn.nspname || '.' || p.relname ORDER BY i.inhseqno) AS names
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    WHERE p.relkind IN ('r', 'p', 'f')
    GROUP BY i.inhrelid
) parent ON parent.inhrelid = c.oid
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

# NOT NULL is a constraint of its own from PostgreSQL 18 on; on every version it is a column's flag,
# and 18's name for it says nothing that the flag does not.
COLUMNS = f"""
SELECT a.attrelid, a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       NOT a.attnotnull, pg_catalog.pg_get_expr(f.adbin, f.adrelid),
       CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' ELSE '' END,
       CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END,
       {comment_on("pg_class", "a.attrelid", "a.attnum")},
       CASE WHEN a.attcollation NOT IN (0, t.typcollation)
            THEN a.attcollation::pg_catalog.regcollation::text END,
       CASE WHEN a.attstorage = t.typstorage AND a.attcompression = ''
                 AND ({options_set("a.attoptions")}) IS NULL
                 AND coalesce(a.attstattarget, -1) = -1 AND a.attfdwoptions IS NULL THEN '{{}}'
       ELSE pg_catalog.array_remove(ARRAY[
           CASE WHEN a.attstorage <> t.typstorage THEN 'SET STORAGE '
                || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                     WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END END,
           CASE a.attcompression WHEN 'p' THEN 'SET COMPRESSION pglz'
                                 WHEN 'l' THEN 'SET COMPRESSION lz4' END,
           CASE WHEN coalesce(a.attstattarget, -1) <> -1
                THEN 'SET STATISTICS ' || a.attstattarget END,
           'SET (' || pg_catalog.array_to_string({options_set("a.attoptions")}, ', ') || ')',
           'OPTIONS (' || pg_catalog.array_to_string(a.attfdwoptions, ', ') || ')'
       ]::text[], NULL) END,
       NOT coalesce(a.attnotnull AND v.attnum IS NOT NULL, false)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
LEFT JOIN (
    SELECT conrelid, conkey[1] AS attnum FROM pg_catalog.pg_constraint
    WHERE contype = 'n' AND NOT convalidated
) v ON v.conrelid = a.attrelid AND v.attnum = a.attnum
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

# Columns come by their numbers, which the reader knows the names of: a list of names for each of
# thousands of rows would take longer than all the rest.
CONSTRAINTS = f"""
SELECT r.conrelid, r.conname,
       CASE r.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign key'
                      WHEN 'c' THEN 'check' ELSE 'exclusion' END,
       coalesce(r.conkey, '{{}}'), pg_catalog.pg_get_constraintdef(r.oid),
       {comment_on("pg_constraint", "r.oid")},
       r.conparentid <> 0 OR r.coninhcount > 0 AND NOT r.conislocal,
       fn.nspname, fc.relname,
       CASE WHEN r.contype = 'f' THEN ARRAY(
           SELECT a.attname::text FROM unnest(r.confkey) WITH ORDINALITY k (number, place)
           JOIN pg_catalog.pg_attribute a ON a.attrelid = r.confrelid AND a.attnum = k.number
           ORDER BY k.place) END
FROM pg_catalog.pg_constraint r
JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class fc ON fc.oid = r.confrelid
LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
WHERE n.nspname = ANY (%s) AND r.contype IN ('p', 'u', 'f', 'c', 'x')
ORDER BY r.conrelid, r.conname COLLATE "C"
"""

# Column 0 stands for an expression.
INDEXES = f"""
SELECT i.indrelid, ic.relname, (i.indkey::smallint[])[0:i.indnkeyatts - 1],
       CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(
           SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k, true)
           FROM generate_series(1, i.indnkeyatts) k ORDER BY k) END,
       i.indisunique, i.indisprimary, i.indisvalid,
       pg_catalog.pg_get_expr(i.indpred, i.indrelid), pg_catalog.pg_get_indexdef(i.indexrelid),
       {comment_on("pg_class", "i.indexrelid")}, ic.relispartition
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s)
ORDER BY i.indrelid, ic.relname COLLATE "C"
"""

TRIGGERS = f"""
SELECT t.tgrelid, t.tgname, pg_catalog.pg_get_triggerdef(t.oid),
       CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica'
                        ELSE 'always' END,
       {comment_on("pg_trigger", "t.oid")}, t.tgparentid <> 0
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND NOT t.tgisinternal
ORDER BY t.tgrelid, t.tgname COLLATE "C"
"""

# What makes a view a view is a rule too, always of this name.
RULES = f"""
SELECT r.ev_class, r.rulename, pg_catalog.pg_get_ruledef(r.oid),
       CASE r.ev_enabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica'
                         ELSE 'always' END,
       {comment_on("pg_rewrite", "r.oid")}
FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND r.rulename <> '_RETURN'
ORDER BY r.ev_class, r.rulename COLLATE "C"
"""

POLICIES = f"""
SELECT p.polrelid, p.polname, p.polpermissive,
       CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                     WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
       ARRAY(SELECT CASE o WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(o)::text END
             FROM unnest(p.polroles) o ORDER BY 1),
       pg_catalog.pg_get_expr(p.polqual, p.polrelid),
       pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), {comment_on("pg_policy", "p.oid")}
FROM pg_catalog.pg_policy p
JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s)
ORDER BY p.polrelid, p.polname COLLATE "C"
"""
