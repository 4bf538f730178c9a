"""Edges at which an invoice could go wrong: each was tried, and must stay as it is."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bedplate import Database, assign, errors
from bedplate.modules.accounting import (
    Draft,
    Invoice,
    InvoiceStatus,
    add_payment,
    create_template,
    draft_invoice,
    edit_invoice,
    invoice_payments,
    invoices,
    issue_invoices,
    move_due_date,
    price_at,
    refund_invoice,
    remove_payment,
    run_overdue,
    run_recurring,
    set_price,
)
from bedplate.testing import FrozenClock
from tests.asking import as_owner, ask
from tests.modules.accounting.business import (
    Customer,
    at_once,
    broken,
    customer,
    drafted,
    issued,
    money,
    template,
)
from tests.modules.accounting.rivals import meanwhile, told
from tests.world import CLIENTS, World

TWO = (
    "INSERT INTO accounting.invoice_payments (id, invoice_id, cost_payment_id, amount_paid)"
    " SELECT gen_random_uuid(), %s, p, %s FROM unnest(%s::uuid[]) AS p"
)


@pytest.fixture(params=["async"])
def world(world: World) -> World:
    """One world is enough: what is tried is the server's."""
    return world


def test_who_is_named_twice_is_issued_once_and_leaves_no_gap(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        one, other = [(await drafted(db, who)).id for _ in range(2)]
        numbers = await issue_invoices(db, [one, one, other, one])
        assert [numbers[id][8:] for id in (one, other)] == ["01", "02"]

    world.run(body(world.db))
    assert broken(world) == {}


def test_who_waits_past_midnight_has_number_and_date_of_one_day(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 3, 5, 23, 59, 59, tzinfo=UTC))

    async def body(db: Database) -> list[UUID]:
        who = await customer(db)
        return [(await drafted(db, who)).id for _ in range(4)]

    first, *rest = world.run(body(world.db))
    many = "SELECT accounting.issue_many(%s)"
    ended = meanwhile(
        world.clone,
        (many, [[first]]),
        (many, [rest]),
        between=lambda: frozen_clock.set(datetime(2026, 3, 6, tzinfo=UTC)),
    )
    assert ended == ["done"]
    rows = ask(
        world.clone,
        "SELECT i.invoice_number, accounting.billing_day(i.issued_date)::text,"
        " d.content ->> 'issued_on' FROM accounting.invoices i"
        " JOIN accounting.invoice_documents d ON d.invoice_id = i.id ORDER BY 1",
    )
    assert rows == [(f"202603050{serial}", "2026-03-05", "2026-03-05") for serial in range(1, 5)]
    assert broken(world) == {}


def test_the_day_turns_while_many_issue(world: World, frozen_clock: FrozenClock) -> None:
    """In the earliest zone of all; each day's numbers go from one to the last."""
    as_owner(
        world.clone,
        "INSERT INTO accounting.billing_settings (time_zone) VALUES ('Pacific/Kiritimati')",
    )
    frozen_clock.set(datetime(2026, 3, 5, 9, 59, tzinfo=UTC))

    async def body(db: Database) -> list[UUID]:
        who = await customer(db)
        return [(await drafted(db, who)).id for _ in range(40)]

    ids = world.run(body(world.db))
    for some in (ids[:20], ids[20:]):
        issue = "UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %s"
        assert set(at_once(world.clone, issue, [(id,) for id in some])) == {"done"}
        frozen_clock.set(datetime(2026, 3, 5, 10, tzinfo=UTC))
    rows = ask(world.clone, "SELECT invoice_number FROM accounting.invoices ORDER BY 1")
    assert [number for (number,) in rows] == [
        f"202603{day}{serial:02}" for day in ("05", "06") for serial in range(1, 21)
    ]


def test_several_payments_in_one_statement(world: World) -> None:
    async def prepare(db: Database) -> tuple[UUID, UUID, list[UUID]]:
        who = await customer(db)
        made, other = [(await issued(db, who)).id for _ in range(2)]
        return made, other, [await money(db, who, "15.00") for _ in range(2)]

    made, other, paid = world.run(prepare(world.db))
    # More than the invoice asks for, though neither is alone.
    assert told(world.clone.url, (TWO, [made, 15, paid])) == "ck_invoices_paid_amount"
    assert told(world.clone.url, (TWO, [made, 10, paid])) == "done"
    assert told(world.clone.url, (TWO, [other, 6, paid])) == "over_payment"

    async def body(db: Database) -> None:
        whole = await invoices.get(db, made)
        assert (whole.status, whole.paid_amount) == (InvoiceStatus.PAID, Decimal("20.00"))

    world.run(body(world.db))
    assert broken(world) == {}
    gone = "DELETE FROM accounting.invoice_payments WHERE invoice_id = %s"
    assert told(world.clone.url, (gone, [made])) == "done"
    rows = ask(
        world.clone,
        "SELECT status::text, paid_amount, paid_date FROM accounting.invoices WHERE id = %s",
        made,
    )
    assert rows == [("ISSUED", Decimal("0.00"), None)]
    assert broken(world) == {}


def test_money_is_rounded_half_up_to_cents_and_never_a_float(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        made, paid = await issued(db, who), await money(db, who, "20.00")
        first = await add_payment(db, made.id, paid, Decimal("1.005"))
        assert (first.amount, first.balance) == (Decimal("1.01"), Decimal("18.99"))
        await add_payment(db, made.id, await money(db, who, "20.00"))
        for replayed in (False, True):
            back = await refund_invoice(db, made.id, Decimal("2.344"), key="k")
            assert (back.amount, back.replayed) == (Decimal("2.34"), replayed)
        rounded = await drafted(db, who, price="0.125", count=8)
        assert (rounded.unit_price, rounded.total_amount) == (Decimal("0.13"), Decimal("1.04"))
        half: Any = 0.5
        for attempt in (
            add_payment(db, made.id, paid, half),
            refund_invoice(db, made.id, half, key="f"),
            set_price(db, who.id, half, date(2026, 1, 1), by=who.by),
            edit_invoice(db, rounded.id, assign(Invoice.unit_price, half), by=who.by),
            draft_invoice(
                db,
                Draft(
                    user_id=who.id,
                    total_miners=1,
                    unit_price=half,
                    due_date=date(2026, 1, 1),
                    created_by=who.by,
                ),
            ),
            create_template(db, template(who, unit_price=half)),
        ):
            with pytest.raises(errors.FloatRefused):
                await attempt

    world.run(body(world.db))
    assert broken(world) == {}


def test_a_total_that_no_invoice_holds_stops_its_own_template_only(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 2, 2, tzinfo=UTC))

    async def body(db: Database) -> None:
        absurd = {"start_date": date(2026, 1, 1), "unit_price": Decimal("99999999.99")}
        await create_template(db, template(await customer(db, running=101), **absurd))
        await create_template(db, template(await customer(db), start_date=date(2026, 1, 1)))
        billed = await run_recurring(db)
        assert (len(billed.made), billed.too_much) == (2, 2)

    world.run(body(world.db))


def test_removal_reopens_by_the_due_date_and_the_closing_payment_dates_it(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 5, 10, 12, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        made = await issued(db, who, due=date(2026, 5, 10))
        for day in (1, 3, 2):
            paid = datetime(2026, 5, day, tzinfo=UTC)
            amount = "10.00" if day == 1 else "5.00"
            await add_payment(db, made.id, await money(db, who, amount), paid_date=paid)
        closed = await invoices.get(db, made.id)
        # That of the payment that closed it, not the latest of all.
        assert (closed.status, closed.paid_date) == (
            InvoiceStatus.PAID,
            datetime(2026, 5, 2, tzinfo=UTC),
        )
        last = await invoice_payments.list(db)
        await remove_payment(db, last[0].id)
        assert (await invoices.get(db, made.id)).status is InvoiceStatus.ISSUED
        frozen_clock.set(datetime(2026, 5, 11, 12, tzinfo=UTC))
        await add_payment(db, made.id, await money(db, who, "50.00"))
        await remove_payment(db, last[1].id)
        assert (await invoices.get(db, made.id)).status is InvoiceStatus.OVERDUE
        await add_payment(db, made.id, await money(db, who, "50.00"))
        assert (await invoices.get(db, made.id)).status is InvoiceStatus.PAID

    world.run(body(world.db))
    assert broken(world) == {}


def test_what_is_paid_or_cancelled_never_turns_overdue(
    world: World, frozen_clock: FrozenClock
) -> None:
    """Twice a day for three days, three at a time; in the latest zone of all."""
    as_owner(
        world.clone,
        "INSERT INTO accounting.billing_settings (time_zone) VALUES ('Pacific/Pago_Pago')",
    )
    frozen_clock.set(datetime(2026, 5, 10, 12, tzinfo=UTC))

    async def prepare(db: Database) -> None:
        who = await customer(db)
        made = [await issued(db, who, due=date(2026, 5, 10)) for _ in range(4)]
        await add_payment(db, made[0].id, await money(db, who, "20.00"))
        await add_payment(db, made[1].id, await money(db, who, "5.00"))
        by_hand = "UPDATE accounting.invoices SET status = 'CANCELLED' WHERE id = %s"
        assert told(world.clone.url, (by_hand, [made[2].id])) == "done"

    world.run(prepare(world.db))
    found = list[tuple[str, int]]()
    for hours in (22, 34, 35, 48, 60):
        frozen_clock.set(datetime(2026, 5, 10 + hours // 24, hours % 24, 30, tzinfo=UTC))
        assert at_once(world.clone, "SELECT accounting.run_overdue(100)", [()] * 3) == ["done"] * 3
        found += ask(
            world.clone,
            "SELECT string_agg(DISTINCT status::text, ' ' ORDER BY status::text),"
            " count(*) FILTER (WHERE status = 'OVERDUE') FROM accounting.invoices",
        )
    # Pago Pago is eleven hours behind: its tenth of May ends at eleven of the eleventh.
    assert [late for _, late in found] == [0, 0, 2, 2, 2]
    assert found[-1][0] == "CANCELLED OVERDUE PAID"
    rows = ask(
        world.clone,
        "SELECT count(*) FROM accounting.audit_logs WHERE description LIKE '%% to OVERDUE'",
    )
    assert rows == [(2,)]

    async def later(db: Database) -> None:
        late = await invoices.list(db, Invoice.status == InvoiceStatus.OVERDUE)
        await move_due_date(db, late[0].id, date(2026, 6, 1), by=late[0].created_by)
        assert await run_overdue(db) == ()

    world.run(later(world.db))


def test_more_time_takes_an_overdue_invoice_back_in_the_same_statement(
    world: World, frozen_clock: FrozenClock
) -> None:
    """By raw SQL: there is no moment between the two at which somebody could die."""
    frozen_clock.set(datetime(2026, 5, 10, 12, tzinfo=UTC))

    async def prepare(db: Database) -> UUID:
        made = await issued(db, await customer(db), due=date(2026, 5, 8))
        assert await run_overdue(db) == (made.id,)
        return made.id

    made = world.run(prepare(world.db))
    move = "UPDATE accounting.invoices SET due_date = %s WHERE id = %s"
    stands = "SELECT status::text FROM accounting.invoices"
    for day, status in ((9, "OVERDUE"), (10, "ISSUED"), (9, "ISSUED")):
        assert told(world.clone.url, (move, [date(2026, 5, day), made])) == "done"
        assert ask(world.clone, stands) == [(status,)]
        assert broken(world) == {}
    said = "SELECT description FROM accounting.audit_logs WHERE description LIKE '%%to ISSUED'"
    assert len(ask(world.clone, said)) == 2


def test_an_invoice_that_is_overdue_too_early_is_found(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 5, 11, 9, 59, tzinfo=UTC))
    made = world.run(_an_invoice(world.db, date(2026, 5, 11)))
    as_owner(
        world.clone,
        "ALTER TABLE accounting.invoices DISABLE TRIGGER USER;"
        "UPDATE accounting.invoices SET status = 'OVERDUE';"
        "ALTER TABLE accounting.invoices ENABLE TRIGGER USER",
    )
    found = broken(world)
    assert found.keys() == {"accounting.E009"}
    assert [row["invoice_id"] for row in found["accounting.E009"]] == [str(made)]
    # It is the twelfth in Kiritimati: an overdue invoice it may have been, had that been the zone.
    frozen_clock.set(datetime(2026, 5, 11, 10, tzinfo=UTC))
    assert broken(world) == {}


async def _an_invoice(db: Database, due: date) -> UUID:
    return (await issued(db, await customer(db), due=due)).id


def test_of_many_who_set_a_price_from_one_day_one_wins(world: World) -> None:
    who = world.run(customer(world.db))
    set_one = "SELECT accounting.set_price(gen_random_uuid(), %s, %s, %s, %s)"
    days = [date(2026, 1 + number % 4, 1) for number in range(CLIENTS)]
    wanted = [(who.id, 1 + number, day, who.by) for number, day in enumerate(days)]
    ended = at_once(world.clone, set_one, wanted)
    assert ended.count("done") == 4
    assert set(ended) == {"done", "overlap"}
    rows = ask(
        world.clone,
        "SELECT effective_from, effective_to, default_unit_price"
        " FROM accounting.customer_pricing_config ORDER BY 1",
    )
    # Each ends where the next begins: no day between them is without a price, or has two.
    assert [row[0] for row in rows] == [date(2026, month, 1) for month in (1, 2, 3, 4)]
    assert [row[1] for row in rows] == [*(row[0] for row in rows[1:]), None]
    for first, _, price in rows:
        assert world.run(price_at(world.db, who.id, first)) == price
    assert broken(world) == {}


def test_a_new_price_ends_the_one_before_it_or_is_none_at_all(world: World) -> None:
    who = world.run(customer(world.db))
    world.run(set_price(world.db, who.id, Decimal("1.00"), date(2026, 1, 1), by=who.by))
    set_one = "SELECT accounting.set_price(gen_random_uuid(), %s, %s, '2026-03-01', %s)"
    table = "accounting.customer_pricing_config"
    prices = f"SELECT effective_from::text, effective_to::text FROM {table}"
    # It is refused once the one before it was ended already, or all of it is rolled back.
    assert told(world.clone.url, (set_one, [who.id, 0, who.by])) == (
        "ck_customer_pricing_config_default_unit_price"
    )
    with psycopg.connect(world.clone.url) as app:
        app.execute(set_one.encode(), [who.id, 2, who.by])
        assert ask(world.clone, prices) == [("2026-01-01", None)]
        app.rollback()
    assert ask(world.clone, prices) == [("2026-01-01", None)]
    assert told(world.clone.url, (set_one, [who.id, 2, who.by])) == "done"
    assert ask(world.clone, prices + " ORDER BY 1") == [
        ("2026-01-01", "2026-03-01"),
        ("2026-03-01", None),
    ]


def test_a_price_from_a_past_day_changes_no_invoice(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 3, 15, tzinfo=UTC))
    billed = (
        "SELECT i.billing_date::text, i.unit_price, d.content ->> 'total'"
        " FROM accounting.invoices i JOIN accounting.invoice_documents d ON d.invoice_id = i.id"
        " ORDER BY i.issued_date, i.billing_date"
    )

    async def body(db: Database) -> Customer:
        who = await customer(db)
        await set_price(db, who.id, Decimal("5.00"), date(2026, 1, 1), by=who.by)
        await create_template(
            db, template(who, start_date=date(2026, 2, 1), day_of_month=10, unit_price=None)
        )
        await run_recurring(db)
        return who

    async def later(db: Database, who: Customer) -> None:
        await set_price(db, who.id, Decimal("9.00"), date(2026, 2, 1), by=who.by)
        assert await price_at(db, who.id, date(2026, 2, 10)) == Decimal("9.00")
        frozen_clock.set(datetime(2026, 4, 15, tzinfo=UTC))
        await run_recurring(db)

    who = world.run(body(world.db))
    before = [("2026-02-10", Decimal("5.00"), "10.00"), ("2026-03-10", Decimal("5.00"), "10.00")]
    assert ask(world.clone, billed) == before
    world.run(later(world.db, who))
    assert ask(world.clone, billed) == [*before, ("2026-04-10", Decimal("9.00"), "18.00")]
    assert broken(world) == {}
