"""The plan's rules, one by one, where no other test is about just that."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from bedplate import Database, assign
from bedplate.modules.accounting import (
    AmountInvalid,
    Draft,
    Invoice,
    InvoiceNotification,
    NotificationType,
    RecurringInvoice,
    add_payment,
    archive_price,
    create_template,
    delete_draft,
    draft_invoice,
    edit_template,
    invoice_notifications,
    invoices,
    price_at,
    recurring_invoices,
    set_price,
)
from bedplate.testing import FrozenClock
from tests.asking import ask
from tests.modules.accounting.business import FAR, customer, drafted, issued, money, template
from tests.world import World

FOREIGN_KEYS = """
SELECT c.conrelid::regclass::text, c.confrelid::regclass::text, c.confdeltype::text
FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = 'accounting'::regnamespace
"""


def test_a_total_is_the_product_and_nobody_writes_it(world: World) -> None:
    async def body(db: Database) -> None:
        made = await drafted(db, await customer(db), price="33.33", count=7)
        assert made.total_amount == Decimal("233.31")

    world.run(body(world.db))
    with psycopg.connect(world.clone.url) as app, pytest.raises(psycopg.errors.GeneratedAlways):
        app.execute("UPDATE accounting.invoices SET total_amount = 1")


@pytest.mark.parametrize("day", [0, 29, 31])
def test_a_template_bills_on_a_day_that_every_month_has(world: World, day: int) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        wrong = RecurringInvoice(
            user_id=who.id, created_by=who.by, day_of_month=day, start_date=date(2026, 1, 1)
        )
        with pytest.raises(AmountInvalid):
            await create_template(db, wrong)
        assert not await recurring_invoices.exists(db)

    world.run(body(world.db))


def test_a_draft_without_a_price_takes_the_customers_own(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        await set_price(db, who.id, Decimal("7.00"), date(2020, 1, 1), by=who.by)
        draft = Draft(user_id=who.id, total_miners=3, due_date=FAR, created_by=who.by)
        assert (await draft_invoice(db, draft)).total_amount == Decimal("21.00")

    world.run(body(world.db))


def test_the_current_price_is_the_one_that_began_and_has_not_ended(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 5, 10, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        for price, month in (("1.00", 1), ("2.00", 4), ("3.00", 6)):
            last = await set_price(db, who.id, Decimal(price), date(2026, month, 1), by=who.by)
        assert await price_at(db, who.id, date(2026, 3, 31)) == Decimal("1.00")
        assert await price_at(db, who.id, date(2026, 4, 1)) == Decimal("2.00")
        assert await price_at(db, who.id, date(2026, 5, 10)) == Decimal("2.00")
        await archive_price(db, last, until=date(2026, 7, 1), by=who.by)
        assert await price_at(db, who.id, date(2026, 6, 30)) == Decimal("3.00")

    world.run(body(world.db))
    rows = ask(
        world.clone,
        "SELECT count(*) FROM accounting.customer_pricing_config"
        " WHERE effective_from <= '2026-05-10'"
        " AND (effective_to IS NULL OR effective_to > '2026-05-10')",
    )
    assert rows == [(1,)]


def test_updated_at_moves_by_itself_also_for_raw_sql(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 5, 10, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        await drafted(db, who)
        made = RecurringInvoice(
            user_id=who.id, created_by=who.by, day_of_month=1, start_date=date(2026, 1, 1)
        )
        await create_template(db, made)
        frozen_clock.set(datetime(2026, 5, 11, tzinfo=UTC))
        await edit_template(db, made.id, assign(RecurringInvoice.due_days, 3), by=who.by)

    world.run(body(world.db))
    with psycopg.connect(world.clone.url) as app:
        app.execute("UPDATE accounting.invoices SET total_miners = 5")
    for table in ("invoices", "recurring_invoices"):
        rows = ask(world.clone, f"SELECT created_at, updated_at FROM accounting.{table} LIMIT 1")
        assert rows[0][1] == datetime(2026, 5, 11, tzinfo=UTC), table
        assert rows[0][0] == datetime(2026, 5, 10, tzinfo=UTC), table


def test_a_caller_may_bring_its_own_ids(world: World) -> None:
    async def body(db: Database) -> None:
        who, own = await customer(db), uuid4()
        made = Invoice(
            id=own,
            user_id=who.id,
            total_miners=1,
            unit_price=Decimal(1),
            due_date=FAR,
            created_by=who.by,
        )
        assert (await invoices.create(db, made)).id == own

    world.run(body(world.db))


def test_a_draft_takes_its_messages_with_it_and_no_key_lets_rows_hang(world: World) -> None:
    async def body(db: Database) -> None:
        draft = await drafted(db, await customer(db))
        told = InvoiceNotification(
            invoice_id=draft.id,
            notification_type=NotificationType.INVOICE_ISSUED,
            sent_to="ada@example.com",
        )
        await invoice_notifications.create(db, told)
        await delete_draft(db, draft.id)
        assert not await invoice_notifications.exists(db)

    world.run(body(world.db))
    keys = ask(world.clone, FOREIGN_KEYS)
    assert ("accounting.invoice_payments", "accounting.invoices", "c") in keys
    assert ("accounting.invoice_notifications", "accounting.invoices", "c") in keys
    # r: RESTRICT; a host's rows are never in the way of a change that is none of ours.
    assert {how for _, far, how in keys if not far.startswith("accounting.")} == {"r"}


def test_tables_refer_to_one_another_without_a_circle(world: World) -> None:
    waiting = {(own, far) for own, far, _ in ask(world.clone, FOREIGN_KEYS) if own != far}
    while waiting:
        free = {far for _, far in waiting} - {own for own, _ in waiting}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {(own, far) for own, far in waiting if far not in free}


def test_a_hosts_payment_is_read_and_never_changed(world: World) -> None:
    version = "SELECT xmin::text, ctid::text FROM mining.cost_payments"

    async def body(db: Database) -> list[tuple[object, ...]]:
        who = await customer(db)
        paid = await money(db, who, "50.00")
        before = ask(world.clone, version)
        await add_payment(db, (await issued(db, who)).id, paid)
        return before

    assert world.run(body(world.db)) == ask(world.clone, version)


# Who made a row and when is what a later look at it goes by.
@pytest.mark.parametrize("column", ["created_by = user_id", "created_at = '2000-01-01'"])
@pytest.mark.parametrize("table", ["invoices", "recurring_invoices", "customer_pricing_config"])
def test_who_made_a_row_and_when_is_never_rewritten(world: World, table: str, column: str) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        await set_price(db, who.id, Decimal("1.00"), date(2026, 1, 1), by=who.by)
        await create_template(db, template(who))
        await issued(db, who)

    world.run(body(world.db))
    with psycopg.connect(world.clone.url) as app, pytest.raises(psycopg.errors.CheckViolation):
        app.execute(f"UPDATE accounting.{table} SET {column}".encode())
