"""Schemas, sequences, types and functions."""

from __future__ import annotations

from bedplate.catalog.queries.comments import comment_on

SCHEMAS = f"""
SELECT n.oid, n.nspname, {comment_on("pg_namespace", "n.oid")},
       pg_catalog.pg_get_userbyid(n.nspowner)::text
FROM pg_catalog.pg_namespace n
WHERE n.nspname = ANY (%s)
ORDER BY n.nspname COLLATE "C"
"""

# 'a' ties a sequence to the column it serves, 'i' makes it part of an identity column.
SEQUENCES = f"""
SELECT n.nspname, c.oid, CASE WHEN d.deptype = 'i' THEN d.refobjid END, d.refobjsubid,
       pg_catalog.format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
       s.seqcache, s.seqcycle,
       c.relname, tn.nspname || '.' || t.relname || '.' || a.attname, c.relpersistence = 'u',
       {comment_on("pg_class", "c.oid")}, pg_catalog.pg_get_userbyid(c.relowner)::text
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
    AND d.objsubid = 0 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE n.nspname = ANY (%s)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

ENUMS = f"""
SELECT n.nspname, t.oid, t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder),
       {comment_on("pg_type", "t.oid")}, pg_catalog.pg_get_userbyid(t.typowner)::text
FROM pg_catalog.pg_enum e
JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = ANY (%s)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x
                  WHERE x.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                    AND x.objid = t.oid AND x.deptype = 'e')
GROUP BY n.nspname, t.typname, t.oid, t.typowner
ORDER BY n.nspname COLLATE "C", t.typname COLLATE "C"
"""

DOMAINS = f"""
SELECT n.nspname, t.oid, t.typname, pg_catalog.format_type(t.typbasetype, t.typtypmod),
       CASE WHEN t.typcollation <> b.typcollation
            THEN t.typcollation::pg_catalog.regcollation::text END,
       NOT t.typnotnull, pg_catalog.pg_get_expr(t.typdefaultbin, 0),
       {comment_on("pg_type", "t.oid")}, pg_catalog.pg_get_userbyid(t.typowner)::text
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = ANY (%s) AND t.typtype = 'd'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x
                  WHERE x.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                    AND x.objid = t.oid AND x.deptype = 'e')
ORDER BY n.nspname COLLATE "C", t.typname COLLATE "C"
"""

DOMAIN_CHECKS = """
SELECT r.contypid, r.conname, pg_catalog.pg_get_constraintdef(r.oid)
FROM pg_catalog.pg_constraint r
JOIN pg_catalog.pg_type t ON t.oid = r.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = ANY (%s) AND r.contype = 'c'
ORDER BY r.contypid, r.conname COLLATE "C"
"""

COMPOSITES = f"""
SELECT n.nspname, t.oid, c.oid, t.typname, {comment_on("pg_type", "t.oid")},
       pg_catalog.pg_get_userbyid(t.typowner)::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_type t ON t.oid = c.reltype
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND c.relkind = 'c'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x
                  WHERE x.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                    AND x.objid = t.oid AND x.deptype = 'e')
ORDER BY n.nspname COLLATE "C", t.typname COLLATE "C"
"""

# A range type brings its constructors along, tied to it by an internal dependency.
FUNCTIONS = f"""
SELECT n.nspname, p.oid, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid),
       coalesce(pg_catalog.pg_get_function_result(p.oid), ''),
       CASE WHEN p.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(p.oid)
       ELSE pg_catalog.concat_ws(', ', 'AGGREGATE SFUNC = ' || g.aggtransfn::text,
           'STYPE = ' || pg_catalog.format_type(g.aggtranstype, NULL),
           'SSPACE = ' || nullif(g.aggtransspace, 0), 'INITCOND = ''' || g.agginitval || '''',
           'FINALFUNC = ' || nullif(g.aggfinalfn::oid, 0)::pg_catalog.regproc,
           CASE WHEN g.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
           'FINALFUNC_MODIFY = ' || g.aggfinalmodify::text,
           'COMBINEFUNC = ' || nullif(g.aggcombinefn::oid, 0)::pg_catalog.regproc,
           'SERIALFUNC = ' || nullif(g.aggserialfn::oid, 0)::pg_catalog.regproc,
           'DESERIALFUNC = ' || nullif(g.aggdeserialfn::oid, 0)::pg_catalog.regproc,
           'MSFUNC = ' || nullif(g.aggmtransfn::oid, 0)::pg_catalog.regproc,
           'MINVFUNC = ' || nullif(g.aggminvtransfn::oid, 0)::pg_catalog.regproc,
           'MSTYPE = ' || pg_catalog.format_type(nullif(g.aggmtranstype, 0), NULL),
           'MFINALFUNC = ' || nullif(g.aggmfinalfn::oid, 0)::pg_catalog.regproc,
           'MINITCOND = ''' || g.aggminitval || '''',
           'SORTOP = ' || nullif(g.aggsortop, 0)::pg_catalog.regoperator,
           'PARALLEL = ' || p.proparallel::text) END,
       {comment_on("pg_proc", "p.oid")},
       CASE p.prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate'
                      ELSE 'window function' END,
       pg_catalog.oidvectortypes(p.proargtypes), pg_catalog.pg_get_userbyid(p.proowner)::text
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid
WHERE n.nspname = ANY (%s)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                    AND e.objid = p.oid AND e.deptype IN ('e', 'i'))
ORDER BY n.nspname COLLATE "C", p.proname COLLATE "C",
         pg_catalog.pg_get_function_identity_arguments(p.oid) COLLATE "C"
"""
