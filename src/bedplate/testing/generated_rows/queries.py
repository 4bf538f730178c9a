"""Every question put to pg_catalog; mostly it takes the schemas' names as its one parameter."""

from __future__ import annotations

# Partitions are filled through their root.
TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

COLUMNS = """
SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attnotnull,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity::text <> '',
       a.attgenerated::text <> ''
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

CHECKS = """
SELECT r.conrelid, r.conname, pg_catalog.pg_get_expr(r.conbin, r.conrelid),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = r.conrelid AND a.attnum = ANY (r.conkey) ORDER BY a.attnum)
FROM pg_catalog.pg_constraint r
JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND r.contype = 'c' AND NOT c.relispartition
ORDER BY r.conrelid, r.conname COLLATE "C"
"""

# A key that points at a partitioned table is there once more for each partition (conparentid).
FOREIGN_KEYS = """
SELECT r.conrelid, r.conname, n.nspname, r.confrelid, fn.nspname, fc.relname, own.names, far.names,
       r.condeferrable, r.confmatchtype::text = 'f'
FROM pg_catalog.pg_constraint r
JOIN pg_catalog.pg_class c ON c.oid = r.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class fc ON fc.oid = r.confrelid
JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY k.place) AS names
    FROM unnest(r.conkey) WITH ORDINALITY k (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.conrelid AND a.attnum = k.number
) own
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY k.place) AS names
    FROM unnest(r.confkey) WITH ORDINALITY k (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.confrelid AND a.attnum = k.number
) far
WHERE n.nspname = ANY (%s) AND r.contype = 'f' AND r.conparentid = 0 AND NOT c.relispartition
ORDER BY r.conrelid, r.conname COLLATE "C"
"""

# An expression's columns are known only as what the index depends on.
UNIQUE = """
SELECT i.indrelid, ic.relname,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = i.indrelid AND a.attnum > 0
               AND (a.attnum = ANY (i.indkey::int2[]) OR EXISTS (
                   SELECT FROM pg_catalog.pg_depend d
                   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                     AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
                     AND d.refobjsubid = a.attnum))
             ORDER BY a.attnum)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND (i.indisunique OR i.indisexclusion)
"""

# Of a partition's own partitions only the last ones take rows; theirs is the rule of all above.
PARTITIONS = """
SELECT c.oid, pg_catalog.pg_get_partition_constraintdef(p.relid)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(c.oid) p
WHERE n.nspname = ANY (%s) AND c.relkind = 'p' AND NOT c.relispartition AND p.isleaf
  AND p.relid <> c.oid
ORDER BY c.oid, p.relid::pg_catalog.regclass::text COLLATE "C"
"""

PARTITION_KEYS = """
SELECT c.oid, a.attname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(c.oid) p
JOIN pg_catalog.pg_partitioned_table t ON t.partrelid = p.relid
JOIN pg_catalog.pg_attribute a ON a.attrelid = p.relid AND a.attnum = ANY (t.partattrs::int2[])
WHERE n.nspname = ANY (%s) AND c.relkind = 'p' AND NOT c.relispartition
ORDER BY c.oid, a.attnum
"""

# Column types, and what those are made of, at whatever depth.
TYPES = """
WITH RECURSIVE used (oid) AS (
    SELECT a.atttypid FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p') AND a.attnum > 0
    UNION
    SELECT part.oid FROM used
    JOIN pg_catalog.pg_type t ON t.oid = used.oid
    LEFT JOIN pg_catalog.pg_range r ON used.oid IN (r.rngtypid, r.rngmultitypid)
    CROSS JOIN LATERAL (
        VALUES (t.typbasetype), (t.typelem),
               (CASE WHEN t.typtype = 'm' THEN r.rngtypid ELSE r.rngsubtype END)
    ) AS part (oid)
    WHERE part.oid <> 0
)
SELECT t.oid, t.typname, t.typtype::text, t.typcategory::text, t.typbasetype, t.typtypmod,
       CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, t.typnotnull,
       coalesce(CASE WHEN t.typtype = 'm' THEN r.rngtypid ELSE r.rngsubtype END, 0),
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
             WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       ARRAY(SELECT pg_catalog.pg_get_expr(k.conbin, 0) FROM pg_catalog.pg_constraint k
             WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname COLLATE "C")
FROM used
JOIN pg_catalog.pg_type t ON t.oid = used.oid
LEFT JOIN pg_catalog.pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid)
"""

# Of one table, by its oid: foreign keys' own are not the table's to switch off.
TRIGGERS_THAT_FIRE = """
SELECT t.tgname::text, t.tgenabled::text
FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = %s AND NOT t.tgisinternal AND t.tgenabled <> 'D'
ORDER BY t.tgname COLLATE "C"
"""
