"""The demo's second act: half a year of billing by a clock of its own, by workers in parallel."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Numeric, Uuid, column, text

from bedplate.cli.demo.crew import LIMIT_S, Client, ClientFailed, Crew
from bedplate.cli.demo.errands import Rounds
from bedplate.cli.demo.stage import Stage
from bedplate.integrations.blocking import wait
from bedplate.kernel.query import Query
from bedplate.modules.accounting import (
    RecurringInvoice,
    Revenue,
    recurring_invoices,
    revenue_by_month,
    set_price,
)
from bedplate.modules.auth import User, UserPreferences, user_preferences, users
from bedplate.modules.mining import CostPayment, Miner, cost_payments, miners
from bedplate.project import Project
from bedplate.testing import FrozenClock

CUSTOMERS = 40
MONTHS = 6
WORKERS = 3
TEMPLATES_AT_ONCE = 6
POLL_S = 0.04
FIRST_DAY = date(2026, 1, 1)
LAST_DAY = date(2026, MONTHS, 30)
PRICE = Decimal("40.00")
LATER_PRICE = Decimal("44.50")
PRICE_CHANGES_ON = date(2026, 3, 1)
WORKDAYS = tuple(
    date(2026, month, day) for month in range(1, MONTHS + 1) for day in (14, 28) if month != 4
)
"""Nobody works in April: May catches it up, in order."""
KILLED_ON = date(2026, 5, 14)

_LEFT: Query[int] = Query(
    text("""
        SELECT (SELECT count(*) FROM accounting.recurring_invoices r
                CROSS JOIN accounting.billing_dates(
                    r, accounting.billing_day(bedplate.clock())) AS day)
             + (SELECT count(*) FROM accounting.invoices
                WHERE status = 'ISSUED'
                  AND due_date < accounting.billing_day(bedplate.clock()))
             + (SELECT count(*) FROM mining.cost_payments c
                LEFT JOIN accounting.allocated_payments a ON a.cost_payment_id = c.id
                WHERE coalesce(a.amount_allocated, 0) < c.amount) AS left_to_do
    """).columns(column("left_to_do", BigInteger))
)
# Of five customers three pay at once, one two weeks later, and one never.
_WANTED: Query[Any] = Query(
    text("""
        SELECT i.id, i.user_id, i.total_amount
        FROM accounting.invoices i
        JOIN (SELECT id, row_number() OVER (ORDER BY id) % 5 AS habit FROM auth.users
              WHERE email LIKE 'miner-%') AS u ON u.id = i.user_id
        WHERE i.status IN ('ISSUED', 'OVERDUE')
          AND (u.habit < 3
               OR u.habit = 3 AND i.issued_date < bedplate.clock() - interval '1 day')
        ORDER BY i.id
    """).columns(column("id", Uuid), column("user_id", Uuid), column("amount", Numeric(12, 2)))
)
_FIGURES: Query[Any] = Query(
    text("""
        SELECT (SELECT count(*) FROM accounting.invoices) AS invoices,
               (SELECT count(*) FROM (
                    SELECT FROM accounting.invoices
                    GROUP BY recurring_invoice_id, date_trunc('month', billing_date::timestamp)
                ) AS periods) AS periods,
               (SELECT coalesce(bool_and(first = 1 AND last = numbers AND numbers = those), false)
                FROM (SELECT min(serial) AS first, max(serial) AS last, count(*) AS numbers,
                             count(DISTINCT serial) AS those
                      FROM (SELECT left(invoice_number, 8) AS day,
                                   substr(invoice_number, 9)::bigint AS serial
                            FROM accounting.invoices) AS n
                      GROUP BY day) AS days) AS numbers_gap_free,
               (SELECT count(*) FROM accounting.invoice_payments) AS payments,
               (SELECT count(*) FROM accounting.invoices WHERE status = 'OVERDUE') AS overdue,
               (SELECT coalesce(sum(amount), 0) FROM mining.cost_payments) AS received,
               (SELECT coalesce(sum(amount_paid), 0) FROM accounting.invoice_payments) AS allocated
    """).columns(
        column("invoices", BigInteger),
        column("periods", BigInteger),
        column("numbers_gap_free", Boolean),
        column("payments", BigInteger),
        column("overdue", BigInteger),
        column("received", Numeric(14, 2)),
        column("allocated", Numeric(14, 2)),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """What came of half a year; `refused` payments were tried a second time."""

    invoices: int
    periods: int
    numbers_gap_free: bool
    payments: int
    overdue: int
    received: Decimal
    allocated: Decimal
    refused: int
    unbilled_at_kill: int
    revenue: tuple[Revenue, ...]

    @property
    def missing(self) -> int:
        """Periods of a template that nobody billed, or that were billed more than once."""
        expected = CUSTOMERS * MONTHS
        return abs(expected - self.periods) + self.invoices - self.periods

    @property
    def ok(self) -> bool:
        """Tell whether every period was billed once, and all that was received is allocated."""
        return not self.missing and self.numbers_gap_free and self.received == self.allocated

    def as_dict(self, violations: int) -> dict[str, object]:
        """Return the part of the document of --json; `violations` break a law of its modules."""
        return {
            "customers": CUSTOMERS,
            "months": MONTHS,
            "invoices": self.invoices,
            "missing_or_twice": self.missing,
            "numbers_gap_free": self.numbers_gap_free,
            "payments": self.payments,
            "refused": self.refused,
            "received": str(self.received),
            "allocated": str(self.allocated),
            "overdue": self.overdue,
            "revenue": {f"{each.month:%Y-%m}": str(each.billed) for each in self.revenue},
            "violations": violations,
        }


@dataclass(slots=True)
class HalfAYear:
    """The months by the demo's clock, and the workers in them."""

    project: Project
    stage: Stage
    crew: Crew
    clock: FrozenClock
    unbilled_at_kill: int = 0

    def pass_by(self) -> list[Client]:
        """Go from workday to workday; one worker is killed while it bills. Return all workers."""
        self._move_to(FIRST_DAY)
        workers = [self._hire() for _ in range(WORKERS)]
        wait(_set_up(self.project))
        everybody = list(workers)
        for day in WORKDAYS:
            self._move_to(day)
            if day == KILLED_ON:
                self._kill_one_of(workers)
                workers.append(self._hire())
                everybody.append(workers[-1])
            self._wait_until_done(workers)
            self._receive()
            self._wait_until_done(workers)
        self._move_to(LAST_DAY)
        self.crew.wait(workers)
        return everybody

    def _hire(self) -> Client:
        return self.crew.start(Rounds(url=self.stage.url, most=TEMPLATES_AT_ONCE, until=LAST_DAY))

    def _move_to(self, day: date) -> None:
        self.clock.set(datetime(day.year, day.month, day.day, 6, tzinfo=UTC))

    def _kill_one_of(self, workers: list[Client]) -> None:
        victim = workers.pop()
        self.crew.wait_for_lines([victim], victim.lines() + 1)
        self.crew.kill(victim)
        self.unbilled_at_kill = self._left()

    def _receive(self) -> None:
        """Let customers pay what they are billed; who pays twice the same invoice is not here."""
        wanted = wait(self.project.db.all(_WANTED))
        paid = [CostPayment(user_id=user_id, amount=amount) for _, user_id, amount in wanted]
        wait(cost_payments.create_many(self.project.db, paid))

    def _left(self) -> int:
        return wait(self.project.db.one(_LEFT))

    def _wait_until_done(self, workers: Sequence[Client]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self._left():
            for worker in workers:
                worker.is_done()  # Raises where one died by itself.
            if time.monotonic() > deadline:
                raise ClientFailed(f"The workers took longer than {LIMIT_S:g} s for a day.")
            time.sleep(POLL_S)


def do_business(stage: Stage, crew: Crew) -> Business:
    """Let half a year pass on the stage's database; its clock goes right again afterwards."""
    owner_url = stage.attachment.url("owner")
    clock = FrozenClock()
    clock.install(owner_url)
    with stage.project() as project:
        try:
            with clock.ruling(owner_url):
                half = HalfAYear(project, stage, crew, clock)
                workers = half.pass_by()
        finally:
            clock.thaw()
        figures = wait(project.db.one(_FIGURES))
        revenue = wait(revenue_by_month(project.db, FIRST_DAY.year))
    invoices, periods, gap_free, payments, overdue, received, allocated = figures
    return Business(
        invoices=invoices,
        periods=periods,
        numbers_gap_free=gap_free,
        payments=payments,
        overdue=overdue,
        received=received,
        allocated=allocated,
        refused=sum(deed.refused for worker in workers for deed in worker.deeds()),
        unbilled_at_kill=half.unbilled_at_kill,
        revenue=revenue,
    )


async def _set_up(project: Project) -> None:
    """Make customers with one to four miners, a price from the first day and one from March."""
    async with project.db.transaction() as tx:
        people = [User(email=f"miner-{number}@example.com") for number in range(CUSTOMERS)]
        await users.create_many(tx, people)
        await user_preferences.create_many(tx, [UserPreferences(user_id=u.id) for u in people])
        owned = [
            Miner(user_id=user.id)
            for number, user in enumerate(people)
            for _ in range(1 + number % 4)
        ]
        await miners.create_many(tx, owned)
        by: UUID = people[0].id
        for number, user in enumerate(people):
            await set_price(tx, user.id, PRICE, FIRST_DAY, by=by)
            if number % 2:
                await set_price(tx, user.id, LATER_PRICE, PRICE_CHANGES_ON, by=by)
        await recurring_invoices.create_many(
            tx, [_template(n, u.id, by) for n, u in enumerate(people)]
        )


def _template(number: int, user_id: UUID, by: UUID) -> RecurringInvoice:
    return RecurringInvoice(
        user_id=user_id, day_of_month=1 + number % 28, start_date=FIRST_DAY, created_by=by
    )
