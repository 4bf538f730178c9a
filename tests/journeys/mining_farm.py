"""A mining host as it was before us: plan B's seven tables in a schema of its own, and its data.

The names are the host's own, as its tool (Prisma over what was MongoDB) left them. Every number in
it is known to Python, too, so that what accounting makes of it can be recounted by hand.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from psycopg import sql

from bedplate import Binding, UserId
from bedplate.catalog import Connection
from tests.journeys.host_layouts import Layout

SCHEMA = "farm"
TABLES = (
    "users",
    "spaces",
    "hardware",
    "miners",
    "cost_payments",
    "miner_rate_history",
    "user_activities",
)
YEAR = 2026
FIRST_PAYMENT = date(YEAR, 1, 20)
DDL = """
CREATE SCHEMA farm;
CREATE TYPE farm."MinerStatus" AS ENUM ('ACTIVE', 'MAINTENANCE', 'RETIRED');
CREATE TABLE farm.users (
    "_id" {key} PRIMARY KEY,
    email varchar(120) NOT NULL UNIQUE,
    "fullName" text,
    role text NOT NULL DEFAULT 'CUSTOMER' CHECK (role IN ('ADMIN', 'CUSTOMER'))
);
CREATE TABLE farm.spaces ("_id" {key} PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE farm.hardware ("_id" {key} PRIMARY KEY, name text NOT NULL, watts integer);
CREATE TABLE farm.miners (
    "_id" {key} PRIMARY KEY,
    "userId" {key} NOT NULL REFERENCES farm.users ON DELETE RESTRICT,
    "hardwareId" {key} NOT NULL REFERENCES farm.hardware,
    "spaceId" {key} REFERENCES farm.spaces ON DELETE SET NULL,
    status farm."MinerStatus" NOT NULL DEFAULT 'ACTIVE'
);
CREATE TABLE farm.cost_payments (
    "_id" {key} PRIMARY KEY,
    "userId" {key} NOT NULL REFERENCES farm.users,
    amount numeric(12, 2) NOT NULL CHECK (amount > 0),
    "paidAt" timestamptz NOT NULL
);
CREATE TABLE farm.miner_rate_history (
    "_id" {key} PRIMARY KEY,
    "minerId" {key} NOT NULL REFERENCES farm.miners ON DELETE CASCADE,
    rate numeric(10, 2) NOT NULL,
    since date NOT NULL
);
CREATE TABLE farm.user_activities (
    "_id" {key} PRIMARY KEY,
    "userId" {key} NOT NULL REFERENCES farm.users,
    kind text NOT NULL,
    details jsonb
);
CREATE INDEX ON farm.miners ("userId") WHERE status = 'ACTIVE';
CREATE INDEX ON farm.cost_payments ("userId", "paidAt" DESC);
COMMENT ON TABLE farm.cost_payments IS 'What the bank says. READ ONLY.';
CREATE FUNCTION farm.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the bank is always right';
END $$;
CREATE TRIGGER as_the_bank_says BEFORE UPDATE OR DELETE ON farm.cost_payments
    FOR EACH ROW EXECUTE FUNCTION farm.refuse();
"""

# Of a customer's bill of a month: to the cent, in parts, for several months at once, far too much.
SHARES = (100, 100, 100, 100, 50, 50, 35, 65, 200, 250, 1, 1000)


def keyed(key_type: str, table: str, number: int) -> Any:
    """The host's key of a table's row, of the type that the host chose."""
    place = TABLES.index(table) + 1
    return {
        "bigint": number + place * 2**40,
        "text": f"c{place}m{number:022d}",
        "uuid": UUID(int=(place << 96) + (0x4 << 76) + (0x8 << 60) + number),
    }[key_type]


@dataclass(frozen=True)
class Farm(Layout):
    """So many users, miners and payments; user 1 is the administrator and owns nothing."""

    name: str = "farm"
    schema: str = SCHEMA
    users: Binding = field(init=False)
    keys: tuple[UserId, UserId, UserId] = field(init=False)
    modules: tuple[str, ...] = ("auth", "delivery", "accounting")
    key_type: str = "uuid"
    users_count: int = 20
    miners_count: int = 200
    payments_count: int = 100

    def __post_init__(self) -> None:
        columns = {"email": "email", "name": "fullName"}
        object.__setattr__(self, "users", self._binding("users", columns))
        object.__setattr__(self, "keys", tuple(self.key("users", each) for each in (1, 2, 3)))
        others = {
            "miners": self._binding("miners", {"user_id": "userId", "status": "status"}),
            "cost_payments": self._binding(
                "cost_payments", {"user_id": "userId", "amount": "amount", "paid_at": "paidAt"}
            ),
        }
        object.__setattr__(self, "others", others)

    def _binding(self, table: str, columns: dict[str, str]) -> Binding:
        return Binding(f"{SCHEMA}.{table}", "_id", self.key_type, columns)

    @property
    def ddl(self) -> str:
        return DDL.replace("{key}", self.key_type)

    def key(self, table: str, number: int) -> Any:
        return keyed(self.key_type, table, number)

    @property
    def customers(self) -> range:
        """The numbers of those who are billed; the last of them has no miner that runs."""
        return range(2, self.users_count + 1)

    @cached_property
    def miners(self) -> list[tuple[int, str]]:
        """Whose each miner is, and whether it runs."""
        chosen = random.Random(self.miners_count)
        rows = [(each, "ACTIVE") for each in self.customers[:-1]]
        rows += [
            (chosen.choice(self.customers), chosen.choice(("ACTIVE", "ACTIVE", "RETIRED")))
            for _ in range(self.miners_count - len(rows))
        ]
        idle = self.customers[-1]
        return [(owner, "MAINTENANCE" if owner == idle else state) for owner, state in rows]

    @cached_property
    def running(self) -> Counter[int]:
        """How many miners of each customer run."""
        return Counter(owner for owner, state in self.miners if state == "ACTIVE")

    def first_price(self, customer: int) -> int:
        """What a miner costs a customer in the beginning, in cents."""
        return 2_500 + 37 * (customer % 50)

    @cached_property
    def payments(self) -> list[tuple[int, int, datetime]]:
        """Who paid, how many cents and when, in the order of their keys."""
        chosen = random.Random(self.payments_count)
        days = (date(YEAR, 12, 28) - FIRST_PAYMENT).days
        rows = []
        for _ in range(self.payments_count):
            payer = chosen.choice(self.customers)
            bill = self.running[payer] * self.first_price(payer)
            cents = max(1, bill * chosen.choice(SHARES) // 100)
            day = datetime.combine(FIRST_PAYMENT, datetime.min.time(), UTC)
            rows.append((payer, cents, day + timedelta(minutes=chosen.randrange(days * 1440))))
        return rows

    def fill(self, admin: Connection) -> None:
        """Load the host's rows; everything about them follows from the numbers above."""
        everyone = range(1, self.users_count + 1)
        self._load(
            admin,
            "users",
            [
                (f"user{n}@example.com", f"User {n}", "ADMIN" if n == 1 else "CUSTOMER")
                for n in everyone
            ],
        )
        self._load(admin, "spaces", [(f"Hall {n}",) for n in (1, 2)])
        self._load(admin, "hardware", [(f"Machine {n}", 3_000 + n) for n in (1, 2, 3)])
        of = self.key
        self._load(
            admin,
            "miners",
            [
                (of("users", owner), of("hardware", 1 + n % 3), of("spaces", 1 + n % 2), state)
                for n, (owner, state) in enumerate(self.miners)
            ],
        )
        self._load(
            admin,
            "cost_payments",
            [
                (of("users", payer), f"{cents // 100}.{cents % 100:02}", at)
                for payer, cents, at in self.payments
            ],
        )
        rates = [
            (of("miners", 1 + n), "1.25", date(YEAR - 1, 6, 1))
            for n in range(min(10, self.miners_count))
        ]
        self._load(admin, "miner_rate_history", rates)
        self._load(admin, "user_activities", [(of("users", n), "LOGIN", "{}") for n in everyone])
        admin.execute(b"ANALYZE")

    def _load(self, admin: Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
        target = sql.Identifier(SCHEMA, table)
        with admin.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(target)) as copy:
            for number, row in enumerate(rows, start=1):
                copy.write_row((self.key(table, number), *row))
