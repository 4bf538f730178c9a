"""The dunning ladder: each stage once, whoever runs it, while there is something to pay."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta

import pytest

from bedplate.kernel.database import Database
from bedplate.modules.accounting import (
    Invoice,
    NotificationType,
    add_payment,
    cancel_invoice,
    move_due_date,
    refund_invoice,
    remind,
    remove_payment,
    run_overdue,
    set_billing,
)
from bedplate.modules.accounting.bridges.delivery import CATEGORIES
from bedplate.modules.delivery import (
    QuietHours,
    deliver_due,
    set_preference,
    set_quiet_hours,
)
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.accounting.business import Customer, customer, money
from tests.modules.delivery.postmen import opened
from tests.world import CLIENTS

REMINDER = CATEGORIES[NotificationType.PAYMENT_REMINDER]

DUE = date(2026, 3, 17)
"""Seven days from when the business begins."""


DAYS = "SELECT created_at::date FROM accounting.invoice_notifications ORDER BY id"


def on(days: int) -> date:
    return DUE + timedelta(days=days)


async def test_each_stage_comes_on_its_day_and_once(billing: Billing) -> None:
    made = await billing.invoice()
    seen: list[tuple[int, str]] = []
    for days in range(-7, 21):
        before = len(billing.post.letters)
        for hour in (6, 18):
            await billing.go_to(on(days), hour)
        seen += [(days, each) for each in billing.subjects()[before:]]
    number = made.invoice_number
    assert seen == [
        (-3, f"Invoice {number} is due on 2026-03-17"),
        (1, f"Invoice {number} is overdue"),
        (7, f"Invoice {number} is overdue"),
        (14, f"Invoice {number} is overdue"),
    ]
    assert billing.notifications(made) == [
        ("PAYMENT_REMINDER", -3, "SENT"),
        ("OVERDUE_REMINDER", 1, "SENT"),
        ("OVERDUE_REMINDER", 7, "SENT"),
        ("OVERDUE_REMINDER", 14, "SENT"),
    ]
    assert billing.log(made) == ["EMAIL_SENT"] * 4


async def test_of_stages_that_were_missed_the_latest_stands_for_all(billing: Billing) -> None:
    made = await billing.invoice()
    await billing.go_to(on(10))
    await billing.go_to(on(11))
    assert billing.notifications(made) == [("OVERDUE_REMINDER", 7, "SENT")]


async def test_a_stage_before_the_issue_is_none_of_the_invoices(billing: Billing) -> None:
    made = await billing.invoice(due_in=3)
    await billing.run()
    await billing.go_to(billing.clock.now.date() + timedelta(days=3))
    assert billing.notifications(made) == []


async def test_without_a_stage_after_the_due_date_nobody_is_reminded_then(
    billing: Billing,
) -> None:
    await set_billing(billing.db, reminder_days=[-3, 0])
    made, late = await billing.invoice(), await billing.invoice(due_in=1)
    await billing.go_to(on(0))
    await billing.go_to(on(5))
    assert billing.notifications(made) == [("PAYMENT_REMINDER", 0, "SENT")]
    assert billing.notifications(late) == []
    await set_billing(billing.db, reminder_days=[])
    assert await remind(billing.db) == ()


@pytest.mark.parametrize(
    ("zone", "overdue_at"),
    [
        ("Pacific/Kiritimati", datetime(2026, 3, 17, 10, tzinfo=UTC)),
        ("UTC", datetime(2026, 3, 18, 0, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2026, 3, 18, 7, tzinfo=UTC)),
    ],
)
async def test_due_today_is_not_overdue_in_whatever_zone(
    billing: Billing, zone: str, overdue_at: datetime
) -> None:
    await set_billing(billing.db, time_zone=zone, reminder_days=[1])
    made = await billing.invoice()
    billing.clock.set(overdue_at - timedelta(seconds=1))
    await billing.run()
    assert billing.notifications(made) == []
    assert billing.ask("SELECT status::text FROM accounting.invoices") == [("ISSUED",)]
    billing.clock.set(overdue_at)
    await billing.run()
    assert billing.notifications(made) == [("OVERDUE_REMINDER", 1, "SENT")]
    assert billing.ask("SELECT status::text FROM accounting.invoices") == [("OVERDUE",)]


async def test_a_payment_stops_the_ladder_and_its_removal_resumes_it(billing: Billing) -> None:
    who = await customer(billing.db)
    made = await billing.invoice(who=who)
    await billing.go_to(on(1))
    paid = await add_payment(billing.db, made.id, await money(billing.db, who, "20.00"))
    await billing.go_to(on(7))
    assert len(billing.post.letters) == 1
    # The bank takes it back.
    await remove_payment(billing.db, paid.payment_id)
    await billing.go_to(on(8))
    await billing.go_to(on(14))
    assert billing.notifications(made) == [
        ("OVERDUE_REMINDER", 1, "SENT"),
        ("OVERDUE_REMINDER", 7, "SENT"),
        ("OVERDUE_REMINDER", 14, "SENT"),
    ]


async def test_a_part_does_not_stop_it_and_the_letter_asks_for_the_rest(billing: Billing) -> None:
    who = await customer(billing.db)
    made = await billing.invoice(who=who)
    await add_payment(billing.db, made.id, await money(billing.db, who, "5.00"))
    await billing.go_to(on(1))
    body = billing.post.letters[0].get_body(("plain",))
    assert body is not None
    assert "Still to pay: 15.00." in body.get_content()


async def test_cancelled_refunded_and_drafted_invoices_get_none(billing: Billing) -> None:
    who = await customer(billing.db)
    cancelled, refunded = await billing.invoice(who=who), await billing.invoice(who=who)
    await cancel_invoice(billing.db, cancelled.id, by=who.by)
    await add_payment(billing.db, refunded.id, await money(billing.db, who, "20.00"))
    await refund_invoice(billing.db, refunded.id, key="all")
    for days in range(-3, 15):
        await billing.go_to(on(days))
    assert billing.post.letters == []


async def test_more_time_begins_the_ladder_anew(billing: Billing) -> None:
    made = await billing.invoice()
    for days in (1, 7, 14):
        await billing.go_to(on(days))
    await move_due_date(billing.db, made.id, on(24), by=made.created_by)
    for days in range(15, 105):
        await billing.go_to(on(days))
    ladder = [
        ("OVERDUE_REMINDER", 1, "SENT"),
        ("OVERDUE_REMINDER", 7, "SENT"),
        ("OVERDUE_REMINDER", 14, "SENT"),
    ]
    assert billing.notifications(made) == [*ladder, ("PAYMENT_REMINDER", -3, "SENT"), *ladder]
    assert [day for (day,) in billing.ask(DAYS)] == [on(1), on(7), on(14)] + [
        on(24 + days) for days in (-3, 1, 7, 14)
    ]


async def test_no_stage_comes_twice_for_one_due_date(billing: Billing) -> None:
    made = await billing.invoice()
    await billing.go_to(on(1))
    for day in (20, 0, 20, 0):
        await move_due_date(billing.db, made.id, on(day), by=made.created_by)
        await billing.go_to(on(2))
    assert billing.notifications(made) == [("OVERDUE_REMINDER", 1, "SENT")]


async def test_quiet_hours_are_waited_for_and_a_payment_meanwhile_recalls(
    billing: Billing,
) -> None:
    who = await customer(billing.db)
    hours = QuietHours(time(22), time(8), "Europe/Berlin")
    await set_quiet_hours(billing.db, hours, user_id=who.id)
    made, other = await billing.invoice(who=who), await billing.invoice(who=who)
    await billing.go_to(on(1), hour=0)
    assert billing.notifications(made) == [("OVERDUE_REMINDER", 1, "PENDING")]
    assert billing.post.letters == []
    await add_payment(billing.db, made.id, await money(billing.db, who, "20.00"))
    await billing.go_to(on(1), hour=6)
    assert billing.notifications(made) == [("OVERDUE_REMINDER", 1, "FAILED")]
    assert billing.log(made) == ["EMAIL_FAILED"]
    await billing.go_to(on(1), hour=7)
    assert billing.subjects() == [f"Invoice {other.invoice_number} is overdue"]


async def test_who_wants_no_reminders_gets_legal_notices_all_the_same(billing: Billing) -> None:
    who = await customer(billing.db)
    await set_preference(billing.db, REMINDER, False, user_id=who.id)
    made = await billing.invoice(who=who)
    for days in (-3, 1):
        await billing.go_to(on(days))
    assert billing.notifications(made) == [
        ("PAYMENT_REMINDER", -3, "UNSUBSCRIBED"),
        ("OVERDUE_REMINDER", 1, "SENT"),
    ]
    assert billing.subjects() == [f"Invoice {made.invoice_number} is overdue"]


async def many(billing: Billing, count: int) -> list[Invoice]:
    who: Customer = await customer(billing.db)
    return [await billing.invoice(who=who) for _ in range(count)]


async def test_runs_beside_one_another_remind_and_mark_once(billing: Billing) -> None:
    """IN6: 32 pools of connections, each round twice, on two days of one stage."""
    made = await many(billing, 40)
    others = [opened(billing.clone, billing.post.url) for _ in range(CLIENTS)]
    for each in others:
        await each.open()

    async def all_of_it(db: Database) -> None:
        await run_overdue(db)
        while await remind(db, most=7):
            pass
        await deliver_due(db, limit=100)

    try:
        for days in (1, 1, 2):
            billing.clock.set(datetime.combine(on(days), time(9 + days), UTC))
            await asyncio.gather(*(all_of_it(db) for db in others))
            await asyncio.gather(*(all_of_it(db) for db in others))
    finally:
        for each in others:
            await each.close()
    said = [f"Invoice {each.invoice_number} is overdue" for each in made]
    assert sorted(billing.subjects()) == sorted(said)
    assert billing.ask(
        "SELECT status::text, count(*) FROM accounting.invoice_notifications GROUP BY 1"
    ) == [("SENT", 40)]
    assert billing.ask(
        "SELECT count(*), count(DISTINCT entity_id) FROM accounting.audit_logs"
        " WHERE action = 'INVOICE_UPDATED' AND changes -> 'after' ->> 'status' = 'OVERDUE'"
    ) == [(40, 40)]
    for invoice in made:
        assert billing.log(invoice) == ["EMAIL_SENT"]
