"""Miners and payments that are a host's, with keys of other types: read, and never touched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
import pytest_asyncio

from bedplate import Database, errors
from bedplate.kernel import registry
from bedplate.kernel.bindings import Binding
from bedplate.kernel.settings import load
from bedplate.modules.mining import CostPayment, Miner, MinerRateHistory, cost_payments, miners
from bedplate.modules.mining import miner_rate_history as rates
from bedplate.operations import migrate
from bedplate.project import database
from tests.databases import Server, TestDatabase, new_database

MODULES = registry.load(["auth", "mining"])
HOST = """
CREATE TABLE public."User" (_id text PRIMARY KEY, email text);
CREATE TABLE public.rigs (rig_no bigint PRIMARY KEY, owner text REFERENCES public."User");
CREATE TABLE public.incoming (
    id text PRIMARY KEY, payer text REFERENCES public."User", sum numeric(14, 2) NOT NULL
);
INSERT INTO public."User" VALUES ('u1', 'ada@example.com');
INSERT INTO public.rigs VALUES (7, 'u1'), (8, 'u1');
INSERT INTO public.incoming VALUES ('p1', 'u1', 99.50);
"""


BOUND = {
    "users": Binding(table="public.User", key="_id", key_type="text"),
    "miners": Binding(
        table="public.rigs", key="rig_no", key_type="bigint", columns={"user_id": "owner"}
    ),
    "cost_payments": Binding(
        table="public.incoming", key_type="text", columns={"user_id": "payer", "amount": "sum"}
    ),
}


@pytest.fixture(scope="module")
def adopted(server: Server) -> Iterator[TestDatabase]:
    with new_database(server) as made:
        _, app, _ = made.roles
        with psycopg.connect(made.owner_url) as owner:
            owner.execute(HOST.encode())
            owner.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{app}"'.encode())
        migrate.apply_unproven(
            MODULES, owner_url=made.owner_url, app_url=made.app_url, bindings=BOUND
        )
        yield made


@pytest_asyncio.fixture
async def db(adopted: TestDatabase) -> AsyncIterator[Database]:
    settings = replace(load(), modules=("auth", "mining"), bind=BOUND)
    opened = database(settings, MODULES, adopted.app_url)
    await opened.open()
    yield opened
    await opened.close()


async def test_what_is_bound_is_read_where_it_is(db: Database) -> None:
    assert await miners.count(db, Miner.user_id == "u1") == 2
    paid = await cost_payments.list(db, CostPayment.user_id == "u1")
    assert [(str(each.id), each.amount) for each in paid] == [("p1", Decimal("99.50"))]
    with pytest.raises(errors.TableNotWritable):
        await miners.create(db, Miner(user_id="u1"))  # type: ignore[arg-type]


async def test_our_own_tables_refer_to_it_by_its_key(adopted: TestDatabase, db: Database) -> None:
    with psycopg.connect(adopted.owner_url) as owner:
        made = owner.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_name IN ('miners', 'cost_payments', 'miner_rate_history', 'spaces')"
            " ORDER BY 2"
        ).fetchall()
        key = owner.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'mining.miner_rate_history'::regclass AND contype = 'f'"
        ).fetchall()
    assert made == [("mining", "miner_rate_history"), ("mining", "spaces")]
    assert key == [("FOREIGN KEY (miner_id) REFERENCES rigs(rig_no) ON DELETE CASCADE",)]
    assert await rates.count(db, MinerRateHistory.miner_id == 7) == 0
