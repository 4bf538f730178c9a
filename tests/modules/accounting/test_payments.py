"""Payments: never more than the invoice asks for, never more than was paid, whoever is at it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from bedplate import Database
from bedplate.kernel.errors import IdempotencyConflict
from bedplate.modules.accounting import (
    InvoiceFrozen,
    InvoiceStatus,
    NotPayable,
    OtherPayer,
    OverAllocated,
    PaymentState,
    RefundRefused,
    UnknownCustomer,
    UnknownInvoice,
    add_payment,
    aged_receivables,
    customer_statement,
    invoices,
    payment_state,
    refund_invoice,
    remove_payment,
    revenue_by_month,
)
from bedplate.testing import FrozenClock
from tests.asking import as_owner, ask
from tests.modules.accounting.business import at_once, broken, customer, drafted, issued, money
from tests.world import CLIENTS, World

PAY = (
    "INSERT INTO accounting.invoice_payments (id, invoice_id, cost_payment_id, amount_paid)"
    " VALUES (gen_random_uuid(), %s, %s, %s)"
)


def test_payments_close_an_invoice_and_removal_opens_it(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        made = await issued(db, who)
        first = await add_payment(db, made.id, await money(db, who, "5.00"))
        assert (first.amount, first.status, first.balance) == (
            Decimal("5.00"),
            InvoiceStatus.ISSUED,
            Decimal("15.00"),
        )
        partly = await invoices.get(db, made.id)
        assert payment_state(partly) is PaymentState.PARTIAL
        large = await money(db, who, "100.00")
        when = datetime(2026, 2, 3, tzinfo=UTC)
        last = await add_payment(db, made.id, large, paid_date=when)
        assert (last.amount, last.status, last.balance) == (
            Decimal("15.00"),
            InvoiceStatus.PAID,
            Decimal("0.00"),
        )
        assert (await invoices.get(db, made.id)).paid_date == when
        # What is left of the payment pays the next one.
        other = await issued(db, who, price="60.00")
        rest = await add_payment(db, other.id, large)
        assert rest.amount == Decimal("85.00")
        with pytest.raises(OverAllocated):
            await add_payment(db, (await issued(db, who)).id, large)
        await remove_payment(db, last.payment_id)
        opened = await invoices.get(db, made.id)
        assert (opened.status, opened.paid_amount, opened.paid_date) == (
            InvoiceStatus.ISSUED,
            Decimal("5.00"),
            None,
        )

    world.run(body(world.db))
    assert broken(world) == {}


def test_a_removed_payment_leaves_an_old_invoice_overdue(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 5, 10, 12, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        made = await issued(db, who, due=date(2026, 5, 20))
        paid = await add_payment(db, made.id, await money(db, who, "20.00"))
        frozen_clock.set(datetime(2026, 6, 1, tzinfo=UTC))
        await remove_payment(db, paid.payment_id)
        assert (await invoices.get(db, made.id)).status is InvoiceStatus.OVERDUE

    world.run(body(world.db))


def test_refusals_have_names(world: World) -> None:
    async def body(db: Database) -> None:
        who, stranger = await customer(db), await customer(db)
        made, paid = await issued(db, who), await money(db, who, "50.00")
        for amount in ("20.01", "1000000.00"):
            with pytest.raises(OverAllocated):
                await add_payment(db, made.id, paid, Decimal(amount))
        with pytest.raises(OverAllocated):
            await add_payment(db, made.id, await money(db, who, "5.00"), Decimal("5.01"))
        with pytest.raises(OtherPayer):
            await add_payment(db, made.id, await money(db, stranger, "5.00"))
        with pytest.raises(NotPayable):
            await add_payment(db, (await drafted(db, who)).id, paid, Decimal("1.00"))
        with pytest.raises(UnknownCustomer):
            await add_payment(db, uuid4(), paid, Decimal("1.00"))
        with pytest.raises(UnknownCustomer):
            await add_payment(db, made.id, uuid4(), Decimal("1.00"))
        await add_payment(db, made.id, paid, Decimal("1.00"))
        with pytest.raises(OverAllocated):
            await add_payment(db, made.id, paid, Decimal("1.00"))
        assert (await invoices.get(db, made.id)).paid_amount == Decimal("1.00")

    world.run(body(world.db))
    assert broken(world) == {}


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_parallel_payments_never_pay_more_than_an_invoice_asks(
    world: World, isolation: str
) -> None:
    async def body(db: Database) -> list[tuple[object, object, str]]:
        who = await customer(db)
        made = await issued(db, who)
        return [(made.id, await money(db, who, "30.00"), "3.00") for _ in range(CLIENTS)]

    wanted = world.run(body(world.db))
    ended = at_once(world.clone, PAY, wanted, isolation)
    done = ended.count("done")
    assert done <= 6
    assert isolation == "REPEATABLE READ" or done == 6
    assert set(ended) <= {"done", "over_invoice", "40001"}
    assert broken(world) == {}


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_parallel_allocations_never_spend_a_payment_twice(world: World, isolation: str) -> None:
    async def body(db: Database) -> list[tuple[object, object, str]]:
        who = await customer(db)
        paid = await money(db, who, "10.00")
        return [((await issued(db, who)).id, paid, "3.00") for _ in range(CLIENTS)]

    wanted = world.run(body(world.db))
    ended = at_once(world.clone, PAY, wanted, isolation)
    done = ended.count("done")
    assert done <= 3
    assert isolation == "REPEATABLE READ" or done == 3
    assert set(ended) <= {"done", "over_payment", "40001"}
    assert broken(world) == {}


def test_refunds_are_bounded_and_kept_by_their_key(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        made = await issued(db, who)
        with pytest.raises(NotPayable):
            await refund_invoice(db, made.id, key="early")
        with pytest.raises(UnknownInvoice):
            await refund_invoice(db, uuid4(), key="none")
        paid = await add_payment(db, made.id, await money(db, who, "20.00"))
        first = await refund_invoice(db, made.id, Decimal("5.00"), key="a", reason="late")
        again = await refund_invoice(db, made.id, Decimal("5.00"), key="a")
        assert (again.refund_id, first.replayed, again.replayed) == (first.refund_id, False, True)
        with pytest.raises(IdempotencyConflict):
            await refund_invoice(db, made.id, Decimal("6.00"), key="a")
        with pytest.raises(RefundRefused):
            await refund_invoice(db, made.id, Decimal("15.01"), key="b")
        part = await invoices.get(db, made.id)
        assert (part.status, part.refunded_amount) == (InvoiceStatus.PAID, Decimal("5.00"))
        with pytest.raises(InvoiceFrozen):
            await remove_payment(db, paid.payment_id)
        rest = await refund_invoice(db, made.id, key="c")
        assert rest.amount == Decimal("15.00")
        assert (await invoices.get(db, made.id)).status is InvoiceStatus.REFUNDED

    world.run(body(world.db))
    assert broken(world) == {}


def test_parallel_refunds_never_give_back_more_than_was_paid(world: World) -> None:
    async def body(db: Database) -> object:
        who = await customer(db)
        made = await issued(db, who)
        await add_payment(db, made.id, await money(db, who, "20.00"))
        return made.id

    id = world.run(body(world.db))
    refund = (
        "INSERT INTO accounting.invoice_refunds (id, invoice_id, key, amount)"
        " VALUES (gen_random_uuid(), %s, %s, 3)"
    )
    ended = at_once(world.clone, refund, [(id, str(n)) for n in range(CLIENTS)])
    assert sorted(set(ended)) == ["done", "over_refund"]
    assert ended.count("done") == 6
    same = at_once(
        world.clone,
        "SELECT accounting.give_back(gen_random_uuid(), %s, 'one', 1, NULL)",
        [(id,)] * CLIENTS,
    )
    assert set(same) == {"done"}
    ((given,),) = ask(world.clone, "SELECT refunded_amount FROM accounting.invoices")
    assert given == Decimal("19.00")
    assert broken(world) == {}


def test_statements_and_reports_add_up(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 1, 10, tzinfo=UTC))

    async def body(db: Database) -> None:
        who = await customer(db)
        first = await issued(db, who, due=date(2026, 1, 20))
        frozen_clock.set(datetime(2026, 2, 10, tzinfo=UTC))
        await issued(db, who, price="50.00", due=date(2026, 2, 20))
        await add_payment(db, first.id, await money(db, who, "20.00"))
        await refund_invoice(db, first.id, Decimal("2.00"), key="k")
        frozen_clock.set(datetime(2026, 3, 1, tzinfo=UTC))
        told = await customer_statement(
            db,
            who.id,
            since=datetime(2026, 2, 1, tzinfo=UTC),
            until=datetime(2026, 3, 1, tzinfo=UTC),
        )
        assert (told.opening, told.closing) == (Decimal("20.00"), Decimal("100.00"))
        assert sorted((each.kind, each.amount) for each in told.entries) == [
            ("credit", Decimal("-2.00")),
            ("invoice", Decimal("100.00")),
            ("payment", Decimal("-20.00")),
            ("refund", Decimal("2.00")),
        ]
        assert told.opening + sum(each.amount for each in told.entries) == told.closing
        (aged,) = await aged_receivables(db)
        assert (aged.due, aged.days_1_to_30, aged.current) == (
            Decimal("100.00"),
            Decimal("100.00"),
            Decimal("0.00"),
        )
        months = await revenue_by_month(db, 2026)
        assert [(each.month, each.billed, each.kept) for each in months] == [
            (date(2026, 1, 1), Decimal("20.00"), Decimal("0.00")),
            (date(2026, 2, 1), Decimal("100.00"), Decimal("18.00")),
        ]

    world.run(body(world.db))


def test_payments_are_added_and_removed_but_never_changed(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        await add_payment(db, (await issued(db, who)).id, await money(db, who, "5.00"))

    world.run(body(world.db))
    for statement in (
        "UPDATE accounting.invoice_payments SET amount_paid = 1",
        "UPDATE accounting.invoice_refunds SET amount = 1",
    ):
        refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
        with psycopg.connect(world.clone.url) as app, refused:
            app.execute(statement.encode())


# Whoever keeps the payments may write them; what was allocated of them is then too much, or another
# customer's. No law that only looks at our own tables could see it.
@pytest.mark.parametrize(
    ("changed", "law"),
    [
        ("amount = 5 WHERE amount = 20", "accounting.E010"),
        ("user_id = (SELECT created_by FROM accounting.invoices LIMIT 1)", "accounting.E011"),
    ],
)
def test_a_payment_that_was_changed_after_it_was_allocated_is_found(
    world: World, changed: str, law: str
) -> None:
    async def body(db: Database) -> dict[str, dict[str, str]]:
        who = await customer(db)
        made, paid = await issued(db, who), await money(db, who, "20.00")
        await add_payment(db, made.id, paid, Decimal("12.00"))
        await add_payment(db, (await issued(db, who)).id, paid)
        money_of = {"cost_payment_id": str(paid)}
        return {
            "accounting.E010": {**money_of, "amount": "5.00", "allocated": "20.00"},
            "accounting.E011": {**money_of, "invoice_number": made.invoice_number},
        }

    wanted = world.run(body(world.db))
    assert broken(world) == {}
    as_owner(world.clone, f"UPDATE mining.cost_payments SET {changed}")
    found = broken(world)
    assert found.keys() == {law}
    assert wanted[law].items() <= found[law][0].items()
