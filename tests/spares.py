"""Databases that serve one test after the other: emptied is three times as fast as cloned anew.

A conftest.py that imports `bedplate_clone` and `spares` has its tests use them; one that sets other
modules (`bedplate_settings`) imports `bedplate_template` and `spares` anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from bedplate.kernel.lines import VERSION_TABLE
from bedplate.kernel.settings import Settings
from bedplate.testing import Clone, FrozenClock, Server, Template

# Whatever a test does to the schema leaves a newer row in one of these; a statistic does not.
SCHEMA = " UNION ALL ".join(
    f"SELECT count(*), max(xmin::text::bigint) FROM pg_catalog.{catalog}"
    for catalog in (
        *("pg_attribute", "pg_class", "pg_constraint", "pg_index", "pg_namespace", "pg_policy"),
        *("pg_proc", "pg_trigger", "pg_type", "pg_enum", "pg_default_acl"),
    )
)
TABLES = """
SELECT n.nspname, c.relname, pg_relation_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)' AND c.relname <> %s
  AND pg_relation_size(c.oid) > 0
  AND NOT (n.nspname = 'bedplate' AND c.relname IN ('receipts', 'journal'))
"""
DELETED_BYTES_MAX = 64 * 1024
"""What is larger is truncated: new files cost more than deleting a few rows does."""


class Spares:
    """Clones of a template that were used before and are as good as new."""

    def __init__(self, server: Server, template: Template) -> None:
        self._server = server
        self._template = template
        self._spare: list[Clone] = []
        self._schemas: dict[str, Any] = {}

    def take(self) -> Clone:
        """Return an empty clone."""
        if self._spare:
            return self._spare.pop()
        clone = self._template.clone()
        with self._connect(clone) as connection:
            self._schemas[clone.name] = connection.execute(SCHEMA).fetchall()
        return clone

    def give_back(self, clone: Clone) -> None:
        """Empty a clone for the next test; one whose schema was changed is dropped."""
        with self._connect(clone) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            as_new = connection.execute(SCHEMA).fetchall() == self._schemas[clone.name]
            if as_new:
                _empty(connection)
        if as_new:
            self._spare.append(clone)
        else:
            self._template.drop(clone)

    def empty(self, clone: Clone) -> None:
        """Empty a clone that stays with its test."""
        with self._connect(clone) as connection:
            _empty(connection)

    def _connect(self, clone: Clone) -> psycopg.Connection[Any]:
        url = make_conninfo(self._server.admin_url, dbname=clone.name)
        return psycopg.connect(url, autocommit=True)


def _empty(connection: psycopg.Connection[Any]) -> None:
    # Without triggers, foreign keys are not looked at either, so any order will do.
    connection.execute("SET session_replication_role = replica")
    for schema, table, size in connection.execute(TABLES, [VERSION_TABLE]).fetchall():
        verb = "DELETE FROM" if size <= DELETED_BYTES_MAX else "TRUNCATE"
        suffix = " CASCADE" if verb == "TRUNCATE" else ""
        connection.execute(sql.SQL(f"{verb} {{}}{suffix}").format(sql.Identifier(schema, table)))


@pytest.fixture(scope="session")
def bedplate_template(bedplate_server: Server, bedplate_settings: Settings) -> Iterator[Template]:
    """A template of a folder's own: the run's other one has other modules."""
    template = Template(bedplate_server, bedplate_settings)
    yield template
    template.close()


@pytest.fixture(scope="session")
def spares(bedplate_server: Server, bedplate_template: Template) -> Spares:
    """The databases of tests that have ended."""
    return Spares(bedplate_server, bedplate_template)


@pytest.fixture
def bedplate_clone(spares: Spares, bedplate_clock: FrozenClock) -> Iterator[Clone]:
    """An empty database for this test, which another may have used before."""
    clone = spares.take()
    with bedplate_clock.ruling(clone.owner_url):
        yield clone
    spares.give_back(clone)
