"""Every question that the witnesses put to the server.

Raw catalog columns are compared as they lie: nothing is written out as SQL, no relation is opened
and no lock on a user's table is taken. Left out is what maintenance changes by itself (relpages,
reltuples, relfrozenxid), so that an autovacuum is never taken for a migration.

Parts of a relation come as one text per relation and kind: items between RS, fields between FS,
key and name first. What costs in a database of ten thousand tables is to read all of those texts
before a revision that will touch none: they are read after it, as they were and as they are, of
what it touched.
"""

from __future__ import annotations

from bedplate.catalog import options_set

FS = "\x1f"
RS = "\x1e"

FIRST_OID = 16384
"""From here on objects are the user's and not PostgreSQL's own."""

LARGE_OBJECTS = {2613: "pg_catalog.pg_largeobject", 2995: "pg_catalog.pg_largeobject_metadata"}
"""The catalogs that hold large objects, by oid."""

DEFINING = {
    1247: "pg_catalog.pg_type",
    1249: "pg_catalog.pg_attribute",
    1255: "pg_catalog.pg_proc",
    1259: "pg_catalog.pg_class",
    2604: "pg_catalog.pg_attrdef",
    2606: "pg_catalog.pg_constraint",
    2610: "pg_catalog.pg_index",
    2618: "pg_catalog.pg_rewrite",
    2620: "pg_catalog.pg_trigger",
    3256: "pg_catalog.pg_policy",
    3501: "pg_catalog.pg_enum",
}
"""The catalogs through which data is read. DDL lets its locks on them go at once: one that is
still held is of a superuser's own UPDATE."""

_SCHEMAS = """(
    SELECT n.oid FROM pg_catalog.pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
)"""

# relfilenode by SQL and not by pg_relation_filenode(): the function answers from a cache that
# another session's VACUUM FULL has not reached.
RELATIONS = f"""
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, c.relfilenode::bigint,
    CASE WHEN c.relispartition THEN (
        SELECT i.inhparent::bigint FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) END,
    coalesce(c.relacl, pg_catalog.acldefault(
        CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))::text,
    c.relrowsecurity::text || c.relforcerowsecurity,
    concat(c.relowner, '{FS}', c.relpersistence, c.reltablespace, '{FS}', c.relam, '{FS}',
        c.reloftype, c.relreplident, c.reloptions)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S', 'c') AND c.relnamespace IN {_SCHEMAS}
"""

OLDEST = """
SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid::text
"""
"""Whatever is committed from here on was written by this transaction or a later one."""

# Rows that maintenance changes in place keep their xmin, and change nothing of what is read.
SINCE = """
    AND least(pg_catalog.age(c.xmin), pg_catalog.age(n.xmin)) <= pg_catalog.age(%s::pg_catalog.xid)
"""
"""RELATIONS but for what has been as it is since OLDEST."""

PRESENT = f"""
SELECT pg_catalog.string_agg(c.oid::text, ',') FROM pg_catalog.pg_class c
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S', 'c') AND c.relnamespace IN {_SCHEMAS}
"""

_WHICH = "/* which relations */"


def _part(kind: str, relation: str, fields: str, source: str) -> str:
    """Items of one kind by relation; `fields` begins with the key and the name."""
    item = ", '{FS}', ".join(fields.split(" | ")).format(FS=FS)
    key = fields.split(" | ", 1)[0]
    return f"""
SELECT {relation}::bigint, '{kind}', pg_catalog.string_agg(concat({item}), '{RS}' ORDER BY {key})
FROM {source} {"AND" if " WHERE " in source else "WHERE"} {relation} {_WHICH}
GROUP BY {relation}
"""


# tgenabled of internal triggers too: a foreign key can be switched off. Not null counts by itself,
# as it is a constraint of its own on 18; so does the validity of a constraint, which another step
# may give it without changing what it says.
_PARTS = " UNION ALL ".join(
    (
        _part(
            "column",
            "a.attrelid",
            "a.attnum | a.attname | a.attnotnull | pg_catalog.hash_record_extended(ROW("
            "a.atttypid, a.atttypmod, a.attcollation, a.attidentity, a.attgenerated, a.attstorage,"
            " a.attcompression, a.attislocal, a.attstattarget, a.attmissingval::text,"
            f" a.attfdwoptions, {options_set('a.attoptions')}), 0)",
            "pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
            " WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind NOT IN ('i', 'I', 't')",
        ),
        # A grant on a column is the one change of a part that locks nothing.
        _part(
            "grants",
            "a.attrelid",
            "a.attnum | a.attname | a.attacl",
            "pg_catalog.pg_attribute a WHERE a.attacl IS NOT NULL AND NOT a.attisdropped",
        ),
        _part(
            "default",
            "d.adrelid",
            "d.adnum | d.adnum | pg_catalog.md5(d.adbin::text)",
            "pg_catalog.pg_attrdef d",
        ),
        _part(
            "constraint",
            "k.conrelid",
            "k.conname | k.conname | k.convalidated | k.contype | k.condeferrable | k.condeferred"
            " | k.confrelid | k.conkey | k.confkey | k.confupdtype | k.confdeltype"
            " | k.confmatchtype | k.conexclop | k.connoinherit | pg_catalog.md5(k.conbin::text)",
            "pg_catalog.pg_constraint k WHERE k.contype IN ('p', 'u', 'f', 'c', 'x')",
        ),
        _part(
            "index",
            "i.indrelid",
            "x.relname | x.relname | i.indisunique | i.indisprimary | i.indisexclusion"
            " | i.indimmediate | i.indisvalid | i.indisready | i.indisreplident | i.indkey"
            " | i.indclass | i.indcollation | i.indoption | pg_catalog.md5(i.indexprs::text)"
            " | pg_catalog.md5(i.indpred::text) | x.relam | x.reloptions | x.reltablespace",
            "pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
            " JOIN pg_catalog.pg_class c ON c.oid = i.indrelid WHERE c.relkind <> 't'",
        ),
        _part(
            "trigger",
            "t.tgrelid",
            "t.tgname | t.tgname | t.tgfoid | t.tgtype | t.tgenabled | t.tgdeferrable"
            " | t.tginitdeferred | t.tgattr | t.tgargs | pg_catalog.md5(t.tgqual::text)"
            " | t.tgoldtable | t.tgnewtable | t.tgconstrrelid",
            "pg_catalog.pg_trigger t WHERE (NOT t.tgisinternal OR t.tgenabled <> 'O')",
        ),
        _part(
            "policy",
            "p.polrelid",
            "p.polname | p.polname | p.polcmd | p.polpermissive | p.polroles"
            " | pg_catalog.md5(p.polqual::text) | pg_catalog.md5(p.polwithcheck::text)",
            "pg_catalog.pg_policy p",
        ),
        _part(
            "rule",
            "r.ev_class",
            "r.rulename | r.rulename | r.ev_type | r.ev_enabled | r.is_instead"
            " | pg_catalog.md5(r.ev_qual::text) | pg_catalog.md5(r.ev_action::text)",
            "pg_catalog.pg_rewrite r",
        ),
        _part(
            "child",
            "h.inhparent",
            "h.inhrelid | h.inhrelid | h.inhdetachpending | pg_catalog.md5(c.relpartbound::text)",
            "pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid"
            " WHERE c.relkind IN ('r', 'p', 'f')",
        ),
        _part(
            "sequence",
            "s.seqrelid",
            "s.seqrelid | s.seqrelid | s.seqtypid | s.seqstart | s.seqincrement | s.seqmax"
            " | s.seqmin | s.seqcache | s.seqcycle",
            "pg_catalog.pg_sequence s",
        ),
        _part(
            "owner of a sequence",
            "d.objid",
            "d.refobjid | d.refobjid | d.refobjsubid",
            "pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid"
            " WHERE d.classid = 1259 AND d.refclassid = 1259 AND d.deptype IN ('a', 'i')",
        ),
        _part(
            "statistics",
            "x.stxrelid",
            "x.stxname | x.stxname | x.stxkeys | x.stxkind | pg_catalog.md5(x.stxexprs::text)",
            "pg_catalog.pg_statistic_ext x",
        ),
        _part(
            "publication",
            "x.prrelid",
            "x.prpubid | x.prpubid | x.prqual | x.prattrs",
            "pg_catalog.pg_publication_rel x",
        ),
        _part(
            "comment",
            "d.objoid",
            "d.objsubid | d.objsubid | pg_catalog.md5(d.description)",
            "pg_catalog.pg_description d WHERE d.classoid = 1259",
        ),
    )
)

PARTS = _PARTS.replace(_WHICH, f">= {FIRST_OID}")
"""Of every relation."""

OPENED = (0, "opened", None)
"""The first row of PARTS_OF: where it is missing, somebody has read from the cursor before."""

CHOSEN = "bedplate.witnessed"
"""The setting that says which relations PARTS_OF is of: an array of oids, as text."""

_CHOSEN = f"= ANY (pg_catalog.current_setting('{CHOSEN}', true)::pg_catalog.oid[])"
PARTS_OF = f"SELECT 0::bigint, 'opened', NULL UNION ALL {_PARTS.replace(_WHICH, _CHOSEN)}"
"""Of those in CHOSEN as it stands when the first row is fetched."""

CURSOR = "bedplate_before"
"""Where PARTS_OF waits, as things were when it was opened."""

CURSOR_OPENED = f"""
SELECT c.creation_time::text FROM pg_catalog.pg_cursors c
WHERE c.name = '{CURSOR}' AND NOT c.is_holdable
"""

# What this transaction wrote has its id or that of a savepoint in it, which are later ones.
GRANTED = """
SELECT DISTINCT a.attrelid::bigint FROM pg_catalog.pg_attribute a WHERE pg_catalog.age(a.xmin) <= 0
"""

REHEARSED = "bedplate.rehearsed"
"""The setting of a database that is a rehearsal's copy. It is asked for where it is stored, and not
in the session, which may say what it likes."""

IS_REHEARSED = f"""
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_db_role_setting s
    JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
    WHERE d.datname = pg_catalog.current_database() AND s.setrole = 0
        AND '{REHEARSED}=on' = ANY (s.setconfig))
"""

INDEXED = """
SELECT i.indrelid::bigint FROM pg_catalog.pg_index i WHERE i.indexrelid = ANY (%s::oid[])
"""

_BELONGS = """
LEFT JOIN pg_catalog.pg_description said
    ON said.classoid = '{catalog}'::pg_catalog.regclass AND said.objoid = o.oid
    AND said.objsubid = 0
LEFT JOIN pg_catalog.pg_depend part
    ON part.classid = '{catalog}'::pg_catalog.regclass AND part.objid = o.oid AND part.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension x ON x.oid = part.refobjid
"""

FUNCTIONS = f"""
SELECT 'function', n.nspname::text,
    o.proname || '(' || pg_catalog.oidvectortypes(o.proargtypes) || ')',
    pg_catalog.md5(concat(o.proowner, '{FS}', o.prolang, '{FS}', o.prokind, o.prosecdef,
        o.proleakproof, o.proisstrict, o.proretset, o.provolatile, o.proparallel, '{FS}',
        o.prorettype, '{FS}', o.procost, '{FS}', o.prorows, '{FS}', o.prosupport::oid, '{FS}',
        o.proallargtypes, o.proargmodes, o.proargnames, o.proargdefaults, '{FS}', o.prosrc, '{FS}',
        o.probin, '{FS}', o.prosqlbody, o.proconfig)),
    coalesce(o.proacl, pg_catalog.acldefault('f', o.proowner))::text, said.description,
    x.extname::text
FROM pg_catalog.pg_proc o JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace
{_BELONGS.format(catalog="pg_catalog.pg_proc")}
WHERE o.oid >= {FIRST_OID} AND n.nspname !~ '^pg_temp'
"""

# Labels are read by everything that has the type, and no lock on a table tells of a change.
TYPES = f"""
SELECT CASE o.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' ELSE 'type' END,
    n.nspname::text, o.typname::text,
    pg_catalog.md5(concat(o.typowner, '{FS}', o.typbasetype, '{FS}', o.typtypmod, '{FS}',
        o.typnotnull, o.typcollation, '{FS}', o.typdefaultbin, '{FS}', o.typdefault, '{FS}',
        (SELECT pg_catalog.string_agg(e.enumlabel, '{FS}' ORDER BY e.enumsortorder)
         FROM pg_catalog.pg_enum e WHERE e.enumtypid = o.oid), '{RS}',
        (SELECT pg_catalog.string_agg(concat(k.conname, '{FS}', k.convalidated, k.conbin),
            '{FS}' ORDER BY k.conname)
         FROM pg_catalog.pg_constraint k WHERE k.contypid = o.oid))),
    coalesce(o.typacl, pg_catalog.acldefault('T', o.typowner))::text, said.description,
    x.extname::text
FROM pg_catalog.pg_type o JOIN pg_catalog.pg_namespace n ON n.oid = o.typnamespace
{_BELONGS.format(catalog="pg_catalog.pg_type")}
WHERE o.oid >= {FIRST_OID} AND o.typrelid = 0 AND o.typelem = 0 AND n.nspname !~ '^pg_'
"""

SCHEMAS = """
SELECT 'schema', o.nspname::text, '', o.nspowner::text,
    coalesce(o.nspacl, pg_catalog.acldefault('n', o.nspowner))::text,
    pg_catalog.obj_description(o.oid, 'pg_namespace'), NULL
FROM pg_catalog.pg_namespace o WHERE o.nspname !~ '^pg_' AND o.nspname <> 'information_schema'
UNION ALL
SELECT 'database', '', o.datname::text, concat(o.datdba, o.datallowconn, o.datconnlimit),
    coalesce(o.datacl, pg_catalog.acldefault('d', o.datdba))::text,
    pg_catalog.shobj_description(o.oid, 'pg_database'), NULL
FROM pg_catalog.pg_database o WHERE o.datname = pg_catalog.current_database()
"""

# The functions and not the view pg_stat_xact_all_tables, which groups by every index; the two
# catalogs of large objects besides the users' tables. TRUNCATE sets these counters back: they are
# one witness of several.
_COUNTS = """
SELECT * FROM (
    SELECT c.oid::bigint, pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
        + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
        + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS rows
    FROM pg_catalog.pg_class c
    WHERE c.relkind IN ('r', 'm') AND (c.oid {users} OR c.oid IN (2613, 2995))
) counted WHERE rows > 0
"""
COUNTS = _COUNTS.format(users=f">= {FIRST_OID}")

COUNTS_HELD = _COUNTS.format(
    users="""= ANY (ARRAY(
        SELECT l.relation FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid()))"""
)
"""Before the revision nothing but the runner has written, and holds the lock."""

# One row per relation and mode.
LOCKS = f"""
SELECT l.relation::bigint, l.mode FROM pg_catalog.pg_locks l
WHERE l.locktype = 'relation' AND l.granted AND l.pid = pg_catalog.pg_backend_pid()
    AND (l.relation >= {FIRST_OID} OR l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
"""

# From pg_sequence, as the privilege would else be asked of every relation, which loads them all.
SEQUENCES = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    AND pg_catalog.has_table_privilege(s.seqrelid, 'SELECT')
ORDER BY c.oid LIMIT %s
"""

CAVEATS = """
SELECT r.rolsuper,
    ARRAY(SELECT e.extname::text FROM pg_catalog.pg_extension e
          WHERE e.extname IN ('dblink', 'postgres_fdw') ORDER BY 1),
    ARRAY(SELECT t.evtname::text FROM pg_catalog.pg_event_trigger t
          WHERE t.evtenabled <> 'D' ORDER BY 1)
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
