"""Templates that wait are seen, and a person has a way out; nobody is billed for centuries."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from bedplate import Database, errors
from bedplate.modules.accounting import (
    DayInvalid,
    Invoice,
    InvoiceFrozen,
    RecurringInvoice,
    SettingInvalid,
    TransitionRefused,
    Waiting,
    archive_price,
    create_template,
    end_template,
    invoices,
    pass_over,
    pause_template,
    run_recurring,
    set_billing,
    set_price,
    templates_waiting,
)
from bedplate.modules.accounting.jobs import recurring
from bedplate.testing import FrozenClock
from tests.asking import ask
from tests.modules.accounting.business import Customer, broken, customer, template
from tests.world import World

RUNNING = cast("Any", None)
"""The job asks nothing of it."""


async def with_a_gap(db: Database, clock: FrozenClock) -> tuple[Customer, RecurringInvoice]:
    """A customer whose price ended on April 1st and holds again from May 1st; it is December."""
    clock.set(datetime(2026, 3, 2, tzinfo=UTC))
    who = await customer(db)
    made = await create_template(
        db, template(who, start_date=date(2026, 1, 1), unit_price=None, day_of_month=1)
    )
    ended = await set_price(db, who.id, Decimal("10.00"), date(2026, 1, 1), by=who.by)
    await run_recurring(db)
    await archive_price(db, ended, until=date(2026, 4, 1), by=who.by)
    await set_price(db, who.id, Decimal("11.00"), date(2026, 5, 1), by=who.by)
    clock.set(datetime(2026, 12, 2, tzinfo=UTC))
    return who, made


async def months(db: Database) -> list[str]:
    rows = await invoices.list(db, order=(Invoice.billing_date.asc(),))
    return [f"{each.billing_date:%m}" for each in rows if each.billing_date is not None]


def test_a_template_that_waits_is_told_by_the_check_and_the_job(
    world: World, frozen_clock: FrozenClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(db: Database) -> RecurringInvoice:
        who, made = await with_a_gap(db, frozen_clock)
        with caplog.at_level(logging.WARNING, logger="bedplate"):
            await recurring(db, RUNNING)
        assert await months(db) == ["01", "02", "03"]
        assert await templates_waiting(db) == (
            Waiting(
                recurring_invoice_id=made.id,
                user_id=who.id,
                since=date(2026, 4, 1),
                days=9,
                why="NO_PRICE",
            ),
        )
        return made

    made = world.run(body(world.db))
    (said,) = [each.getMessage() for each in caplog.records if "wait" in each.getMessage()]
    assert said.startswith("1 templates wait")
    assert f"{made.id} (since 2026-04-01" in said
    found = broken(world)
    assert found.keys() == {"accounting.W001"}
    assert [row["recurring_invoice_id"] for row in found["accounting.W001"]] == [str(made.id)]

    async def mended(db: Database) -> None:
        await set_price(db, made.user_id, Decimal("9.00"), date(2026, 4, 1), by=made.created_by)
        await recurring(db, RUNNING)
        assert await months(db) == [f"{month:02}" for month in range(1, 13)]

    caplog.clear()
    world.run(mended(world.db))
    assert caplog.records == []
    assert broken(world) == {}


def test_days_that_wait_are_passed_over_on_request(world: World, frozen_clock: FrozenClock) -> None:
    async def body(db: Database) -> None:
        who, made = await with_a_gap(db, frozen_clock)
        passed = await pass_over(db, made.id, through=date(2026, 4, 30), by=who.by)
        assert passed == (date(2026, 4, 1),)
        assert await pass_over(db, made.id, through=date(2026, 4, 30), by=who.by) == ()
        await run_recurring(db)
        assert await months(db) == ["01", "02", "03", *(f"{n:02}" for n in range(5, 13))]
        assert await templates_waiting(db) == ()

    world.run(body(world.db))
    told = "SELECT description FROM accounting.audit_logs WHERE description LIKE '%%passed over'"
    assert ask(world.clone, told) == [("2026-04-01 passed over",)]
    assert broken(world) == {}


def test_what_cannot_be_passed_over(world: World, frozen_clock: FrozenClock) -> None:
    async def body(db: Database) -> None:
        who, made = await with_a_gap(db, frozen_clock)
        with pytest.raises(TransitionRefused):
            await pass_over(db, made.id, through=date(2026, 12, 3), by=who.by)
        with pytest.raises(errors.NotFound):
            await pass_over(db, uuid4(), through=date(2026, 4, 1), by=who.by)
        # A month that somebody billed by hand is not said to be passed over.
        by_hand = Invoice(
            user_id=who.id,
            total_miners=1,
            unit_price=Decimal("1.00"),
            due_date=date(2026, 12, 31),
            created_by=who.by,
            recurring_invoice_id=made.id,
            billing_date=date(2026, 5, 1),
        )
        await invoices.create(db, by_hand)
        # The days of a pause are nobody's business; those before it are.
        await pause_template(db, made.id, by=who.by)
        assert await templates_waiting(db) == ()
        passed = await pass_over(db, made.id, through=date(2026, 6, 1), by=who.by)
        assert passed == (date(2026, 4, 1), date(2026, 6, 1))
        await end_template(db, made.id, by=who.by)
        with pytest.raises(InvoiceFrozen):
            await pass_over(db, made.id, through=date(2026, 12, 1), by=who.by)

    world.run(body(world.db))
    assert broken(world) == {}


@pytest.mark.parametrize(
    "terms",
    [
        {"start_date": date(226, 1, 1)},
        {"start_date": date(1999, 12, 31)},
        {"start_date": date(2226, 1, 1)},
        {"start_date": date(2026, 1, 1), "end_date": date(2025, 1, 1)},
    ],
)
def test_a_template_of_another_century_is_refused(world: World, terms: dict[str, date]) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        with pytest.raises(DayInvalid):
            await create_template(db, template(who, **terms))

    world.run(body(world.db))


def test_who_is_too_many_months_behind_waits_for_a_person(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 12, 2, tzinfo=UTC))

    async def body(db: Database) -> UUID:
        who = await customer(db)
        made = await create_template(db, template(who, start_date=date(2016, 1, 1)))
        late = await create_template(db, template(who, start_date=date(2025, 1, 1)))
        found = await run_recurring(db)
        # 24 months are caught up with; not one of 132 is billed.
        assert (len(found.made), found.too_many) == (24, 132)
        assert {each.recurring_invoice_id for each in await invoices.list(db)} == {late.id}
        return made.id

    made = world.run(body(world.db))
    found = broken(world)
    assert found.keys() == {"accounting.W001"}
    assert [row["why"] for row in found["accounting.W001"]] == ["TOO_MANY"]

    async def mended(db: Database) -> None:
        by = (await invoices.list(db, limit=1))[0].created_by
        for wrong in (0, 1201):
            with pytest.raises(SettingInvalid, match=str(wrong)):
                await set_billing(db, catch_up_months=wrong)
        await set_billing(db, catch_up_months=3)
        assert len(await pass_over(db, made, through=date(2026, 8, 31), by=by)) == 128
        assert (await run_recurring(db)).too_many == 4
        await set_billing(db, catch_up_months=4)
        assert len((await run_recurring(db)).made) == 4

    world.run(mended(world.db))
    assert broken(world) == {}


def test_templates_without_a_price_do_not_hold_up_the_rest(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 1, 2, tzinfo=UTC))

    async def body(db: Database) -> None:
        for price in (None, None, Decimal("1.00"), None, Decimal("1.00")):
            who = await customer(db)
            await create_template(db, template(who, start_date=date(2026, 1, 1), unit_price=price))
        found = await run_recurring(db, most=2)
        assert (found.made, found.no_price) == ((), 2)
        made, waiting = 0, found.no_price
        while found.last is not None:
            found = await run_recurring(db, most=2, after=found.last)
            made, waiting = made + len(found.made), waiting + found.no_price
        assert (made, waiting) == (2, 3)

    world.run(body(world.db))
