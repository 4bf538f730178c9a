"""What is owed, today and on a day that is over."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from bedplate import Database
from bedplate.modules.accounting import (
    AccountingRefused,
    Aged,
    Statement,
    add_payment,
    aged_receivables,
    cancel_invoice,
    customer_statement,
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


async def statement(db: Database, who: Customer, since: datetime, days: int) -> Statement:
    until = since + timedelta(days=days)
    return await customer_statement(db, who.id, since=since, until=until)


@pytest.mark.parametrize("days", [30, pytest.param(300, marks=pytest.mark.full)])
def test_a_statement_of_days_that_are_over_never_changes(
    world: World, frozen_clock: FrozenClock, days: int
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    begins = datetime(2026, 1, 1, tzinfo=UTC)

    async def body(db: Database) -> None:
        frozen_clock.set(begins)
        office = Office(db, [await customer(db) for _ in range(3)], random.Random(seed))
        told: dict[tuple[int, Customer], Statement] = {}
        revenue = Decimal(0)
        for place in range(days):
            for hour in (1, 9, 17):
                frozen_clock.set(begins + timedelta(days=place, hours=hour))
                await office.act(frozen_clock.now.date())
            frozen_clock.set(begins + timedelta(days=place + 1))
            due = {each.user_id: each.due for each in await aged_receivables(db)}
            for who in office.who:
                now = await statement(db, who, begins + timedelta(days=place), 1)
                assert now.opening + sum(each.amount for each in now.entries) == now.closing
                assert now.closing == due.get(who.id, 0)
                before = told.get((place - 1, who))
                assert now.opening == (before.closing if before else 0)
                told[place, who] = now
                revenue += sum(
                    each.amount for each in now.entries if each.kind in ("invoice", "cancellation")
                )
        for (place, who), then in told.items():
            assert await statement(db, who, begins + timedelta(days=place), 1) == then
        # The years' months are the same entries.
        years = [await revenue_by_month(db, year) for year in (2025, 2026, 2027)]
        assert sum(month.billed for months in years for month in months) == revenue

    world.run(body(world.db))


def test_what_is_undone_stands_at_its_own_day(world: World, frozen_clock: FrozenClock) -> None:
    march, april, may = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))

    async def body(db: Database) -> None:
        frozen_clock.set(march + timedelta(days=4))
        who = await customer(db)
        made, other = await issued(db, who), await issued(db, who)
        paid = await add_payment(db, other.id, await money(db, who, "20.00"))
        frozen_clock.set(april)
        told = await statement(db, who, march, 31)
        month = await revenue_by_month(db, 2026)
        assert (told.opening, told.closing) == (Decimal("0.00"), Decimal("20.00"))
        frozen_clock.set(april + timedelta(days=9))
        await cancel_invoice(db, made.id, by=who.by)
        await remove_payment(db, paid.payment_id)
        frozen_clock.set(may)
        assert await statement(db, who, march, 31) == told
        later = await statement(db, who, april, 30)
        assert (later.opening, later.closing) == (Decimal("20.00"), Decimal("20.00"))
        assert [(each.kind, each.number, each.amount) for each in later.entries] == [
            ("removal", other.invoice_number, Decimal("20.00")),
            ("cancellation", made.invoice_number, Decimal("-20.00")),
        ]
        months = await revenue_by_month(db, 2026)
        assert months[:1] == month
        assert [(each.billed, each.kept) for each in months] == [
            (Decimal("40.00"), Decimal("20.00")),
            (Decimal("-20.00"), Decimal("-20.00")),
        ]

    world.run(body(world.db))


# Written into days that are over, they would change what was told of them.
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO accounting.invoice_payments (id, invoice_id, cost_payment_id, amount_paid,"
        " created_at) VALUES (gen_random_uuid(), %(open)s, %(money)s, 1, '2026-01-01')",
        "INSERT INTO accounting.invoice_refunds (id, invoice_id, key, amount, created_at)"
        " VALUES (gen_random_uuid(), %(paid)s, 'k', 1, '2026-01-01')",
    ],
)
def test_nothing_is_entered_into_days_that_are_over(
    world: World, frozen_clock: FrozenClock, statement: str
) -> None:
    frozen_clock.set(datetime(2026, 5, 1, tzinfo=UTC))

    async def body(db: Database) -> tuple[Customer, dict[str, UUID]]:
        who = await customer(db)
        paid, open_ = await issued(db, who), await issued(db, who)
        brought = await money(db, who, "25.00")
        await add_payment(db, paid.id, brought)
        return who, {"open": open_.id, "paid": paid.id, "money": brought}

    async def told(db: Database, who: Customer) -> int:
        since, until = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 4, 30, tzinfo=UTC)
        return len((await customer_statement(db, who.id, since=since, until=until)).entries)

    who, values = world.run(body(world.db))
    with psycopg.connect(world.clone.url) as app:
        app.execute(statement.encode(), values)
    assert world.run(told(world.db, who)) == 0


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
