"""A database is told from every other, also where the role may not ask for its server's number."""

from __future__ import annotations

import psycopg
import pytest

from bedplate.catalog import connect, identity
from tests.databases import Server, TestDatabase, new_database

REVOKE = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"


@pytest.mark.parametrize("may_ask", [True, False])
def test_a_database_is_itself_whoever_asks_and_no_other(
    server: Server, database: TestDatabase, may_ask: bool
) -> None:
    found: set[str] = set()
    with new_database(server) as other:
        for each in (database, other):
            if not may_ask:
                with psycopg.connect(each.admin_url) as admin:
                    admin.execute(REVOKE)
            with connect(each.owner_url) as owner, connect(each.app_url) as app:
                assert identity(owner) == identity(app)
                found.add(identity(owner))
    assert len(found) == 2
