"""Whoever is killed: what was acknowledged is there once, the rest wholly or not at all.

The server that is killed writes as it does in production, with fsync. SIGKILL alone would not need
it, for the system keeps what was written; a power cut would, and no test here can cut the power.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate.cli.demo.crew import Client, Crew, crew_in
from bedplate.cli.demo.errands import Answer, Orders, planned, settings_for
from bedplate.cli.demo.recount import Recount, recount
from bedplate.cli.demo.stage import load_people, set_stage
from bedplate.integrations.blocking import open_project, wait
from bedplate.kernel import ids
from bedplate.testing import Clone

USERS = 3
ERRANDS = 500
GRANT = 300
CLIENTS = 6
SERVER_KILLS = 2
# What a replay may not add to. Refusals are kept beside the module's own tables.
LEDGER = (
    *("credits.usage_history", "credits.usage_allocations", "credits.credit_grants"),
    *("credits.credit_holds", "credits.hold_allocations", "credits.credit_expirations"),
    *("credits.credit_balances", "credits.audit_logs", "bedplate.idempotency_keys"),
)


@pytest.fixture
def chance() -> random.Random:
    made = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    return made


class Ground:
    """A database with some accounts, and a load for it."""

    def __init__(self, url: str, folder: Path, chance: random.Random) -> None:
        self.url = url
        self.folder = folder
        self.people = self._open_accounts()
        self.load = planned(chance, self.people, ERRANDS)

    def _open_accounts(self) -> list[UUID]:
        project = open_project(settings=settings_for(self.folder, self.url, 2))
        try:
            return list(load_people(project, GRANT))[:USERS]
        finally:
            wait(project.close())

    def orders(self) -> Orders:
        return Orders(url=self.url, clients=CLIENTS, errands=self.load)

    def recount(self, clients: Sequence[Client]) -> Recount:
        project = open_project(settings=settings_for(self.folder, self.url, 2))
        try:
            return recount(project, self.url, [a for each in clients for a in each.answers()])
        finally:
            wait(project.close())

    def rows(self) -> dict[str, Any]:
        """Every row of the ledger, as one fingerprint for each table."""
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            return {
                table: connection.execute(
                    f"SELECT count(*), sum(hashtext(t::text)::bigint) FROM {table} AS t".encode()
                ).fetchone()
                for table in LEDGER
            }


def require_sound(found: Recount) -> None:
    """Nothing acknowledged is missing and no law is broken; unacknowledged work may be there."""
    # A crash breaks rows. Laws of the schema are the same before and after, and tried elsewhere.
    broken = [law for law in found.broken if not law.startswith("bedplate.")]
    assert (found.missing, found.changed, found.balance_delta, broken) == (0, 0, 0, [])


def replay(ground: Ground, crew: Crew) -> list[Answer]:
    """Ask every key again; what was done before is answered, not done."""
    client = crew.start(ground.orders())
    crew.wait([client])
    return client.answers()


def require_settled(ground: Ground, crew: Crew) -> None:
    """All keys asked again: all is done, once, and asking once more changes no row."""
    replay(ground, crew)
    found = ground.recount(crew.clients)
    require_sound(found)
    assert found.acknowledged == found.recorded > 0
    before = ground.rows()
    replay(ground, crew)
    assert ground.rows() == before
    require_sound(ground.recount(crew.clients))
    print(f"{found.recorded} charges, {found.refused} refusals")


def test_a_client_process_is_killed(
    bedplate_clone: Clone, tmp_path: Path, chance: random.Random
) -> None:
    ground = Ground(bedplate_clone.url, tmp_path, chance)
    with crew_in(tmp_path) as crew:
        # Both ask the same keys, so that one is always in the middle of what the other does.
        victim, other = crew.start(ground.orders()), crew.start(ground.orders())
        crew.wait_for_lines([victim], chance.randrange(1, ERRANDS))
        crew.kill(victim)
        print(f"killed after {victim.lines()} answers")
        require_sound(ground.recount([victim]))
        crew.wait([other])
        require_settled(ground, crew)


def test_the_server_is_killed(chance: random.Random) -> None:
    with set_stage() as stage, crew_in(stage.folder) as crew:
        ground = Ground(stage.url, stage.folder, chance)
        client = crew.start(ground.orders())
        for kill in range(SERVER_KILLS):
            share = ERRANDS // SERVER_KILLS
            crew.wait_for_lines([client], kill * share + chance.randrange(1, share))
            stage.kill_server()
            acknowledged = client.answers()
            stage.start_server()
            print(f"killed after {len(acknowledged)} answers")
            require_sound(ground.recount([client]))
        crew.wait([client])
        require_settled(ground, crew)


def test_a_plan_has_every_kind_of_errand(chance: random.Random) -> None:
    load = planned(chance, [ids.new() for _ in range(3)], 200)
    kinds = {(errand.is_hold, errand.then > 0) for errand in load}
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}
    assert len({errand.key for errand in load}) == len(load)
    assert all(0 <= errand.then <= errand.amount for errand in load)
