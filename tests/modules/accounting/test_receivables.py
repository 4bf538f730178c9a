"""What is owed, today and on a day that is over."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from bedplate import Database
from bedplate.modules.accounting import (
    AccountingRefused,
    Aged,
    add_payment,
    aged_receivables,
    cancel_invoice,
    move_due_date,
    refund_invoice,
    remove_payment,
    revenue_by_month,
    run_overdue,
    set_billing,
)
from bedplate.testing import FrozenClock
from tests.modules.accounting.business import Customer, customer, issued, money
from tests.world import World

# The day ends at noon there, in UTC.
ZONE = "Etc/GMT-12"
FIRST = date(2026, 1, 1)
ACTS = ("issue", "issue", "issue", "pay", "pay", "pay", "remove", "move", "cancel", "refund")


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: the books are the server's."""
    return world


class Office:
    """Somebody who does one thing after the other, at random, with what there is."""

    def __init__(self, db: Database, who: list[Customer], chance: random.Random) -> None:
        self.db = db
        self.who = who
        self.chance = chance
        self.invoices: list[tuple[UUID, Customer]] = []
        self.payments: list[UUID] = []
        self.done = set[str]()

    async def act(self, today: date) -> None:
        act = self.chance.choice(ACTS)
        try:
            await self._try(act, today)
        except (AccountingRefused, IndexError, ValueError):
            return  # It was paid, cancelled or given back already, or there is none yet.
        self.done.add(act)

    async def _try(self, act: str, today: date) -> None:
        chance, db = self.chance, self.db
        day = today + timedelta(days=chance.randint(-40, 20))
        if act == "issue":
            one = chance.choice(self.who)
            made = await issued(db, one, price=f"{chance.randint(100, 9999) / 100:.2f}", due=day)
            self.invoices.append((made.id, one))
        elif act == "remove":
            await remove_payment(db, self.payments.pop(chance.randrange(len(self.payments))))
        else:
            invoice, one = chance.choice(self.invoices)
            if act == "pay":
                brought = await money(db, one, chance.choice(("3.00", "40.00", "500.00")))
                self.payments.append((await add_payment(db, invoice, brought)).payment_id)
            elif act == "move":
                await move_due_date(db, invoice, day, by=one.by)
            elif act == "cancel":
                await cancel_invoice(db, invoice, by=one.by)
            else:
                await refund_invoice(db, invoice, Decimal("1.00"), key=str(today))


@pytest.mark.parametrize("days", [30, pytest.param(400, marks=pytest.mark.full)])
def test_what_was_owed_on_a_day_is_what_was_said_on_it(
    world: World, frozen_clock: FrozenClock, days: int
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")

    async def body(db: Database) -> None:
        frozen_clock.set(datetime(2026, 1, 1, tzinfo=UTC))
        await set_billing(db, time_zone=ZONE)
        office = Office(db, [await customer(db) for _ in range(3)], random.Random(seed))
        told: dict[date, tuple[Aged, ...]] = {}
        for place in range(days):
            today = FIRST + timedelta(days=place)
            begins = datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(hours=12)
            frozen_clock.set(begins)
            await run_overdue(db)
            await office.act(today)
            for hour in (8, 23):
                frozen_clock.set(begins + timedelta(hours=hour, minutes=59))
                await office.act(today)
            told[today] = await aged_receivables(db)
            assert await aged_receivables(db, at=today) == told[today]
        assert {day: await aged_receivables(db, at=day) for day in told} == told
        assert {"issue", "pay", "remove", "move"} <= office.done
        assert await aged_receivables(db, at=FIRST - timedelta(days=1)) == ()

    world.run(body(world.db))


def test_a_day_to_come_is_not_known(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 1, 10, 23, tzinfo=UTC))

    async def body(db: Database) -> None:
        with pytest.raises(AccountingRefused) as refused:
            await aged_receivables(db, at=date(2026, 1, 11))
        assert refused.value.rule == "future"
        await set_billing(db, time_zone=ZONE)
        assert await aged_receivables(db, at=date(2026, 1, 11)) == ()

    world.run(body(world.db))


def test_a_month_begins_where_billing_days_do(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2025, 12, 31, 13, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        await issued(db, who)
        assert [str(each.month) for each in await revenue_by_month(db, 2025)] == ["2025-12-01"]
        await set_billing(db, time_zone=ZONE)
        assert await revenue_by_month(db, 2025) == ()
        assert [str(each.month) for each in await revenue_by_month(db, 2026)] == ["2026-01-01"]

    world.run(body(world.db))
