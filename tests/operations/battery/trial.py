"""Tries one case of the battery: what the witnesses say, and what is true."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from bedplate.catalog import Connection
from bedplate.kernel.footprint import NOTHING
from bedplate.operations.migrate import verdict, witnesses
from bedplate.operations.migrate.touch import Touch, undeclared
from tests.databases import TestDatabase
from tests.operations.battery.case import Case
from tests.operations.battery.truth import catalog, changed, columns, truth
from tests.operations.battery.world import AFAR, WORLD, WORLD_18

# What leaves a trace for all that it was rolled back: a sequence is outside of every transaction.
DRAWN = {
    "nextval": {"shop.numbers"},
    "nextval undone": {"shop.numbers"},
    "setval": {"shop.numbers"},
    "setval not called": {"shop.numbers"},
    "identity insert": {"shop.tickets_id_seq"},
}


def populate(database: TestDatabase, owner: Connection, admin: Connection) -> None:
    """Make the world in a database that has the schema `shop`, and nothing in it."""
    admin.execute("SET lo_compat_privileges = on")
    owner.execute(WORLD.encode())
    if owner.info.server_version >= 18_00_00:
        owner.execute(WORLD_18.encode())
    owner.execute(f"GRANT SELECT ON shop.items TO {database.roles[1]}".encode())
    admin.execute(AFAR)
    admin.execute(f"GRANT USAGE ON FOREIGN SERVER afar TO {database.roles[0]}".encode())
    admin.execute("ANALYZE")


@dataclass(frozen=True)
class Trial:
    """One case tried: the touches, those that were not declared, and what reads differently."""

    touches: tuple[Touch, ...]
    beyond: tuple[Touch, ...]
    changed: frozenset[str]
    traces: frozenset[str]
    """What still reads or is defined differently after the rollback."""

    @property
    def verdicts(self) -> frozenset[str]:
        return frozenset(each.verdict for each in self.touches)


class Battery:
    """One database with the world in it; every case is rolled back."""

    def __init__(self, database: TestDatabase) -> None:
        self.database = database
        self.owner = psycopg.connect(database.owner_url, autocommit=True)
        self.admin = psycopg.connect(database.admin_url, autocommit=True)
        self.other = psycopg.connect(database.owner_url, autocommit=True)
        self.owner.execute("CREATE SCHEMA shop")
        populate(database, self.owner, self.admin)
        self.major = self.owner.info.server_version // 10_000

    def suits(self, case: Case) -> bool:
        """Tell whether the server knows what the case needs."""
        available = self.admin.execute(
            "SELECT FROM pg_available_extensions WHERE name = %s", [case.extension]
        ).fetchone()
        return case.major <= self.major and (available is not None or not case.extension)

    def close(self) -> None:
        for connection in (self.owner, self.admin, self.other):
            connection.close()

    def try_case(self, case: Case) -> Trial:
        connection = self.admin if case.superuser else self.owner
        before, defined = truth(self.admin), catalog(self.admin)
        known = columns(self.admin)
        sequences = witnesses.before_begin(connection)
        with connection.transaction(force_rollback=True):
            first = witnesses.begin(connection, sequences=sequences)
            connection.execute(
                case.statements.format(app=self.database.roles[1]).encode()
                if "{app}" in case.statements
                else case.statements.encode()
            )
            if case.meanwhile:
                self.other.execute(case.meanwhile.encode())
            first, second = witnesses.end(connection, first)
            touches = verdict.touches(first, second)
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            connection.execute("SET LOCAL search_path = pg_catalog")
            differs = changed(before, truth(connection, known))
        after = truth(self.admin)
        traces: set[str] = set() if case.meanwhile else changed(before, after)
        if not case.meanwhile and catalog(self.admin) != defined:
            traces.add("the catalog")
        return Trial(
            touches, undeclared(touches, NOTHING, "shop"), frozenset(differs), frozenset(traces)
        )
