"""An office's work of every kind, planned by chance; and a recount of what it came to."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from bedplate import Database
from bedplate.modules.accounting import add_payment, create_template, issue_invoices
from tests.modules.accounting.business import WRONG, Customer, customer, drafted, money, template
from tests.modules.accounting.deeds import RUN, TRY, Order

MONTHS = 6
"""How many months each template is behind."""

AMOUNTS = ("1.00", "3.00", "5.00", "8.00")
FAR = date(2090, 1, 1)
DRAFT = """
INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date, created_by)
SELECT bedplate.uuid7(), %s, n, 10, '2099-12-31', %s FROM generate_series(1, %s) AS n
RETURNING id::text
"""
# What stands of orders, by their keys, in the words in which they are answered.
STANDS = """
SELECT id::text, invoice_number FROM accounting.invoices
WHERE issued_date IS NOT NULL AND recurring_invoice_id IS NULL
UNION ALL SELECT id::text, amount_paid::text FROM accounting.invoice_payments
UNION ALL SELECT key, amount::text FROM accounting.invoice_refunds
UNION ALL SELECT id::text, default_unit_price::text FROM accounting.customer_pricing_config
"""
# What must be nowhere: a month of a template that is missing or billed twice, a day between two
# prices that has none or both.
WRONG_MONTHS = """
SELECT r.id FROM accounting.recurring_invoices r
LEFT JOIN accounting.invoices i ON i.recurring_invoice_id = r.id
GROUP BY r.id HAVING count(i.id) <> %(months)s
    OR count(DISTINCT date_trunc('month', i.billing_date::timestamp)) <> %(months)s
"""
WRONG_PRICES = """
SELECT p.id FROM (
    SELECT c.id, c.effective_to, lead(c.effective_from)
        OVER (PARTITION BY c.user_id ORDER BY c.effective_from) AS next
    FROM accounting.customer_pricing_config c) AS p
WHERE p.effective_to IS DISTINCT FROM p.next
"""
TABLES = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = 'accounting'::regnamespace
UNION ALL VALUES ('bedplate.number_series'), ('bedplate.jobs') ORDER BY 1
"""


@dataclass(frozen=True)
class Amounts:
    """How much of each kind of work there is, a fifth of the issues to be rolled back."""

    issue: int
    pay: int
    refund: int
    price: int
    run: int
    customers: int

    @property
    def templates(self) -> int:
        return 2 * self.customers

    @property
    def kept(self) -> int:
        """How many orders have an answer that stays."""
        return self.issue * 4 // 5 + self.pay + self.refund + self.price


def behind(today: date) -> date:
    """The first day of the first of MONTHS months, of which this is the last."""
    months = today.year * 12 + today.month - MONTHS
    return date(months // 12, months % 12 + 1, 1)


class Plan:
    """A business with customers, invoices and money, and the orders of a day."""

    def __init__(self, chance: random.Random, amounts: Amounts) -> None:
        self._chance = chance
        self._amounts = amounts
        self._open: list[tuple[UUID, UUID, UUID]] = []
        self._paid: list[UUID] = []
        self._people: list[Customer] = []

    async def prepare(self, db: Database) -> None:
        """Make templates, invoices that are open and that are paid, and money to allocate."""
        amounts = self._amounts
        start = behind(date.today())
        self._people = [await customer(db) for _ in range(amounts.customers)]
        for who in self._people * (amounts.templates // amounts.customers):
            await create_template(db, template(who, start_date=start))
        for number in range(amounts.pay // 6):
            who = self._people[number % amounts.customers]
            (made,) = await self._issued(db, who, 1)
            self._open.append((who.id, made, await money(db, who, "24.00")))
        for number in range(amounts.refund // 8):
            who = self._people[number % amounts.customers]
            (made,) = await self._issued(db, who, 1)
            await add_payment(db, made, await money(db, who, "20.00"))
            self._paid.append(made)

    async def _issued(self, db: Database, who: Customer, many: int) -> list[UUID]:
        made = [(await drafted(db, who)).id for _ in range(many)]
        await issue_invoices(db, made)
        return made

    def orders(self, url: str) -> list[Order]:
        """All of it, in an order of chance."""
        amounts, chance = self._amounts, self._chance
        with psycopg.connect(url) as app:
            who = self._people[0]
            drafts = app.execute(DRAFT, [who.id, who.by, amounts.issue]).fetchall()
        made: list[Order] = [
            ("issue" if place % 5 else TRY, {"key": id}) for place, (id,) in enumerate(drafts)
        ]
        for _ in range(amounts.pay):
            who_pays, invoice, _ = chance.choice(self._open)
            paid = chance.choice([paid for payer, _, paid in self._open if payer == who_pays])
            made.append(("pay", self._values(invoice=invoice, money=paid)))
        for _ in range(amounts.refund):
            made.append(("refund", self._values(invoice=chance.choice(self._paid))))
        days = [FAR + timedelta(days=n) for n in range(max(1, amounts.price // 15))]
        for _ in range(amounts.price):
            who, day = chance.choice(self._people), chance.choice(days)
            made.append(("price", self._values(who=who.id, by=who.by, day=day)))
        made += [(RUN, {"key": f"{RUN}-{number}"}) for number in range(amounts.run)]
        chance.shuffle(made)
        return made

    def _values(self, **values: Any) -> dict[str, str]:
        key, amount = str(uuid4()), self._chance.choice(AMOUNTS)
        return {"key": key, "amount": amount, **{name: str(each) for name, each in values.items()}}


def wrong(url: str) -> list[str]:
    """What the rows show that must never be, counted by hand."""
    with psycopg.connect(url) as app:
        rows = app.execute(WRONG).fetchall()
        rows += app.execute(WRONG_MONTHS, {"months": MONTHS}).fetchall()
        rows += app.execute(WRONG_PRICES).fetchall()
    return [str(row) for row in rows]


def stands(url: str) -> dict[str, str]:
    """What stands, by the keys of the orders."""
    with psycopg.connect(url) as app:
        return dict(app.execute(STANDS).fetchall())


def rows(url: str) -> dict[str, Any]:
    """Every row there is, as one fingerprint for each table."""
    with psycopg.connect(url) as app:
        return {
            table: app.execute(
                f"SELECT count(*), sum(hashtext(t::text)::bigint) FROM {table} AS t".encode()
            ).fetchone()
            for (table,) in app.execute(TABLES).fetchall()
        }


def is_refusal(answer: str) -> bool:
    """Whether an order was refused, by a rule's name; else the answer is a number or an amount."""
    return not answer[:1].isdigit()
