"""Extensions, and objects of rarer kinds."""

from __future__ import annotations

from bedplate.catalog.queries.comments import comment_on

EXTENSIONS = f"""
SELECT e.extname, e.extversion, n.nspname, {comment_on("pg_extension", "e.oid")}
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
ORDER BY e.extname COLLATE "C"
"""

# Where PostgreSQL has no function that writes a definition, the row itself stands for it.
IN_SCHEMAS = """
SELECT n.nspname, o.kind, o.name, o.definition,
       (SELECT note.description FROM pg_catalog.pg_description note
        WHERE note.objoid = o.oid AND note.classoid = o.class AND note.objsubid = 0)
FROM (
    SELECT 'pg_type'::pg_catalog.regclass AS class, t.oid, t.typnamespace AS home,
           'range type' AS kind, t.typname::text AS name,
           pg_catalog.concat_ws(', ',
               'SUBTYPE = ' || pg_catalog.format_type(r.rngsubtype, NULL),
               'SUBTYPE_OPCLASS = ' || (SELECT opcname FROM pg_catalog.pg_opclass
                                        WHERE oid = r.rngsubopc),
               'COLLATION = ' || nullif(r.rngcollation, 0)::pg_catalog.regcollation,
               'CANONICAL = ' || nullif(r.rngcanonical::oid, 0)::pg_catalog.regproc,
               'SUBTYPE_DIFF = ' || nullif(r.rngsubdiff::oid, 0)::pg_catalog.regproc)
               AS definition
    FROM pg_catalog.pg_range r JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid
    UNION ALL
    SELECT 'pg_statistic_ext'::pg_catalog.regclass, s.oid, s.stxnamespace, 'statistics',
           s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid)
    FROM pg_catalog.pg_statistic_ext s
    UNION ALL
    SELECT 'pg_collation'::pg_catalog.regclass, c.oid, c.collnamespace, 'collation', c.collname,
           (pg_catalog.to_jsonb(c) - '{oid,collname,collnamespace,collowner,collversion}'::text[]
            )::text
    FROM pg_catalog.pg_collation c
    UNION ALL
    SELECT 'pg_operator'::pg_catalog.regclass, o.oid, o.oprnamespace, 'operator',
           o.oprname || ' (' || pg_catalog.format_type(nullif(o.oprleft, 0), NULL)
               || ', ' || pg_catalog.format_type(o.oprright, NULL) || ')',
           pg_catalog.concat_ws(', ', 'FUNCTION = ' || o.oprcode,
               'COMMUTATOR = ' || nullif(o.oprcom, 0)::pg_catalog.regoper,
               'NEGATOR = ' || nullif(o.oprnegate, 0)::pg_catalog.regoper,
               CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END)
    FROM pg_catalog.pg_operator o
    UNION ALL
    SELECT 'pg_ts_dict'::pg_catalog.regclass, t.oid, t.dictnamespace, 'text search dictionary',
           t.dictname, pg_catalog.concat_ws(', ', 'TEMPLATE = ' || (
               SELECT tmplname FROM pg_catalog.pg_ts_template WHERE oid = t.dicttemplate),
               t.dictinitoption)
    FROM pg_catalog.pg_ts_dict t
    UNION ALL
    SELECT 'pg_ts_config'::pg_catalog.regclass, t.oid, t.cfgnamespace,
           'text search configuration', t.cfgname,
           'PARSER = ' || (SELECT prsname FROM pg_catalog.pg_ts_parser WHERE oid = t.cfgparser)
               || coalesce((SELECT pg_catalog.string_agg(', ' || m.maptokentype || ': '
                                || m.mapdict::pg_catalog.regdictionary, ''
                                ORDER BY m.maptokentype, m.mapseqno)
                            FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = t.oid), '')
    FROM pg_catalog.pg_ts_config t
) o
JOIN pg_catalog.pg_namespace n ON n.oid = o.home
WHERE n.nspname = ANY (%s)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e')
ORDER BY n.nspname COLLATE "C", o.kind, o.name COLLATE "C"
"""

# A range type brings its casts along, tied to it by an internal dependency. A subscription's and a
# user mapping's settings hold passwords: they are not read.
IN_NO_SCHEMA = """
SELECT o.kind, o.name, o.definition,
       (SELECT note.description FROM pg_catalog.pg_description note
        WHERE note.objoid = o.oid AND note.classoid = o.class AND note.objsubid = 0)
FROM (
    SELECT 'pg_publication'::pg_catalog.regclass AS class, p.oid, 'publication' AS kind,
           p.pubname::text AS name,
           (pg_catalog.to_jsonb(p) - '{oid,pubname,pubowner}'::text[])::text
           || coalesce((SELECT pg_catalog.string_agg(
                            ', ' || r.prrelid::pg_catalog.regclass
                            || coalesce(' (' || (
                                SELECT pg_catalog.string_agg(a.attname, ', ' ORDER BY a.attnum)
                                FROM pg_catalog.pg_attribute a
                                WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)) || ')',
                                '')
                            || coalesce(' WHERE '
                                        || pg_catalog.pg_get_expr(r.prqual, r.prrelid), ''),
                            '' ORDER BY r.prrelid::pg_catalog.regclass::text COLLATE "C")
                        FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid), '')
           || coalesce((SELECT pg_catalog.string_agg(
                            ', schema ' || r.pnnspid::pg_catalog.regnamespace, ''
                            ORDER BY r.pnnspid::pg_catalog.regnamespace::text COLLATE "C")
                        FROM pg_catalog.pg_publication_namespace r WHERE r.pnpubid = p.oid), '')
           AS definition
    FROM pg_catalog.pg_publication p
    UNION ALL
    SELECT 'pg_event_trigger'::pg_catalog.regclass, t.oid, 'event trigger', t.evtname,
           pg_catalog.concat_ws(' ', 'ON', t.evtevent, 'EXECUTE FUNCTION',
               t.evtfoid::pg_catalog.regprocedure,
               'WHEN TAG IN (' || pg_catalog.array_to_string(t.evttags, ', ') || ')',
               CASE t.evtenabled WHEN 'D' THEN '(disabled)' WHEN 'R' THEN '(replica)'
                                 WHEN 'A' THEN '(always)' END)
    FROM pg_catalog.pg_event_trigger t
    UNION ALL
    SELECT 'pg_foreign_server'::pg_catalog.regclass, s.oid, 'foreign server', s.srvname,
           pg_catalog.concat_ws(' ', s.srvtype, s.srvversion, 'FOREIGN DATA WRAPPER', w.fdwname,
               'OPTIONS (' || pg_catalog.array_to_string(s.srvoptions, ', ') || ')')
    FROM pg_catalog.pg_foreign_server s
    JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    UNION ALL
    SELECT 'pg_cast'::pg_catalog.regclass, c.oid, 'cast',
           '(' || pg_catalog.format_type(c.castsource, NULL) || ' AS '
               || pg_catalog.format_type(c.casttarget, NULL) || ')',
           pg_catalog.concat_ws(' ',
               'WITH FUNCTION ' || nullif(c.castfunc, 0)::pg_catalog.regprocedure,
               'METHOD ' || c.castmethod::text, 'CONTEXT ' || c.castcontext::text)
    FROM pg_catalog.pg_cast c WHERE c.oid >= 16384
) o
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype IN ('e', 'i'))
ORDER BY o.kind, o.name COLLATE "C"
"""
