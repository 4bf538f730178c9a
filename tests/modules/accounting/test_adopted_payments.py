"""Payments that are a host's, which may change them: the laws look at its own rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

import psycopg
import pytest
import pytest_asyncio

from bedplate import Database
from bedplate.kernel import registry
from bedplate.kernel.bindings import Binding
from bedplate.kernel.settings import load
from bedplate.modules.accounting import Draft, add_payment, draft_invoice, issue_invoice
from bedplate.operations import checks, migrate
from bedplate.project import database
from tests.databases import Server, TestDatabase, new_database

NAMES = ("auth", "accounting")
HOST = """
CREATE TABLE public."User" (_id text PRIMARY KEY, email text);
CREATE TABLE public.rigs (rig_no bigint PRIMARY KEY, owner text REFERENCES public."User");
CREATE TABLE public.incoming (
    no bigint PRIMARY KEY, payer text REFERENCES public."User", sum numeric(14, 2) NOT NULL
);
INSERT INTO public."User" VALUES ('u1', 'ada@example.com'), ('u2', 'bob@example.com');
INSERT INTO public.incoming VALUES (1, 'u1', 20);
"""
BOUND = {
    "users": Binding(table="public.User", key="_id", key_type="text"),
    "miners": Binding(
        table="public.rigs", key="rig_no", key_type="bigint", columns={"user_id": "owner"}
    ),
    "cost_payments": Binding(
        table="public.incoming",
        key="no",
        key_type="bigint",
        columns={"user_id": "payer", "amount": "sum"},
    ),
}
MODULES = registry.load(NAMES, bound=tuple(BOUND))


@pytest.fixture
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
    settings = replace(load(), modules=NAMES, bind=BOUND)
    opened = database(settings, MODULES, adopted.app_url)
    await opened.open()
    yield opened
    await opened.close()


def broken(adopted: TestDatabase) -> dict[str, list[str | None]]:
    """Which laws of accounting are broken, and by which payments."""
    outcomes = checks.run(MODULES, adopted.app_url, bindings=BOUND)
    ours = [each for each in outcomes if each.id.startswith("accounting.")]
    assert {"accounting.E010", "accounting.E011"} <= {each.id for each in ours}
    assert [each for each in ours if each.problem is not None] == []
    return {each.id: [row["cost_payment_id"] for row in each.rows] for each in ours if not each.ok}


async def test_a_hosts_payment_that_changes_is_found(db: Database, adopted: TestDatabase) -> None:
    draft = Draft(
        user_id="u1",
        total_miners=1,
        unit_price=Decimal("20.00"),
        due_date=date(2099, 1, 1),
        created_by="u2",
    )
    made = await issue_invoice(db, (await draft_invoice(db, draft)).id, by="u2")
    await add_payment(db, made.id, 1)
    assert broken(adopted) == {}
    for change, found in (
        ("sum = 5", {"accounting.E010": ["1"]}),
        ("sum = 20, payer = 'u2'", {"accounting.E011": ["1"]}),
        ("payer = NULL", {"accounting.E011": ["1"]}),
        ("payer = 'u1'", {}),
    ):
        with psycopg.connect(adopted.owner_url) as owner:
            owner.execute(f"UPDATE public.incoming SET {change}".encode())
        assert broken(adopted) == found
