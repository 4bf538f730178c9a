"""Twelve months of a host's business, done with the module and noted in the book alike."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select

from bedplate import BedplateError, Database
from bedplate.modules import accounting as module
from bedplate.testing import FrozenClock
from tests.journeys.accounting_book import DONE, OTHER_PAYER, OVER, Bill, Book, Key, Template
from tests.journeys.accounting_mail import Mailing
from tests.journeys.mining_farm import YEAR, Farm

T = TypeVar("T")
OUTAGE = (date(YEAR, 7, 4), date(YEAR, 7, 19))
"""Nothing runs between these days: what was due is caught up with afterwards."""


def money(cents: int | None) -> Any:
    return None if cents is None else Decimal(cents).scaleb(-2)


def done(answer: object) -> str:
    return DONE


def cents_of(answer: module.Paid | module.Refunded) -> str:
    return str(int(answer.amount * 100))


@dataclass
class Year:
    """A year that begins on 1 January; `pace` is how many days go by between two mornings."""

    db: Database
    farm: Farm
    clock: FrozenClock
    book: Book
    pace: int
    mailing: Mailing
    chosen: random.Random = field(default_factory=lambda: random.Random(11))
    ids: dict[Key, UUID] = field(default_factory=dict)
    paid: dict[tuple[Key, int], UUID] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    told: Counter[str] = field(default_factory=Counter)

    @property
    def by(self) -> Any:
        return self.farm.key("users", 1)

    def user(self, customer: int) -> Any:
        return self.farm.key("users", customer)

    async def alike(
        self, expected: str, doing: Awaitable[T], show: Callable[[T], str] = done
    ) -> T | None:
        """Do something whose answer the book knows."""
        answer = None
        try:
            answer = await doing
            got = show(answer)
        except BedplateError as refused:
            got = refused.code
        assert got == expected, f"{self.book.now}: the book says {expected}, accounting {got}"
        self.told["done" if answer is not None or got == DONE else got] += 1
        return answer

    async def live(self, each_month: Callable[[], Awaitable[None]]) -> None:
        """Let the year go by."""
        await self.begin()
        day, month = date(YEAR, 1, 1), 1
        while day.year == YEAR:
            if not OUTAGE[0] <= day < OUTAGE[1]:
                if day.month != month:
                    await each_month()
                    month = day.month
                await self.morning(day)
            day += timedelta(days=self.pace)
        await self.mailing.finish(self.clock)
        await each_month()

    def at(self, moment: datetime) -> None:
        self.book.now = self.clock.set(moment)

    async def begin(self) -> None:
        """Prices and templates, as an administrator writes them down; some prices are missing."""
        self.at(datetime(YEAR, 1, 1, 5, tzinfo=UTC))
        await self.mailing.begin()
        for customer in self.farm.customers:
            if customer % 9 != 3:
                await self.set_price(customer, self.farm.first_price(customer), date(YEAR, 1, 1))
            day = self.chosen.choice((1, 1, 15, 28, 0))
            start = date(YEAR, self.chosen.choice((1, 1, 1, 4)), 1)
            end = date(YEAR, 10, self.chosen.choice((1, 15))) if customer % 11 == 5 else None
            own = 4_999 if customer % 7 == 4 else None
            await self.add_template(
                Template(str(UUID(int=customer)), customer, day, start, end, own, 14 + customer % 3)
            )

    async def morning(self, day: date) -> None:
        """What the worker does, then what people do."""
        before = self.book.now
        hour = timedelta(hours=self.chosen.randrange(23), minutes=self.chosen.randrange(60))
        self.at(datetime(day.year, day.month, day.day, tzinfo=UTC) + hour)
        await self.run()
        for number, (_, _, came) in enumerate(self.farm.payments, start=1):
            if before < came <= self.book.now:
                await self.allocate(number)
        for number in sorted(self.waiting):
            await self.spend(number)
        for _ in range(max(2, self.farm.users_count * self.pace // 120)):
            await self.something()
        await self.mailing.post()

    async def run(self) -> None:
        self.book.run_recurring()
        billed = await module.run_recurring(self.db)
        made = [*billed.made]
        while billed.last is not None:
            billed = await module.run_recurring(self.db, after=billed.last)
            made += billed.made
        if made:
            chosen = select(module.Invoice).where(module.Invoice.id.in_(made))
            for invoice in await self.db.all(chosen):
                key = str(invoice.recurring_invoice_id), invoice.billing_date
                assert key in self.book.bills, f"{key} was not due"
                self.ids[key] = invoice.id
        self.book.run_overdue()
        await module.run_overdue(self.db)

    # Money.

    async def allocate(self, payment: int) -> None:
        """Try what must not work, then pay what is open, the oldest first."""
        payer, _ = self.book.brought[payment]
        dice = self.chosen.random()
        mine = self.open_of(payer)
        if dice < 0.15 and mine:
            bill = mine[0][1]
            assert await self.pay(mine[0][0], payment, bill.total - bill.paid + 1) == OVER
        if dice < 0.05:
            other = self.open_of(self.chosen.choice(self.farm.customers))
            if other and other[0][1].customer != payer:
                assert await self.pay(other[0][0], payment, 1) == OTHER_PAYER
        if 0.1 < dice < 0.2 and mine:
            bill = mine[0][1]
            part = min(bill.total - bill.paid, self.book.left(payment))
            await self.pay(mine[0][0], payment, max(1, part // 3))
        if dice > 0.9:
            for key in self.some_of(payer, "DRAFT", "CANCELLED", "PAID"):
                await self.pay(key, payment, None)
        await self.spend(payment)

    async def spend(self, payment: int) -> None:
        payer, _ = self.book.brought[payment]
        for key, bill in self.open_of(payer):
            if payment not in bill.payments and self.book.left(payment):
                await self.pay(key, payment, None)
        left = self.book.left(payment)
        if left and self.chosen.random() < 0.1:
            for key, _ in self.open_of(payer)[:1]:
                assert await self.pay(key, payment, left + 1) == OVER
        (self.waiting.add if left else self.waiting.discard)(payment)

    async def pay(self, key: Key, payment: int, cents: int | None) -> str:
        expected = self.book.pay(key, payment, cents)
        paying = module.add_payment(
            self.db, self.ids[key], self.farm.key("cost_payments", payment), money(cents)
        )
        answer = await self.alike(expected, paying, cents_of)
        if answer is not None:
            self.paid[key, payment] = answer.payment_id
        return expected

    def open_of(self, customer: int) -> list[tuple[Key, Bill]]:
        mine = self.book.of(customer).items()
        return [(key, bill) for key, bill in mine if bill.status in ("ISSUED", "OVERDUE")]

    def some_of(self, customer: int, *states: str) -> list[Key]:
        found = [key for key, bill in self.book.of(customer).items() if bill.status in states]
        return self.chosen.sample(found, min(1, len(found)))

    # All else that happens.

    async def something(self) -> None:
        customer = self.chosen.choice(self.farm.customers)
        doing = self.chosen.choice(
            (self.by_hand, self.cancel, self.give_back, self.take_off, self.move, self.reprice)
        )
        await doing(customer)
        if self.chosen.random() < 0.15:
            await self.turn(str(UUID(int=customer)))

    async def by_hand(self, customer: int) -> None:
        """An invoice of its own: drafted, and mostly issued."""
        name = f"by hand {len(self.book.bills)}"
        miners, cents = self.chosen.randrange(1, 9), self.chosen.choice((None, 1, 12_345))
        due = self.book.today + timedelta(days=self.chosen.randrange(40))
        draft = module.Draft(
            user_id=self.user(customer),
            total_miners=miners,
            unit_price=money(cents),
            due_date=due,
            created_by=self.by,
        )
        expected = self.book.draft(name, customer, miners, cents, due)
        made = await self.alike(expected, module.draft_invoice(self.db, draft))
        if made is None:
            return
        key = (name, None)
        self.ids[key] = made.id
        if self.chosen.random() < 0.8:
            issuing = module.issue_invoice(self.db, made.id, by=self.by)
            await self.alike(self.book.issue(key), issuing)

    async def cancel(self, customer: int) -> None:
        for key in self.some_of(customer, "DRAFT", "ISSUED", "OVERDUE", "PAID", "CANCELLED"):
            cancelling = module.cancel_invoice(self.db, self.ids[key], by=self.by)
            await self.alike(self.book.cancel(key), cancelling)

    async def give_back(self, customer: int) -> None:
        """A part, the same again, another amount under its key, too much, or all that is left."""
        for key in self.some_of(customer, "PAID", "PAID", "ISSUED"):
            total = self.book.bills[key].total
            cents = self.chosen.choice((None, 1, total // 2, total + 1))
            for amount in (cents, cents, (cents or 0) + 5):
                expected = self.book.refund(key, "goodwill", amount)
                refunding = module.refund_invoice(
                    self.db, self.ids[key], money(amount), key="goodwill"
                )
                await self.alike(expected, refunding, cents_of)

    async def take_off(self, customer: int) -> None:
        for key in self.some_of(customer, "PAID", "ISSUED", "OVERDUE", "REFUNDED"):
            for payment in list(self.book.bills[key].payments)[:1]:
                removing = module.remove_payment(self.db, self.paid[key, payment])
                await self.alike(self.book.unpay(key, payment), removing)

    async def move(self, customer: int) -> None:
        for key in self.some_of(customer, "ISSUED", "OVERDUE", "PAID", "REFUNDED"):
            due = self.book.today + timedelta(days=self.chosen.randrange(-5, 30))
            moving = module.move_due_date(self.db, self.ids[key], due, by=self.by)
            await self.alike(self.book.move_due(key, due), moving)

    async def reprice(self, customer: int) -> None:
        """From some day on, past or to come; those without a price are billed afterwards."""
        first = self.book.today + timedelta(days=self.chosen.randrange(-40, 40))
        if not self.book.prices.get(customer):
            first = date(YEAR, 1, 1)
        await self.set_price(customer, self.farm.first_price(customer) + len(self.told), first)

    async def set_price(self, customer: int, cents: int, first: date) -> None:
        expected = self.book.set_price(customer, cents, first)
        setting = module.set_price(self.db, self.user(customer), money(cents), first, by=self.by)
        await self.alike(expected, setting)

    async def add_template(self, new: Template) -> None:
        template = module.RecurringInvoice(
            id=UUID(new.name),
            user_id=self.user(new.customer),
            day_of_month=new.day or 28,
            last_day_of_month=new.day == 0,
            start_date=new.start,
            end_date=new.end,
            unit_price=money(new.cents),
            due_days=new.due_days,
            created_by=self.by,
        )
        await self.alike(self.book.add_template(new), module.create_template(self.db, template))

    async def turn(self, name: str) -> None:
        """Pause a template, resume it (with the days of the pause or without), or end it."""
        template, at = self.book.templates[name], UUID(name)
        if template.over:
            return
        if not template.active:
            back = self.chosen.random() < 0.5
            resuming = module.resume_template(self.db, at, by=self.by, back_bill=back)
            await self.alike(self.book.resume(name, back), resuming)
        elif self.chosen.random() < 0.9:
            pausing = module.pause_template(self.db, at, by=self.by)
            await self.alike(self.book.pause(name), pausing)
        else:
            await self.alike(self.book.end(name), module.end_template(self.db, at, by=self.by))
