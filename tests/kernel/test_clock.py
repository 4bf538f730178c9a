"""One clock in Python and one in SQL, both of which a test can stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from bedplate.kernel import clock
from bedplate.kernel.database import Database
from tests.world import World


@pytest.fixture(autouse=True)
def _the_clock_runs_again() -> object:
    yield
    clock.freeze(None)


def test_now_is_aware_and_in_utc() -> None:
    assert clock.now().tzinfo is UTC
    assert clock.now() <= clock.now()


def test_a_stopped_clock_stands_until_it_is_let_go() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    clock.freeze(lambda: moment)
    assert clock.now() is moment
    clock.freeze(None)
    assert clock.now() != moment


def test_the_sql_functions_are_bedplates_own() -> None:
    assert (str(clock.sql_now()), str(clock.sql_clock())) == ("bedplate.now()", "bedplate.clock()")


def test_now_stands_still_in_a_transaction_and_clock_does_not(world: World) -> None:
    async def body(db: Database) -> list[tuple[datetime, datetime]]:
        async with db.transaction() as tx:
            first = await tx.one(select(clock.sql_now(), clock.sql_clock()))
            await tx.run(text("SELECT pg_sleep(0.01)"))
            return [first, await tx.one(select(clock.sql_now(), clock.sql_clock()))]

    (now_1, clock_1), (now_2, clock_2) = world.run(body(world.db))
    assert now_1 == now_2
    assert clock_2 - clock_1 >= timedelta(milliseconds=10)
