"""Random money: totals are the database's, and no mix of payments spends or collects too much."""

from __future__ import annotations

import os
import platform
import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate import Database
from bedplate.modules.accounting import Invoice, issue_invoices
from bedplate.testing import FrozenClock
from tests import proofs
from tests.asking import ask
from tests.modules.accounting.business import WRONG, broken, customer, drafted, money
from tests.modules.accounting.deeds import rule_of
from tests.modules.accounting.scenarios import DAY, PAY, REFUND
from tests.world import CLIENTS, World

FULL = 20_000
INSERT = (
    "INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date, created_by)"
    " VALUES (%s, %s, %s, %s, '2099-12-31', %s)"
)
# Whoever loses a race is told which rule it would have broken, or that it is done already.
FAIR = {
    *("done", "over_invoice", "over_payment", "payable", "refundable", "over_refund"),
    *("uq_invoice_payments_invoice_id_cost_payment_id", "uq_invoice_refunds_invoice_id_key"),
    *("final", "ck_invoices_refunded_amount", "ck_invoices_status", "transition", "sums"),
}
REMOVE = "DELETE FROM accounting.invoice_payments WHERE invoice_id = %s AND cost_payment_id = %s"
CANCEL = "UPDATE accounting.invoices SET status = 'CANCELLED' WHERE id = %s"
FORGED = "UPDATE accounting.invoices SET paid_amount = total_amount, status = 'PAID' WHERE id = %s"


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the rules are the server's."""
    return world


@pytest.mark.parametrize("many", [500, pytest.param(100_000, marks=pytest.mark.full)])
def test_a_total_is_miners_times_price_to_the_cent(world: World, many: int) -> None:
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    who = world.run(customer(world.db))
    rows = list[tuple[Any, ...]]()
    for _ in range(many):
        price = Decimal(chance.randrange(1, 10 ** chance.randint(1, 10))) / 100
        most = int(Decimal("9999999999.99") / price)
        miners = chance.randint(1, min(most, 10 ** chance.randint(1, 9)))
        rows.append((UUID(int=chance.getrandbits(128), version=4), who.id, miners, price, who.by))
    with psycopg.connect(world.clone.url) as app, app.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    wanted = {id: miners * price for id, _, miners, price, _ in rows}
    assert dict(ask(world.clone, "SELECT id, total_amount FROM accounting.invoices")) == wanted


@pytest.mark.parametrize("requests", [400, pytest.param(FULL, marks=pytest.mark.full)])
def test_no_mix_of_requests_leaves_a_wrong_balance(
    world: World, frozen_clock: FrozenClock, requests: int
) -> None:
    """Payments, removals, refunds, cancellations and forgeries on a few invoices, all at once."""
    chance = random.Random(seed := random.randrange(1_000_000))
    print(f"seed {seed}")
    frozen_clock.set(DAY)

    async def prepare(db: Database) -> tuple[list[UUID], list[UUID]]:
        who = await customer(db)
        made: list[Invoice] = [await drafted(db, who) for _ in range(6 + requests // 200)]
        await issue_invoices(db, [each.id for each in made])
        paid = [await money(db, who, f"{chance.randint(1, 4000) / 100:.2f}") for _ in made * 2]
        paid.append(await money(db, who, "0.01"))
        return [each.id for each in made], paid

    made, paid = world.run(prepare(world.db))

    def planned(number: int) -> tuple[str, list[Any]]:
        invoice, payment = chance.choice(made), chance.choice(paid)
        amount = Decimal(chance.choice((1, 250, 500, 999, 1000, 2000))) / 100
        kinds = [(PAY, [invoice, payment, amount])] * 24 + [(REMOVE, [invoice, payment])] * 6
        kinds += [(REFUND, [invoice, str(number), amount])] * 4
        kinds += [(CANCEL, [invoice]), (FORGED, [invoice])]
        return chance.choice(kinds)

    # Whatever the mix comes to, both limits are met: all begin by asking for a cent too much.
    too_much = [(PAY, [made[0], paid[-1], Decimal(cents) / 100]) for cents in (2, 2001)]
    plan = too_much * (CLIENTS // 2) + [planned(number) for number in range(requests)]
    all_began = Barrier(CLIENTS)

    def client(hand: int) -> set[str]:
        answers = set[str]()
        with psycopg.connect(world.clone.url, autocommit=True) as app:
            for number, (statement, values) in enumerate(plan[hand::CLIENTS]):
                if number == 1:
                    all_began.wait(timeout=60)
                try:
                    app.execute(statement.encode(), values)
                    answers.add("done")
                except psycopg.Error as error:
                    answers.add(rule_of(error))
        return answers

    with ThreadPoolExecutor(CLIENTS) as threads:
        answers = set[str]().union(*threads.map(client, range(CLIENTS)))
    assert answers <= FAIR
    assert {"done", "over_invoice", "over_payment"} <= answers
    wrong = ask(world.clone, WRONG)
    if requests == FULL:
        _write(world, seed, answers, wrong)
    assert wrong == []
    assert broken(world) == {}


def _write(world: World, seed: int, answers: set[str], wrong: list[tuple[Any, ...]]) -> None:
    ((version, payments, refunds),) = ask(
        world.clone,
        "SELECT current_setting('server_version'),"
        " (SELECT count(*) FROM accounting.invoice_payments),"
        " (SELECT count(*) FROM accounting.invoice_refunds)",
    )
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, PostgreSQL {version}"
    lines = [
        "# Accounting: a mix of payments, refunds and forgeries",
        "",
        f"Run by `pytest --full`; {machine}; seed {seed}.",
        "",
        f"{FULL:,} requests of raw SQL by {CLIENTS} clients at once: payments, removals, refunds, "
        f"cancellations, and balances set by hand. {payments:,} payments and {refunds:,} refunds "
        f"stood at the end. Invoices and payments with a wrong balance, status or date, counted "
        f"by hand from the rows: {len(wrong)}.",
        "",
        f"How requests were answered: {', '.join(sorted(answers))}.",
    ]
    figures = {"machine": machine, "seed": seed, "requests": FULL, "wrong": len(wrong)}
    proofs.write("invoice-money", "\n".join(lines), figures)
