"""The large numbers of credits: `pytest --full`, some minutes."""

from __future__ import annotations

import os
import platform
import random
import time
from typing import Any

import pytest

from bedplate.cli.demo.crew import Client, Crew, crew_in
from bedplate.cli.demo.errands import Errand, Orders, planned
from bedplate.cli.demo.recount import Recount, recount
from bedplate.cli.demo.stage import Stage, set_stage
from tests import proofs

ERRANDS = 75_000
CLIENTS = 16
PROCESSES = 4
CLIENT_KILLS = 20
SERVER_KILLS = 4
GRANT = 18_000
LIMIT_S = 1_500.0

pytestmark = pytest.mark.full


def start(stage: Stage, crew: Crew, load: tuple[Errand, ...]) -> list[Client]:
    return [
        crew.start(
            Orders(url=stage.url, clients=CLIENTS // PROCESSES, errands=load[hand::PROCESSES])
        )
        for hand in range(PROCESSES)
    ]


def under_fire(stage: Stage, crew: Crew, load: tuple[Errand, ...], chance: random.Random) -> None:
    """Do the load; each kill comes at a random point of its own stretch of the work."""
    clients = start(stage, crew, load)
    kills = ["client"] * CLIENT_KILLS + ["server"] * SERVER_KILLS
    chance.shuffle(kills)
    for kill in kills:
        more = chance.randrange(1, ERRANDS // len(kills) // 2)
        crew.wait_for_lines(clients, sum(client.lines() for client in clients) + more)
        if kill == "server":
            stage.kill_server()
            stage.start_server()
            continue
        victim = clients.pop(chance.randrange(len(clients)))
        assert not victim.is_done()
        crew.kill(victim)
        # Whoever comes after it knows nothing of what was answered, and asks for all of it.
        clients.append(crew.start(victim.orders))
    crew.wait(clients)


def recounted(stage: Stage, crew: Crew) -> Recount:
    with stage.project() as project:
        return recount(project, stage.url, [a for each in crew.clients for a in each.answers()])


def broken_rows(found: Recount) -> list[str]:
    """What breaks a law about rows; the schema's own laws are tried elsewhere."""
    return [law for law in found.broken if not law.startswith("bedplate.")]


def written(seed: int, seconds: float, found: Recount, operations: int) -> dict[str, Any]:
    """Write the proof; return its figures."""
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    figures: dict[str, Any] = {
        "machine": f"{machine}, PostgreSQL {found.postgres}",
        "seed": seed,
        "requests": ERRANDS,
        "operations": operations,
        "clients": CLIENTS,
        "client_kills": CLIENT_KILLS,
        "server_kills": SERVER_KILLS,
        "seconds": round(seconds, 1),
        "acknowledged": found.acknowledged,
        "recorded": found.recorded,
        "refused": found.refused,
        "missing": found.missing,
        "answers_changed": found.changed,
        "balance_delta": found.balance_delta,
        "rows_that_break_a_law": len(broken_rows(found)),
    }
    lines = [
        "# Credits under fire",
        "",
        f"Run by `pytest --full`; {figures['machine']}.",
        "",
        f"{ERRANDS:,} charges (some refunded) and holds (captured or released) by {CLIENTS} "
        f"clients in {PROCESSES} processes: {operations:,} operations. {CLIENT_KILLS} times a "
        "client process was killed with SIGKILL and another asked all its keys again; "
        f"{SERVER_KILLS} times the server was (seed {seed}). "
        "At the end every key was asked once more.",
        "",
        "The server wrote with fsync and full_page_writes, as in production. A killed process "
        "loses nothing that the system has in its cache, so the kills show that a commit is whole "
        "and recovered. That it outlives a power cut is what fsync is for, and was not tried.",
        "",
        "| | |",
        "|---|---|",
        f"| charges acknowledged to clients | {found.acknowledged:,} |",
        f"| charges in history | {found.recorded:,} |",
        f"| acknowledged rows that are missing | {found.missing} |",
        f"| answers that changed when asked again | {found.changed} |",
        f"| requests refused for lack of credits, for good | {found.refused:,} |",
        f"| balances minus history, in credits | {found.balance_delta} |",
        f"| rows that break a law of auth or credits | {len(broken_rows(found))} |",
        f"| seconds | {seconds:.0f} |",
    ]
    proofs.write("credits", "\n".join(lines), figures)
    return figures


def test_a_hundred_thousand_operations_and_what_is_promised_of_them() -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    started = time.monotonic()
    with set_stage() as stage, crew_in(stage.folder, limit_s=LIMIT_S) as crew:
        load = planned(chance, list(stage.people(GRANT)), ERRANDS)
        under_fire(stage, crew, load, chance)
        again = start(stage, crew, load)
        crew.wait(again)
        found = recounted(stage, crew)
        operations = sum(client.lines() for client in again)
    figures = written(seed, time.monotonic() - started, found, operations)
    assert found.acknowledged == found.recorded, figures
    assert (found.missing, found.changed, found.balance_delta) == (0, 0, 0), figures
    assert broken_rows(found) == []
    assert operations > 100_000
    assert found.acknowledged > ERRANDS / 2
