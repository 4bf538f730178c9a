"""Recurring invoices and prices: each day billed once, in order, at the price of its day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest

from bedplate import Database, assign
from bedplate.modules.accounting import (
    AmountInvalid,
    CustomerPricingConfig,
    Invoice,
    InvoiceFrozen,
    InvoiceStatus,
    NoPrice,
    PriceOverlap,
    RecurringInvoice,
    SettingInvalid,
    TransitionRefused,
    archive_price,
    billing_settings,
    create_template,
    customer_pricing_config,
    delete_draft,
    edit_template,
    end_template,
    invoices,
    pause_template,
    price_at,
    resume_template,
    run_recurring,
    set_billing,
    set_price,
)
from bedplate.testing import FrozenClock
from tests.asking import as_owner, ask
from tests.modules.accounting.business import (
    AS_WRITTEN,
    Customer,
    at_once,
    broken,
    customer,
    template,
)
from tests.modules.accounting.scenarios import PRICE
from tests.world import CLIENTS, World


async def billed(db: Database) -> list[str]:
    rows = await invoices.list(db, order=(Invoice.invoice_number.asc(),))
    return [str(each.billing_date) for each in rows]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"day_of_month": 1}, ["01-01", "02-01", "03-01", "04-01"]),
        ({"day_of_month": 28}, ["01-28", "02-28", "03-28"]),
        ({"last_day_of_month": True}, ["01-31", "02-29", "03-31"]),
        ({"day_of_month": 15, "start_date": date(2024, 1, 16)}, ["02-15", "03-15", "04-15"]),
        ({"day_of_month": 15, "end_date": date(2024, 3, 15)}, ["01-15", "02-15", "03-15"]),
    ],
)
def test_missed_months_are_caught_up_in_order(
    world: World, frozen_clock: FrozenClock, terms: dict[str, object], expected: list[str]
) -> None:
    frozen_clock.set(datetime(2024, 4, 20, 12, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        await create_template(db, template(who, **{"start_date": date(2024, 1, 1), **terms}))
        first = await run_recurring(db)
        assert len(first.made) == len(expected)
        assert await billed(db) == [f"2024-{each}" for each in expected]
        assert (await run_recurring(db)).made == ()

    world.run(body(world.db))
    assert broken(world) == {}


def test_a_pause_is_not_billed_unless_asked(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 1, 1, 12, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        made = await create_template(db, template(who, start_date=date(2026, 1, 1)))
        await run_recurring(db)
        await pause_template(db, made.id, by=who.by)
        frozen_clock.set(datetime(2026, 3, 15, tzinfo=UTC))
        assert (await run_recurring(db)).made == ()
        await resume_template(db, made.id, by=who.by)
        assert (await run_recurring(db)).made == ()
        frozen_clock.set(datetime(2026, 4, 2, tzinfo=UTC))
        await run_recurring(db)
        assert await billed(db) == ["2026-01-01", "2026-04-01"]
        await pause_template(db, made.id, by=who.by)
        frozen_clock.set(datetime(2026, 6, 2, tzinfo=UTC))
        await resume_template(db, made.id, by=who.by, back_bill=True)
        # The days of the first pause stay unbilled; those of the second are caught up.
        await run_recurring(db)
        assert await billed(db) == ["2026-01-01", "2026-04-01", "2026-05-01", "2026-06-01"]
        await end_template(db, made.id, by=who.by)
        frozen_clock.set(datetime(2026, 8, 2, tzinfo=UTC))
        assert (await run_recurring(db)).made == ()
        with pytest.raises(InvoiceFrozen):
            await resume_template(db, made.id, by=who.by)

    world.run(body(world.db))
    rows = ask(
        world.clone,
        "SELECT action::text FROM accounting.audit_logs WHERE entity_type = 'RecurringInvoice'"
        " AND action::text NOT LIKE '%%UPDATED'" + AS_WRITTEN,
    )
    assert [action.removeprefix("RECURRING_INVOICE_") for (action,) in rows] == [
        "CREATED",
        "PAUSED",
        "RESUMED",
        "PAUSED",
        "RESUMED",
        "DELETED",
    ]


def test_what_was_due_before_a_pause_is_billed_after_it(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 3, 15, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        made = await create_template(db, template(who, start_date=date(2026, 1, 1)))
        # Resuming what was never paused is no way to lose a month.
        await resume_template(db, made.id, by=who.by)
        await pause_template(db, made.id, by=who.by)
        frozen_clock.set(datetime(2026, 5, 15, tzinfo=UTC))
        await resume_template(db, made.id, by=who.by)
        await pause_template(db, made.id, by=who.by)
        frozen_clock.set(datetime(2026, 7, 15, tzinfo=UTC))
        await resume_template(db, made.id, by=who.by)
        frozen_clock.set(datetime(2026, 8, 15, tzinfo=UTC))
        await run_recurring(db)
        assert await billed(db) == ["2026-01-01", "2026-02-01", "2026-03-01", "2026-08-01"]

    world.run(body(world.db))
    rows = ask(
        world.clone,
        "SELECT paused_on::text, resumed_on::text, billed FROM accounting.template_pauses"
        " ORDER BY paused_on",
    )
    assert rows == [("2026-03-15", "2026-05-15", False), ("2026-05-15", "2026-07-15", False)]
    statement = "UPDATE accounting.template_pauses SET billed = true"
    with (
        psycopg.connect(world.clone.url) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute(statement.encode())


def test_a_month_is_billed_once_when_its_day_is_moved(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 1, 6, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        made = await create_template(db, template(who, day_of_month=5, start_date=date(2026, 1, 1)))
        await run_recurring(db)
        await edit_template(db, made.id, assign(RecurringInvoice.day_of_month, 20), by=who.by)
        frozen_clock.set(datetime(2026, 2, 21, tzinfo=UTC))
        await run_recurring(db)
        last_day = assign(RecurringInvoice.last_day_of_month, True)
        await edit_template(db, made.id, last_day, by=who.by)
        frozen_clock.set(datetime(2026, 3, 31, tzinfo=UTC))
        await run_recurring(db)
        assert await billed(db) == ["2026-01-05", "2026-02-20", "2026-03-31"]

    world.run(body(world.db))
    again = (
        "INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date,"
        " created_by, recurring_invoice_id, billing_date)"
        " SELECT gen_random_uuid(), user_id, 1, 1, due_date, created_by, recurring_invoice_id,"
        " billing_date + 1 FROM accounting.invoices ORDER BY billing_date LIMIT 1"
    )
    assert at_once(world.clone, again, [()]) == ["uq_invoices_recurring_invoice_id_month"]


def test_billing_days_are_those_of_the_set_zone(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 1, 31, 23, 30, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        await create_template(db, template(who, start_date=date(2026, 2, 1)))
        assert (await run_recurring(db)).made == ()
        await set_billing(db, time_zone="Europe/Helsinki")
        await set_billing(db, reminder_days=(7, 1, 1))
        assert len((await run_recurring(db)).made) == 1
        for wrong in ({"time_zone": "Atlantis"}, {"reminder_days": range(30)}):
            with pytest.raises(SettingInvalid):
                await set_billing(db, **wrong)
        found = await billing_settings.get(db, "singleton")
        assert (found.time_zone, found.reminder_days) == ("Europe/Helsinki", [1, 7])

    world.run(body(world.db))


def test_the_price_is_that_of_the_billed_day_and_its_lack_waits(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 4, 2, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        await create_template(db, template(who, start_date=date(2026, 1, 1), unit_price=None))
        assert (await run_recurring(db)).no_price == 4
        await set_price(db, who.id, Decimal("1.00"), date(2026, 1, 1), by=who.by)
        ended = await set_price(db, who.id, Decimal("2.00"), date(2026, 2, 1), by=who.by)
        await archive_price(db, ended, until=date(2026, 3, 1), by=who.by)
        found = await run_recurring(db, issue=False)
        assert (len(found.made), found.no_price) == (2, 2)
        await set_price(db, who.id, Decimal("3.00"), date(2026, 3, 1), by=who.by)
        assert len((await run_recurring(db)).made) == 2
        rows = await invoices.list(db, order=(Invoice.billing_date.asc(),))
        assert [each.unit_price for each in rows] == [Decimal(n) for n in (1, 2, 3, 3)]
        assert [each.status for each in rows[:2]] == [InvoiceStatus.DRAFT] * 2
        # A price of the past moves no invoice.
        assert await price_at(db, who.id, date(2026, 2, 28)) == Decimal("2.00")
        with pytest.raises(NoPrice):
            await price_at(db, who.id, date(2025, 12, 31))
        with pytest.raises(TransitionRefused):
            await run_recurring(db, through=date(2026, 4, 3))

    world.run(body(world.db))


def test_customers_without_miners_are_passed_over(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 2, 2, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db, running=0)
        await create_template(db, template(who, start_date=date(2026, 1, 1)))
        found = await run_recurring(db)
        assert (found.made, found.no_miners) == ((), 2)
        assert (await run_recurring(db)).no_miners == 0

    world.run(body(world.db))
    said = "SELECT description FROM accounting.audit_logs WHERE action::text LIKE 'RECUR%%UPDATED'"
    assert ask(world.clone, said + AS_WRITTEN) == [
        ("No miners to bill on 2026-01-01",),
        ("No miners to bill on 2026-02-01",),
    ]
    assert broken(world) == {}


# Forward would leave months out without a word, back would have them asked for again.
@pytest.mark.parametrize("moved_to", ["2026-04-01", "2026-02-15", "2025-12-01", None])
def test_what_is_billed_is_written_by_the_run_alone(
    world: World, frozen_clock: FrozenClock, moved_to: str | None
) -> None:
    frozen_clock.set(datetime(2026, 2, 2, tzinfo=UTC))

    async def body(db: Database) -> Customer:
        who = await customer(db)
        await create_template(db, template(who, start_date=date(2026, 1, 1)))
        await run_recurring(db)
        return who

    who = world.run(body(world.db))
    move = "UPDATE accounting.recurring_invoices SET last_generated_date = %s"
    begin = (
        "INSERT INTO accounting.recurring_invoices"
        " (id, user_id, day_of_month, start_date, last_generated_date, created_by)"
        " VALUES (gen_random_uuid(), %s, 1, '2026-01-01', '2026-02-01', %s)"
    )
    assert at_once(world.clone, move, [(moved_to,)]) == ["billed"]
    assert at_once(world.clone, begin, [(who.id, who.by)]) == ["billed"]
    never = begin.replace("'2026-01-01', '2026-02-01'", "'-infinity', NULL")
    assert at_once(world.clone, never, [(who.id, who.by)]) == ["ck_recurring_invoices_start_date"]
    assert broken(world) == {}


def test_a_month_that_was_left_out_is_found(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 2, 2, tzinfo=UTC))

    async def body(db: Database) -> RecurringInvoice:
        who = await customer(db)
        made = await create_template(db, template(who, start_date=date(2026, 1, 1)))
        # A draft that somebody deletes is no month left out: the log says who and when.
        drafts = await run_recurring(db, issue=False)
        await delete_draft(db, drafts.made[1])
        return made

    async def later(db: Database) -> None:
        frozen_clock.set(datetime(2026, 6, 2, tzinfo=UTC))
        await run_recurring(db)

    made = world.run(body(world.db))
    assert broken(world) == {}
    move = "UPDATE accounting.recurring_invoices SET last_generated_date = '2026-04-01'"
    as_owner(world.clone, move)
    world.run(later(world.db))
    found = broken(world)
    assert found.keys() == {"accounting.E008"}
    assert {row["recurring_invoice_id"] for row in found["accounting.E008"]} == {str(made.id)}
    months = sorted(row["month"] for row in found["accounting.E008"])
    assert months == ["2026-03-01", "2026-04-01"]

    async def repaired(db: Database) -> None:
        for day in (date(2026, 3, 1), date(2026, 4, 1)):
            draft = Invoice(
                user_id=made.user_id,
                total_miners=2,
                unit_price=Decimal("10.00"),
                due_date=day,
                created_by=made.created_by,
                recurring_invoice_id=made.id,
                billing_date=day,
            )
            await invoices.create(db, draft)

    world.run(repaired(world.db))
    assert broken(world) == {}


def test_a_new_price_ends_the_one_before(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        for price, month in (("1.00", 1), ("3.00", 5), ("2.00", 3)):
            await set_price(db, who.id, Decimal(price), date(2026, month, 1), by=who.by)
        rows = await customer_pricing_config.list(
            db, order=(CustomerPricingConfig.effective_from.asc(),)
        )
        assert [(str(each.effective_from), str(each.effective_to)) for each in rows] == [
            ("2026-01-01", "2026-03-01"),
            ("2026-03-01", "2026-05-01"),
            ("2026-05-01", "None"),
        ]
        with pytest.raises(PriceOverlap):
            await set_price(db, who.id, Decimal("9.00"), date(2026, 3, 1), by=who.by)
        with pytest.raises(AmountInvalid):
            await set_price(db, who.id, Decimal(0), date(2026, 7, 1), by=who.by)

    world.run(body(world.db))
    assert broken(world) == {}


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_parallel_prices_never_overlap(world: World, isolation: str) -> None:
    who = world.run(customer(world.db))
    # All of them hold on the last of January.
    days = [date(2026, 1, 1 + number % 31) for number in range(CLIENTS)]
    wanted = [(who.id, day, date(2026, 2, day.day % 28 + 1), who.by) for day in days]
    ended = at_once(world.clone, PRICE, wanted, isolation)
    assert ended.count("done") == 1
    assert set(ended) <= {"done", "overlap", "40001"}
    assert broken(world) == {}


def test_prices_are_never_deleted_or_rewritten(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        await set_price(db, who.id, Decimal("1.00"), date(2026, 1, 1), by=who.by)

    world.run(body(world.db))
    rewritten = (
        *("default_unit_price = 2", "effective_from = effective_from - 1", "user_id = created_by"),
        *("created_by = user_id", "created_at = created_at - interval '1 day'"),
    )
    table = "accounting.customer_pricing_config"
    for statement, refused in (
        (f"DELETE FROM {table}", psycopg.errors.InsufficientPrivilege),
        *((f"UPDATE {table} SET {each}", psycopg.errors.CheckViolation) for each in rewritten),
    ):
        with psycopg.connect(world.clone.url) as app, pytest.raises(refused):
            app.execute(statement.encode())
