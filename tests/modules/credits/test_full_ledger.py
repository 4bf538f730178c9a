"""CR2 at its full size: a million mixed operations, recounted while they run and at the end."""

from __future__ import annotations

import os
import platform
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest

from bedplate import Database, errors
from bedplate.modules.credits import (
    Charge,
    Deducted,
    Held,
    capture,
    deduct_many,
    grant,
    refund,
    release,
    reserve,
)
from tests import proofs
from tests.asking import as_owner, ask
from tests.kernel.together import together
from tests.modules.credits.accounts import CHAT, broken
from tests.world import World

T = TypeVar("T")

OPERATIONS = 1_000_000
SINGLE_SHARE = 0.05
"""How many of the operations are grants, refunds and holds, each a call of its own."""

ACCOUNTS = 1_000
OPENING = 8_000
BATCH = 2_000
BATCH_ACCOUNTS = 20
BATCHING, SINGLE = 4, 8
"""How many clients do either."""

OPEN_ALL = """
WITH made AS (
    INSERT INTO auth.users (id, email)
    SELECT bedplate.uuid7(), 'million' || n || '@example.com' FROM generate_series(1, %s) AS n
    RETURNING id
)
INSERT INTO credits.credit_balances (id, user_id, credits_remaining)
SELECT bedplate.uuid7(), id, %s FROM made
"""
# One statement sees one moment: what it finds wrong was wrong then.
DIFFERENCES = """
SELECT count(*) FROM credits.credit_balances b
LEFT JOIN (SELECT credit_balance_id AS id, sum(amount) AS amount FROM credits.credit_grants
           GROUP BY 1) g ON g.id = b.id
LEFT JOIN (SELECT credit_balance_id AS id, sum(credits_used) AS amount FROM credits.usage_history
           GROUP BY 1) u ON u.id = b.id
LEFT JOIN (SELECT credit_balance_id AS id, sum(amount) AS amount FROM credits.credit_expirations
           GROUP BY 1) e ON e.id = b.id
LEFT JOIN (SELECT credit_balance_id AS id, sum(amount) AS amount FROM credits.credit_holds
           WHERE state = 'OPEN' GROUP BY 1) h ON h.id = b.id
WHERE b.credits_remaining
          <> coalesce(g.amount, 0) - coalesce(u.amount, 0) - coalesce(e.amount, 0)
   OR b.credits_remaining - coalesce(h.amount, 0) < 0
"""
TOTALS = """
SELECT (SELECT count(*) FROM credits.usage_history WHERE action = 'deduct'),
       (SELECT sum(credits_used) FROM credits.usage_history WHERE action = 'deduct'),
       (SELECT -sum(credits_used) FROM credits.usage_history WHERE action = 'refund')
"""

pytestmark = pytest.mark.full


@dataclass
class Told:
    """What the clients were told, added up by themselves."""

    done: Counter[str] = field(default_factory=Counter[str])
    charged: int = 0
    given_back: int = 0
    late: int = 0
    refundable: list[tuple[UUID, int]] = field(default_factory=list[tuple[UUID, int]])


async def surely(told: Told, ask_for: Callable[[], Awaitable[T]]) -> T:
    """Ask until a lock comes in time: where it did not, nothing was written."""
    while True:
        try:
            return await ask_for()
        except errors.LockTimeout:
            told.late += 1


async def charge_in_batches(
    db: Database, users: list[UUID], told: Told, chance: random.Random, operations: int
) -> None:
    """Charge many at once; now and then a whole batch is sent again."""
    for first in range(0, operations, BATCH):
        some = chance.sample(users, BATCH_ACCOUNTS)
        charges = [
            Charge(
                user_id=chance.choice(some),
                operation=CHAT,
                key=f"{chance.random()}-{first + nth}",
                amount=chance.randint(1, 20),
            )
            for nth in range(BATCH)
        ]
        answers = await surely(told, partial(deduct_many, db, charges))
        for answer in answers:
            kind = "charged" if isinstance(answer, Deducted) else "refused"
            told.done[kind] += 1
            if isinstance(answer, Deducted):
                told.charged += answer.credits_used
        told.refundable += [
            (answer.usage_id, answer.credits_used)
            for answer in answers[:50]
            if isinstance(answer, Deducted)
        ]
        if chance.random() < 0.02:
            assert await surely(told, partial(deduct_many, db, charges)) == answers
            told.done["asked again"] += len(charges)


async def grant_hold_and_refund(
    db: Database, users: list[UUID], told: Told, chance: random.Random, operations: int
) -> None:
    """One verb at a time."""
    for _ in range(operations // 2):
        user, key = chance.choice(users), f"single-{chance.random()}"
        match chance.choice(["grant", "hold", "hold", "refund"]):
            case "grant":
                amount = chance.randint(1, 2_000)
                await surely(told, partial(grant, db, user, amount, key=key))
                told.done["granted"] += 1
            case "hold":
                wanted = Charge(user_id=user, operation=CHAT, key=key, amount=chance.randint(1, 50))
                held = await surely(told, partial(reserve, db, wanted))
                told.done["reserved" if isinstance(held, Held) else "refused"] += 1
                if isinstance(held, Held):
                    is_captured = chance.random() < 0.5
                    end: Any = capture if is_captured else release
                    await surely(told, partial(end, db, held.hold_id))
                    told.done["captured" if is_captured else "released"] += 1
            case _ if told.refundable:
                usage_id, used = told.refundable.pop(chance.randrange(len(told.refundable)))
                part = chance.randint(1, used)
                back = await surely(told, partial(refund, db, usage_id, key=key, amount=part))
                told.given_back += back.credits
                told.done["refunded"] += 1


@contextmanager
def watched(world: World) -> Iterator[list[int]]:
    """Recount all accounts again and again; yield how many differed, each time."""
    seen, over = list[int](), threading.Event()

    def look() -> None:
        with psycopg.connect(world.clone.owner_url, autocommit=True) as owner:
            owner.execute("SET statement_timeout = 0")
            while not over.wait(5):
                seen.append(owner.execute(DIFFERENCES.encode()).fetchall()[0][0])

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_a_million_mixed_operations_leave_no_difference(wide_world: World) -> None:
    if wide_world.mode == "sync":
        pytest.skip("the server's work is the same in both worlds")
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    as_owner(wide_world.clone, OPEN_ALL, ACCOUNTS, OPENING)
    users = [row[0] for row in ask(wide_world.clone, "SELECT user_id FROM credits.credit_balances")]
    told, started = Told(), time.monotonic()
    alone = int(OPERATIONS * SINGLE_SHARE)
    shares = [
        (charge_in_batches, (OPERATIONS - alone) // BATCHING, BATCHING),
        (grant_hold_and_refund, alone * 3 // 2 // SINGLE, SINGLE),
    ]
    with watched(wide_world) as seen:
        outcomes = together(
            wide_world,
            [
                work(wide_world.db, users, told, random.Random(f"{seed} {nth} {share}"), share)
                for work, share, clients in shares
                for nth in range(clients)
            ],
        )
    seconds = time.monotonic() - started
    assert Counter(repr(outcome) for outcome in outcomes if outcome is not None) == Counter()
    figures = _figures(wide_world, told, seen, seed, seconds)
    _write(figures)
    assert figures["operations"] >= OPERATIONS, figures
    assert figures["differences"] == 0, figures
    assert figures["laws_broken"] == [], figures
    assert (told.done["charged"], told.charged, told.given_back) == ask(wide_world.clone, TOTALS)[0]


def _figures(
    world: World, told: Told, seen: list[int], seed: int, seconds: float
) -> dict[str, Any]:
    (postgres,) = ask(world.clone, "SELECT current_setting('server_version')")[0]
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {postgres}",
        "seed": seed,
        "operations": told.done.total(),
        "by_kind": dict(told.done),
        "accounts": ACCOUNTS,
        "seconds": round(seconds, 1),
        "locks_that_came_late": told.late,
        "recounted_while_running": len(seen),
        "differences": sum(seen),
        "laws_broken": sorted(broken(world.clone, world)),
    }


def _write(figures: dict[str, Any]) -> None:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(figures["by_kind"].items()))
    lines = [
        "# Credits: a million mixed operations",
        "",
        f"Run by `pytest --full`; {figures['machine']}; seed {figures['seed']}.",
        "",
        f"{figures['operations']:,} operations on {figures['accounts']:,} accounts by "
        f"{BATCHING + SINGLE} clients at once, in {figures['seconds']:.0f} s: {kinds}.",
        "",
        f"While they ran all accounts were recounted {figures['recounted_while_running']} times: "
        f"{figures['differences']} differed (granted - used - expired = remaining, and never less "
        f"than is held). At the end {len(figures['laws_broken'])} laws of the ledger were broken, "
        "and what the clients were told adds up to what is recorded.",
    ]
    proofs.write("ledger", "\n".join(lines), figures)
