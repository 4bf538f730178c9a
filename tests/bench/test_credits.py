"""The credits works on a real server: every contestant does the same job, and a recount notices."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate.kernel.settings import load
from bedplate.testing import Clone, Server, Template
from bench import credits_data
from bench.contestants.credits_bedplate import CreditsBedplate
from bench.contestants.credits_psycopg import STEPS, CreditsPsycopg
from bench.contestants.credits_sqlalchemy import CreditsSqlalchemy
from bench.credits_contestant import BATCH, CreditsContestant
from bench.credits_data import OPENING, Holders
from bench.credits_rounds import ASKED, COSTS, RECORDED
from bench.credits_worker import CreditsWorker

ACCOUNTS = 30
CONNECTIONS = 2
LESS_BALANCE = """
    UPDATE bench.credit_balances SET credits_remaining = credits_remaining - 1 WHERE user_id = %s
"""
LESS_GRANT = """
    UPDATE bench.credit_grants g SET remaining = g.remaining - 1
    FROM bench.credit_balances b WHERE b.id = g.credit_balance_id AND b.user_id = %s
"""
ANSWERS = [(1, 99), (2, 97), (1, 99), None, (3, 94)]


@pytest.fixture(scope="session")
def template(bedplate_server: Server) -> Generator[Template]:
    made = Template(bedplate_server, replace(load(), modules=("auth", "credits")))
    yield made
    made.close()


@pytest.fixture
def clone(template: Template) -> Iterator[Clone]:
    made = template.clone()
    yield made
    template.drop(made)


@pytest.fixture
def holders(clone: Clone) -> Holders:
    return credits_data.load(clone.owner_url, clone.url, ACCOUNTS)


def order(clone: Clone, holders: Holders, prefix: str) -> dict[str, Any]:
    return {
        "url": clone.url,
        "connections": CONNECTIONS,
        "clients": CONNECTIONS,
        "prefix": prefix,
        "users": holders.spread,
        "hot": holders.hot,
        "lone": holders.lone,
        "naive": holders.naive,
    }


@pytest.mark.parametrize("make", [CreditsBedplate, CreditsPsycopg, CreditsSqlalchemy])
async def test_every_contestant_gives_the_same_answers(
    clone: Clone, holders: Holders, make: type[CreditsContestant]
) -> None:
    worker = CreditsWorker(make())
    await worker.open(order(clone, holders, "me"))
    told = await worker.sample({"user": holders.samples[0], "asked": ASKED})
    await worker.close({})
    assert told["answers"] == ANSWERS
    wrong, charges = credits_data.recount(clone.owner_url)
    assert wrong == {"credits": 0, "bench": 0}
    assert charges == {"me": RECORDED}


@pytest.mark.parametrize("make", [CreditsBedplate, CreditsPsycopg, CreditsSqlalchemy])
async def test_every_acknowledged_charge_is_found_again(
    clone: Clone, holders: Holders, make: type[CreditsContestant]
) -> None:
    worker = CreditsWorker(make())
    opened = await worker.open(order(clone, holders, "me"))
    for work in opened["works"]:
        stretch = await worker.run({"work": work, "seconds": 0.02})
        assert stretch["ops"] >= (BATCH if work == "deduct_many" else 1), work
    acknowledged = (await worker.acknowledged({}))["charges"]
    await worker.close({})
    wrong, charges = credits_data.recount(clone.owner_url)
    assert wrong == {"credits": 0, "bench": 0}
    assert charges == {"me": acknowledged}


def test_a_recount_notices_a_balance_and_a_grant_that_do_not_add_up(
    clone: Clone, holders: Holders
) -> None:
    with psycopg.connect(clone.owner_url, autocommit=True) as owner:
        owner.execute(LESS_BALANCE, [holders.hot])
        owner.execute(LESS_GRANT, [holders.lone])
    wrong, _ = credits_data.recount(clone.owner_url)
    assert wrong == {"credits": 0, "bench": 2}


async def test_the_plans_code_loses_what_is_charged_at_the_same_time(
    clone: Clone, holders: Holders
) -> None:
    worker = CreditsWorker(CreditsPsycopg())
    await worker.open(order(clone, holders, "naive"))
    for _ in range(3):
        await worker.run({"work": "naive", "seconds": 0.2})
    await worker.close({})
    lost = credits_data.lost(clone.owner_url, holders.naive)
    assert 0 < lost.deducted < lost.charged < OPENING


def test_each_step_of_the_job_is_named() -> None:
    assert list(STEPS) == list(COSTS)


NAMED = """
    SELECT DISTINCT actor_type, user_id IS NULL, request_id IS NULL FROM bench_apart.audit_logs
    WHERE action = 'CREDITS_DEDUCTED'
"""


@pytest.mark.parametrize(
    ("work", "named"),
    [("cost_audit", ("SYSTEM", True, True)), ("cost_context", ("USER", False, False))],
)
async def test_the_step_of_the_context_names_who_acts(
    clone: Clone, holders: Holders, work: str, named: tuple[str, bool, bool]
) -> None:
    worker = CreditsWorker(CreditsPsycopg())
    await worker.open(order(clone, holders, "me"))
    await worker.run({"work": work, "seconds": 0.02})
    await worker.close({})
    with psycopg.connect(clone.owner_url) as owner:
        assert owner.execute(NAMED).fetchall() == [named]


def test_samples_are_never_charged_by_the_rounds(holders: Holders) -> None:
    charged = {holders.hot, holders.lone, holders.naive, *holders.spread}
    assert not charged & set(holders.samples)
    assert len(charged) + len(holders.samples) == ACCOUNTS
    assert all(UUID(user) for user in charged)
