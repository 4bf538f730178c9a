"""The host's tables, made here: rules in the database, samples, and the README's example."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from bedplate import Database, errors
from bedplate.modules.auth import User, create_user
from bedplate.modules.mining import (
    MODULE,
    CostPayment,
    Miner,
    cost_payments,
    miners,
    record_payment,
    retire_miner,
    set_rate,
)
from tests.reader import Reader
from tests.world import World


def test_the_example_runs(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    reader.follow("src/bedplate/modules/mining/README.md", 'modules = ["auth", "mining"]')
    assert capsys.readouterr().out == "1\n"


def test_samples_are_loaded_once(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            user = await create_user(tx, User(email="ada@example.com"))
            assert MODULE.samples is not None
            first = await MODULE.samples(tx)
            assert await MODULE.samples(tx) == 0
        assert first == 2
        assert await miners.count(db, Miner.user_id == user.id) == 0

    world.run(body(world.db))


@pytest.mark.parametrize(
    "wrong",
    [
        "INSERT INTO mining.cost_payments (id, user_id, amount) VALUES (gen_random_uuid(), %s, 0)",
        "INSERT INTO mining.cost_payments (id, user_id, amount)"
        " VALUES (gen_random_uuid(), %s, 'NaN')",
        "INSERT INTO mining.miners (id, user_id, status) VALUES (gen_random_uuid(), %s, 'GONE')",
    ],
)
def test_raw_sql_keeps_the_rules(world: World, wrong: str) -> None:
    async def body(db: Database) -> User:
        async with db.transaction() as tx:
            return await create_user(tx, User(email="ada@example.com"))

    user = world.run(body(world.db))
    with psycopg.connect(world.clone.url) as app, pytest.raises(psycopg.errors.CheckViolation):
        app.execute(wrong.encode(), [user.id])


def test_a_float_is_no_money(world: World) -> None:
    async def body(db: Database) -> None:
        wrong: Any = 1.5
        async with db.transaction() as tx:
            user = await create_user(tx, User(email="ada@example.com"))
        with pytest.raises(errors.FloatRefused):
            await cost_payments.create(db, CostPayment(user_id=user.id, amount=wrong))
        paid = await cost_payments.create(db, CostPayment(user_id=user.id, amount=Decimal("1.50")))
        assert paid.amount == Decimal("1.50")

    world.run(body(world.db))


def test_verbs_write_what_they_say(world: World) -> None:
    async def body(db: Database) -> None:
        async with db.transaction() as tx:
            user = await create_user(tx, User(email="ada@example.com"))
        paid = await record_payment(db, user.id, Decimal("12.30"), reference="bank 7")
        assert (paid.user_id, paid.amount, paid.reference) == (user.id, Decimal("12.30"), "bank 7")
        with pytest.raises(errors.CheckViolation):
            await record_payment(db, user.id, Decimal(0))
        miner = await miners.create(db, Miner(user_id=user.id))
        await set_rate(db, miner.id, Decimal("1.25"), date(2026, 1, 1))
        with pytest.raises(errors.UniqueViolation):
            await set_rate(db, miner.id, Decimal("1.30"), date(2026, 1, 1))
        assert (await retire_miner(db, miner.id)).status == "RETIRED"

    world.run(body(world.db))
