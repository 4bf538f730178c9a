"""What goes by itself: every invoice and receipt once, whenever the worker comes to it."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from typing import cast

import psycopg
import pytest

from bedplate import assign
from bedplate.kernel.jobs import Running
from bedplate.modules.accounting import (
    Invoice,
    NoAddress,
    TransitionRefused,
    add_payment,
    cancel_invoice,
    refund_invoice,
    send_due,
    send_invoice,
    set_billing,
)
from bedplate.modules.accounting.jobs import reminders
from bedplate.modules.auth import User, users
from tests.asking import as_owner, waiting
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.accounting.business import Customer, customer, money
from tests.sabotage import without

TRIGGER = "DROP TRIGGER tr_billing_settings_from ON accounting.billing_settings"


async def silent(billing: Billing) -> Customer:
    """A customer without an address."""
    who = await customer(billing.db)
    await users.update(billing.db, who.id, assign(User.email, None))
    return who


async def business(billing: Billing, *, silent_ones: int, others: int) -> list[Invoice]:
    """Invoices of customers without an address, then others; returns the others."""
    await set_billing(billing.db, mail_invoices=True)
    mute, who = await silent(billing), await customer(billing.db)
    for _ in range(silent_ones):
        await billing.invoice(who=mute)
    return [await billing.invoice(who=who) for _ in range(others)]


def told(billing: Billing) -> list[str]:
    """Numbers of the invoices that were mailed, in order."""
    return [each.removeprefix("Invoice ") for each in billing.subjects()]


def numbers(made: list[Invoice]) -> list[str]:
    return [each.invoice_number for each in made]


async def test_customers_without_an_address_keep_nobody_waiting(billing: Billing) -> None:
    made = await business(billing, silent_ones=6, others=8)
    batches = [len(await send_due(billing.db, most=5)) for _ in range(3)]
    assert batches == [5, 3, 0]
    await billing.run()
    assert told(billing) == numbers(made)


async def test_without_the_filter_they_would(billing: Billing) -> None:
    await business(billing, silent_ones=6, others=8)
    filtered = without(billing.clone, "accounting.write_notices", "<> ''", "IS DISTINCT FROM ''")
    as_owner(billing.clone, filtered)
    assert [len(await send_due(billing.db, most=5)) for _ in range(3)] == [0, 0, 0]


async def test_the_job_goes_on_until_nothing_is_left(billing: Billing) -> None:
    made = await business(billing, silent_ones=3, others=102)
    with psycopg.connect(billing.clone.url) as busy:
        # One that somebody has in hand makes the first batch a short one.
        busy.execute("SELECT FROM accounting.invoices WHERE id = %s FOR UPDATE", [made[0].id])
        await reminders(billing.db, cast("Running[None]", None))
    written = "SELECT count(*) FROM accounting.invoice_notifications"
    assert billing.ask(written) == [(101,)]
    await reminders(billing.db, cast("Running[None]", None))
    assert billing.ask(written) == [(102,)]


@pytest.mark.parametrize(("is_there", "written"), [(True, 0), (False, 1)])
async def test_an_invoice_that_is_being_cancelled_is_left_alone(
    billing: Billing, is_there: bool, written: int
) -> None:
    (made,) = await business(billing, silent_ones=0, others=1)
    if not is_there:
        lock = "FOR NO KEY UPDATE OF i SKIP LOCKED"
        as_owner(billing.clone, without(billing.clone, "accounting.write_notices", lock))
    with psycopg.connect(billing.clone.url) as cancelling:
        cancelling.execute(
            "UPDATE accounting.invoices SET status = 'CANCELLED' WHERE id = %s", [made.id]
        )
        await send_due(billing.db)
    assert len(billing.notifications(made)) == written


async def test_a_worker_that_comes_back_after_weeks_mails_what_was_issued(
    billing: Billing,
) -> None:
    who = await customer(billing.db)
    old = await billing.invoice(who=who)
    billing.clock.advance(minutes=1)
    await set_billing(billing.db, mail_invoices=True, mail_receipts=True)
    made = [await billing.invoice(who=who, due_in=60) for _ in range(2)]
    paid = await money(billing.db, who, "40.00")
    await add_payment(billing.db, made[0].id, paid)
    await add_payment(billing.db, old.id, paid)
    cancelled = await billing.invoice(who=who, due_in=60)
    await cancel_invoice(billing.db, cancelled.id, by=who.by)
    billing.clock.advance(days=20)
    for _ in range(2):
        await billing.run()
    assert sorted(billing.subjects()) == sorted(
        [
            *(f"Invoice {number}" for number in numbers(made)),
            f"Invoice {made[0].invoice_number} is paid",
            f"Invoice {old.invoice_number} is paid",
        ]
    )


async def test_an_address_counts_for_two_days_of_a_working_worker(billing: Billing) -> None:
    await set_billing(billing.db, mail_invoices=True)
    soon, late = await silent(billing), await silent(billing)
    made = await billing.invoice(who=soon, due_in=60)
    await billing.invoice(who=late, due_in=60)
    await billing.run()
    billing.clock.advance(days=2)
    await billing.run()
    await users.update(billing.db, soon.id, assign(User.email, "soon@example.com"))
    await billing.run()
    billing.clock.advance(hours=2)
    await billing.run()
    await users.update(billing.db, late.id, assign(User.email, "late@example.com"))
    await billing.run()
    assert told(billing) == [made.invoice_number]


async def test_switched_off_and_on_again_it_begins_anew(billing: Billing) -> None:
    who = await customer(billing.db)
    for is_on in (True, False, True):
        await set_billing(billing.db, mail_invoices=is_on)
        made = await billing.invoice(who=who)
        billing.clock.advance(minutes=1)
    await set_billing(billing.db, mail_receipts=True)
    await billing.run()
    assert told(billing) == [made.invoice_number]


BACK = "UPDATE accounting.billing_settings SET mail_invoices_from = '2000-01-01'"


@pytest.mark.parametrize("is_there", [True, False])
async def test_nobody_sets_the_beginning_back(billing: Billing, is_there: bool) -> None:
    old = await billing.invoice()
    billing.clock.advance(minutes=1)
    await set_billing(billing.db, mail_invoices=True)
    if not is_there:
        as_owner(billing.clone, TRIGGER)
    billing.ask(BACK)
    billing.clock.advance(minutes=1)
    await send_due(billing.db)
    assert (billing.notifications(old) == []) is is_there


async def test_what_is_cancelled_or_refunded_is_not_mailed_as_due(billing: Billing) -> None:
    who = await customer(billing.db)
    cancelled, refunded = await billing.invoice(who=who), await billing.invoice(who=who)
    await cancel_invoice(billing.db, cancelled.id, by=who.by)
    await add_payment(billing.db, refunded.id, await money(billing.db, who, "20.00"))
    await refund_invoice(billing.db, refunded.id, key="all")
    for made in (cancelled, refunded):
        for again in (False, True):
            with pytest.raises(TransitionRefused):
                await send_invoice(billing.db, made.id, again=again)
        assert billing.notifications(made) == []


def until_one_waits(billing: Billing) -> None:
    while not waiting(billing.clone):
        time.sleep(0.01)


@pytest.mark.parametrize("is_there", [True, False])
async def test_one_that_is_being_cancelled_is_waited_for(billing: Billing, is_there: bool) -> None:
    made = await billing.invoice()
    if not is_there:
        status = "i.status IN ('ISSUED', 'OVERDUE', 'PAID')"
        as_owner(billing.clone, without(billing.clone, "accounting.write_message", status, "true"))
    with psycopg.connect(billing.clone.url) as cancelling:
        cancelling.execute(
            "UPDATE accounting.invoices SET status = 'CANCELLED' WHERE id = %s", [made.id]
        )
        sending = asyncio.create_task(send_invoice(billing.db, made.id))
        await asyncio.to_thread(until_one_waits, billing)
        cancelling.commit()
    refused = pytest.raises(TransitionRefused) if is_there else nullcontext()
    with refused:
        await sending
    assert (billing.notifications(made) == []) is is_there


async def test_mail_that_waits_is_taken_back_with_its_invoice(billing: Billing) -> None:
    who = await customer(billing.db)
    made, other = await billing.invoice(who=who), await billing.invoice(who=who)
    billing.post.at_rcpt = lambda address: "451 try later"
    for each in (made, other):
        await send_invoice(billing.db, each.id)
    await billing.deliver()
    billing.post.at_rcpt = lambda address: None
    await cancel_invoice(billing.db, made.id, by=who.by)
    billing.clock.advance(days=1)
    await billing.run()
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "FAILED")]
    assert told(billing) == [other.invoice_number]


async def test_without_an_address_nothing_is_sent_again(billing: Billing) -> None:
    made = await billing.invoice()
    await send_invoice(billing.db, made.id)
    await billing.deliver()
    await users.update(billing.db, made.user_id, assign(User.email, None))
    with pytest.raises(NoAddress):
        await send_invoice(billing.db, made.id, again=True)
    assert (await send_invoice(billing.db, made.id)).status.name == "SENT"


async def test_of_many_sendings_the_last_is_told_of(billing: Billing) -> None:
    made = await billing.invoice()
    sent = [await send_invoice(billing.db, made.id, again=True) for _ in range(3)]
    assert [each.stage for each in sent] == [0, 1, 2]
    assert (await send_invoice(billing.db, made.id)).id == sent[-1].id
