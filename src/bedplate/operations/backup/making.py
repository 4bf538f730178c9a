"""How to make a database like the one that was saved: encoding, locale, owner, who may connect."""

from __future__ import annotations

import psycopg
from psycopg import sql

from bedplate.catalog import Connection
from bedplate.kernel import sqlstates
from bedplate.kernel.errors import RestoreRefused
from bedplate.operations.backup.manifest import Making

# As JSON, since the columns' names differ between versions.
MADE = """
SELECT pg_catalog.to_jsonb(d), pg_catalog.pg_get_userbyid(d.datdba),
       pg_catalog.pg_encoding_to_char(d.encoding)
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
GRANTS = """
SELECT coalesce(r.rolname, ''), a.privilege_type
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a
LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE d.datname = pg_catalog.current_database() ORDER BY 1, 2
"""
# Owners, grantees and the roles of policies: whoever anything in the database refers to.
ROLES = """
SELECT DISTINCT r.rolname
FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
  AND s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
ORDER BY 1
"""
MAY_OWN = """
SELECT pg_catalog.pg_has_role(r.oid, 'MEMBER') FROM pg_catalog.pg_roles r WHERE r.rolname = %s
"""
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
LOCALE_OPTION = {"i": "ICU_LOCALE", "b": "BUILTIN_LOCALE"}
PUBLIC = ""
# Only these words of a manifest ever become SQL.
OPTIONS = {
    "ENCODING": sql.SQL("ENCODING = {}"),
    "LOCALE_PROVIDER": sql.SQL("LOCALE_PROVIDER = {}"),
    "LC_COLLATE": sql.SQL("LC_COLLATE = {}"),
    "LC_CTYPE": sql.SQL("LC_CTYPE = {}"),
    "ICU_LOCALE": sql.SQL("ICU_LOCALE = {}"),
    "BUILTIN_LOCALE": sql.SQL("BUILTIN_LOCALE = {}"),
}
PRIVILEGES = {
    "CREATE": sql.SQL("GRANT CREATE ON DATABASE {} TO {}"),
    "CONNECT": sql.SQL("GRANT CONNECT ON DATABASE {} TO {}"),
    "TEMPORARY": sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}"),
}


def read_making(connection: Connection) -> Making:
    """Return how the database of the connection was made."""
    row = connection.execute(MADE).fetchone()
    assert row is not None, "a session is in a database"
    found, owner, encoding = row
    provider = str(found["datlocprovider"])
    options = {
        "ENCODING": encoding,
        "LOCALE_PROVIDER": PROVIDERS[provider],
        "LC_COLLATE": found["datcollate"],
        "LC_CTYPE": found["datctype"],
    }
    if provider in LOCALE_OPTION:
        options[LOCALE_OPTION[provider]] = found.get("datlocale") or found["daticulocale"]
    grants = connection.execute(GRANTS).fetchall() if found["datacl"] is not None else None
    return Making(
        owner=owner,
        options=options,
        grants=None if grants is None else tuple((str(role), str(what)) for role, what in grants),
        roles=tuple(str(role) for (role,) in connection.execute(ROLES)),
    )


def missing_roles(connection: Connection, making: Making) -> list[str]:
    """Return the roles that the saved database refers to and this server does not have."""
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles")}
    return [role for role in making.roles if role not in known]


def make(connection: Connection, name: str, making: Making) -> None:
    """Create an empty database that is made alike; raises RestoreRefused."""
    parts: list[sql.Composable] = [
        sql.SQL("CREATE DATABASE {} TEMPLATE = template0").format(sql.Identifier(name))
    ]
    if _may_own(connection, making.owner):
        parts.append(sql.SQL("OWNER = {}").format(sql.Identifier(making.owner)))
    parts += [
        OPTIONS[name].format(sql.Literal(value))
        for name, value in making.options.items()
        if name in OPTIONS
    ]
    try:
        connection.execute(sql.SQL(" ").join(parts))
    except psycopg.errors.InsufficientPrivilege:
        user = connection.info.user
        raise RestoreRefused(
            f"The role {user} may not create databases.",
            f'Run `ALTER ROLE "{user}" CREATEDB` as an administrator, or let one create the'
            f" database {name}, empty, with {user} as its owner.",
        ) from None
    except psycopg.Error as error:
        raise RestoreRefused(
            f"The database {name} cannot be created: {error.diag.message_primary}.",
            sqlstates.translate(error).next_step,
        ) from None


def grant(connection: Connection, name: str, making: Making) -> None:
    """Give a database we made the privileges that the saved one had."""
    if making.grants is None or not _may_own(connection, making.owner):
        return
    database = sql.Identifier(name)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for role, privilege in making.grants:
        if privilege in PRIVILEGES:
            to = sql.SQL("PUBLIC") if role == PUBLIC else sql.Identifier(role)
            connection.execute(PRIVILEGES[privilege].format(database, to))


def _may_own(connection: Connection, owner: str) -> bool:
    row = connection.execute(MAY_OWN, [owner]).fetchone()
    return row is not None and bool(row[0])
