"""The year once more, by hand: every invoice recounted in plain Python from what was done.

Written from the rules as they are stated, in whole cents, sharing no code with the module: where
the two disagree one of them is wrong. Each verb answers what the module is expected to answer.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

DONE = "done"
NOT_PAYABLE = "accounting.not_payable"
OVER = "accounting.over_allocated"
OTHER_PAYER = "accounting.other_payer"
FROZEN = "accounting.invoice_frozen"
REFUSED = "accounting.transition_refused"
OVER_REFUND = "accounting.refund_refused"
CONFLICT = "idempotency_conflict"
NO_PRICE = "accounting.no_price"
TAKEN = "accounting.price_overlap"

ISSUED = "INVOICE_ISSUED"
PAYMENT_REMINDER = "PAYMENT_REMINDER"
OVERDUE_REMINDER = "OVERDUE_REMINDER"
REMINDER_DAYS = (-3, 7)

Key = tuple[str, date | None]
"""What an invoice is called here: its template and the day it bills, or a draft's name and None."""

Letter = tuple[Key, str, int, date | None]
"""Its invoice, its type, and a reminder's stage and due date."""


@dataclass
class Price:
    """What a miner costs a customer from a day on, until another day or for ever."""

    cents: int
    first: date
    after: date | None

    def holds(self, day: date) -> bool:
        return self.first <= day and (self.after is None or day < self.after)


@dataclass
class Template:
    """Bills a customer's miners on one day of every month; 0 stands for the last."""

    name: str
    customer: int
    day: int
    start: date
    end: date | None
    cents: int | None
    due_days: int
    active: bool = True
    over: bool = False
    billed: date | None = None
    pauses: list[tuple[date, date]] = field(default_factory=list)

    def due(self, today: date) -> Iterator[date]:
        """The days that are to be billed by today, in order: one in a month, none in a pause."""
        day = self.start
        if self.billed is not None:
            day = max(day, (self.billed.replace(day=1) + timedelta(days=31)).replace(day=1))
        last = today if self.end is None else min(today, self.end)
        while day <= last:
            wanted = self.day or calendar.monthrange(day.year, day.month)[1]
            if day.day == wanted and not any(first <= day < after for first, after in self.pauses):
                yield day
            day += timedelta(days=1)


@dataclass
class Bill:
    """One invoice."""

    customer: int
    miners: int
    cents: int
    due: date
    status: str = "DRAFT"
    number: str | None = None
    issued: datetime | None = None
    payments: dict[int, int] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    closed: datetime | None = None

    @property
    def total(self) -> int:
        return self.miners * self.cents

    @property
    def paid(self) -> int:
        return sum(self.payments.values())

    @property
    def refunded(self) -> int:
        return sum(self.refunds.values())


@dataclass
class Book:
    """What the host knows (miners that run, what each payment brought), and what was done."""

    zone: ZoneInfo
    running: dict[int, int]
    brought: dict[int, tuple[int, int]]
    now: datetime
    bills: dict[Key, Bill] = field(default_factory=dict)
    by_customer: dict[int, dict[Key, Bill]] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    paused: dict[str, date] = field(default_factory=dict)
    prices: dict[int, list[Price]] = field(default_factory=dict)
    issued: dict[date, int] = field(default_factory=dict)
    letters: set[Letter] = field(default_factory=set[Letter])
    actions: dict[str, int] = field(default_factory=dict)

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def left(self, payment: int) -> int:
        """What of a payment is not allocated."""
        payer, cents = self.brought[payment]
        return cents - sum(bill.payments.get(payment, 0) for bill in self.of(payer).values())

    def of(self, customer: int) -> dict[Key, Bill]:
        """A customer's bills, in the order in which they were made."""
        return self.by_customer.setdefault(customer, {})

    def price(self, customer: int, day: date) -> int | None:
        found = [each.cents for each in self.prices.get(customer, []) if each.holds(day)]
        assert len(found) <= 1, "two prices at once"
        return found[0] if found else None

    # What is done, in the order of the plan.

    def set_price(self, customer: int, cents: int, first: date) -> str:
        known = self.prices.setdefault(customer, [])
        if any(each.first == first for each in known):
            return TAKEN
        for each in known:
            if each.holds(first):
                self._log(f"PRICING_CONFIG_{'UPDATED' if each.after else 'ARCHIVED'}")
                each.after = first
        later = [each.first for each in known if each.first > first]
        known.append(Price(cents, first, min(later, default=None)))
        self._log("PRICING_CONFIG_CREATED")
        return DONE

    def add_template(self, template: Template) -> str:
        self.templates[template.name] = template
        self._log("RECURRING_INVOICE_CREATED")
        return DONE

    def pause(self, name: str) -> str:
        self.templates[name].active = False
        self.paused[name] = self.today
        self._log("RECURRING_INVOICE_PAUSED")
        return DONE

    def resume(self, name: str, back_bill: bool) -> str:
        self.templates[name].active = True
        paused = self.paused.pop(name)
        if not back_bill:
            self.templates[name].pauses.append((paused, self.today))
        self._log("RECURRING_INVOICE_RESUMED")
        return DONE

    def end(self, name: str) -> str:
        self.templates[name].active, self.templates[name].over = False, True
        self._log("RECURRING_INVOICE_DELETED")
        return DONE

    def run_recurring(self) -> str:
        made: list[tuple[date, str]] = []
        for name, template in self.templates.items():
            if not template.active:
                continue
            for day in template.due(self.today):
                cents = template.cents or self.price(template.customer, day)
                if cents is None:
                    break
                template.billed = day
                miners = self.running.get(template.customer, 0)
                if miners:
                    due = self.today + timedelta(days=template.due_days)
                    self._keep((name, day), Bill(template.customer, miners, cents, due))
                    made.append((day, name))
        for day, name in sorted(made):
            self.issue((name, day))
        return DONE

    def waits(self) -> bool:
        """Whether a template has a day to bill that has no price."""
        return any(
            each.active and any(not (each.cents or self.price(each.customer, day)) for day in due)
            for each in self.templates.values()
            if (due := [*each.due(self.today)])
        )

    def run_overdue(self) -> str:
        for bill in self.bills.values():
            if bill.status == "ISSUED" and bill.due < self.today:
                bill.status = "OVERDUE"
        return DONE

    def draft(self, name: str, customer: int, miners: int, cents: int | None, due: date) -> str:
        cents = cents or self.price(customer, self.today)
        if cents is None:
            return NO_PRICE
        self._keep((name, None), Bill(customer, miners, cents, due))
        return DONE

    def issue(self, key: Key) -> str:
        bill = self.bills[key]
        serial = self.issued[self.today] = self.issued.get(self.today, 0) + 1
        bill.status, bill.issued = "ISSUED", self.now
        bill.number = f"{self.today:%Y%m%d}{serial:02}"
        self._log("INVOICE_ISSUED")
        return DONE

    def cancel(self, key: Key) -> str:
        bill = self.bills[key]
        if bill.status in ("CANCELLED", "REFUNDED"):
            return FROZEN
        if bill.status == "PAID" or bill.paid:
            return REFUSED
        bill.status = "CANCELLED"
        self._log("INVOICE_CANCELLED")
        return DONE

    def move_due(self, key: Key, due: date) -> str:
        bill = self.bills[key]
        if bill.status in ("CANCELLED", "REFUNDED"):
            return FROZEN
        bill.due = due
        if bill.status == "OVERDUE" and due >= self.today:
            bill.status = "ISSUED"
        return DONE

    def pay(self, key: Key, payment: int, cents: int | None) -> str:
        """Without an amount, all that fits; the answer is the amount in cents."""
        bill, (payer, _) = self.bills[key], self.brought[payment]
        balance = bill.total - bill.paid
        if cents is None:
            cents = min(balance, self.left(payment))
            if cents <= 0:
                return OVER
        if bill.status not in ("ISSUED", "OVERDUE"):
            return NOT_PAYABLE
        if cents > balance:
            return OVER
        if payer != bill.customer:
            return OTHER_PAYER
        if cents > self.left(payment) or payment in bill.payments:
            return OVER
        bill.payments[payment] = cents
        self._log("PAYMENT_ADDED")
        if bill.paid == bill.total:
            bill.status, bill.closed = "PAID", self.now
        return str(cents)

    def unpay(self, key: Key, payment: int) -> str:
        bill = self.bills[key]
        if bill.status in ("CANCELLED", "REFUNDED"):
            return FROZEN
        if bill.refunded > bill.paid - bill.payments[payment]:
            return FROZEN
        del bill.payments[payment]
        bill.closed = None
        if bill.status == "PAID":
            bill.status = "OVERDUE" if bill.due < self.today else "ISSUED"
        self._log("PAYMENT_REMOVED")
        return DONE

    def refund(self, key: Key, word: str, cents: int | None) -> str:
        """Without an amount, all that is left; the answer is the amount in cents."""
        bill = self.bills[key]
        if word in bill.refunds:
            is_same = cents in (None, bill.refunds[word])
            return str(bill.refunds[word]) if is_same else CONFLICT
        if bill.status != "PAID":
            return NOT_PAYABLE
        cents = bill.paid - bill.refunded if cents is None else cents
        if bill.refunded + cents > bill.paid:
            return OVER_REFUND
        bill.refunds[word] = cents
        if bill.refunded == bill.total:
            bill.status = "REFUNDED"
        self._log("PAYMENT_REFUNDED")
        return str(cents)

    def write_notices(self) -> None:
        """Every invoice is mailed once it is issued, unless it was cancelled meanwhile."""
        for key, bill in self.bills.items():
            if bill.issued is not None and bill.status in ("ISSUED", "OVERDUE", "PAID"):
                self.letters.add((key, ISSUED, 0, None))

    def write_reminders(self) -> None:
        """Of the days that came since an invoice was issued, the latest."""
        for key, bill in self.bills.items():
            if bill.status not in ("ISSUED", "OVERDUE") or bill.issued is None:
                continue
            first = bill.issued.astimezone(self.zone).date()
            reached = [
                day for day in REMINDER_DAYS if first < bill.due + timedelta(days=day) <= self.today
            ]
            if reached and reached[-1] > 0:
                self.letters.add((key, OVERDUE_REMINDER, reached[-1], bill.due))
            elif reached and bill.due >= self.today:
                self.letters.add((key, PAYMENT_REMINDER, reached[-1], bill.due))

    def _keep(self, key: Key, bill: Bill) -> None:
        self.bills[key] = self.of(bill.customer)[key] = bill
        self._log("INVOICE_CREATED")

    def _log(self, action: str) -> None:
        self.actions[action] = self.actions.get(action, 0) + 1
