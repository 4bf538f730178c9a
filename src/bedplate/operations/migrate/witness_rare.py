"""What few databases have, and what all databases of a server share; compared row by row.

These catalogs are small: they hold a row for each role, setting, operator or extension.
"""

from __future__ import annotations

from bedplate.operations.migrate.copies import COPY
from bedplate.operations.migrate.witness_queries import FIRST_OID

SHARED = {"setting": 2964, "membership": 1261, "role": 1260}
"""The kinds that all databases of a server share, and the catalog of each, by oid.

Whoever changes one holds a lock on its catalog to the end of the transaction: without it, it was
somebody else's change.
"""

_RARE = {
    "pg_aggregate": "o.aggfnoid::oid",
    "pg_am": "o.oid",
    "pg_amop": "o.oid",
    "pg_amproc": "o.oid",
    "pg_cast": "o.oid",
    "pg_collation": "o.oid",
    "pg_conversion": "o.oid",
    "pg_default_acl": "o.oid",
    "pg_event_trigger": "o.oid",
    "pg_extension": "o.oid",
    "pg_foreign_data_wrapper": "o.oid",
    "pg_foreign_server": "o.oid",
    "pg_language": "o.oid",
    "pg_opclass": "o.oid",
    "pg_operator": "o.oid",
    "pg_opfamily": "o.oid",
    "pg_publication": "o.oid",
    "pg_publication_namespace": "o.oid",
    "pg_transform": "o.oid",
    "pg_ts_config": "o.oid",
    "pg_ts_config_map": "o.mapcfg",
    "pg_ts_dict": "o.oid",
    "pg_ts_parser": "o.oid",
    "pg_ts_template": "o.oid",
}
_RARE_NAMES = {
    "pg_extension": "o.extname::text",
    "pg_collation": "o.collname::text",
    "pg_operator": "o.oprname::text",
    "pg_publication": "o.pubname::text",
    "pg_foreign_server": "o.srvname::text",
    "pg_language": "o.lanname::text",
}

# Settings of another rehearsal's copy come and go with it, and are nobody's existing data. The last
# is a view: its catalog is closed to all but superusers, and it hides the options of another one's
# mapping.
_NAMED = (
    f"""
SELECT 'setting', o.setrole::bigint,
    concat(coalesce(r.rolname, 'all roles'), ' in ', coalesce(d.datname, 'all databases')),
    pg_catalog.md5(o.setconfig::text)
FROM pg_catalog.pg_db_role_setting o
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = o.setrole
    LEFT JOIN pg_catalog.pg_database d ON d.oid = o.setdatabase
WHERE d.datname IS NULL OR d.datname = pg_catalog.current_database()
   OR NOT pg_catalog.starts_with(d.datname::text, '{COPY}_')
""",
    """
SELECT 'membership', 0::bigint,
    concat(pg_catalog.pg_get_userbyid(o.member), ' in ', pg_catalog.pg_get_userbyid(o.roleid)),
    pg_catalog.md5(pg_catalog.string_agg(o::text, ',' ORDER BY o::text))
FROM pg_catalog.pg_auth_members o GROUP BY o.member, o.roleid
""",
    """
SELECT 'role', o.oid::bigint, o.rolname::text, pg_catalog.md5(concat(o.rolsuper, o.rolinherit,
    o.rolcreaterole, o.rolcreatedb, o.rolcanlogin, o.rolreplication, o.rolbypassrls,
    o.rolconnlimit, o.rolvaliduntil))
FROM pg_catalog.pg_roles o
""",
    """
SELECT 'user mapping', o.umid::bigint, concat(o.usename, ' at ', o.srvname), pg_catalog.md5(o::text)
FROM pg_catalog.pg_user_mappings o
""",
)

# What few databases have is compared whole, row by row. Members of extensions are the extension's.
RARE = " UNION ALL ".join(
    (
        *(
            f"SELECT '{catalog.removeprefix('pg_').replace('_', ' ')}', {oid}::bigint,"
            f" {_RARE_NAMES.get(catalog, oid + '::text')}, pg_catalog.md5(o::text)"
            f" FROM pg_catalog.{catalog} o WHERE {oid} >= {FIRST_OID}"
            for catalog, oid in _RARE.items()
        ),
        *_NAMED,
    )
)
