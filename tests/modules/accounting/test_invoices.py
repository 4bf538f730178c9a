"""Invoices: numbers without gaps, transitions, money that never changes once issued."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bedplate import Database, assign, errors
from bedplate.modules.accounting import (
    TRANSITIONS,
    Draft,
    Invoice,
    InvoiceFrozen,
    InvoiceStatus,
    NoPrice,
    PaymentState,
    TransitionRefused,
    UnknownCustomer,
    UnknownInvoice,
    balance_due,
    cancel_invoice,
    delete_draft,
    draft_invoice,
    edit_invoice,
    invoices,
    issue_invoice,
    issue_invoices,
    move_due_date,
    payment_state,
    run_overdue,
    set_price,
)
from bedplate.testing import Clone, FrozenClock
from tests.asking import as_owner, ask
from tests.modules.accounting.business import at_once, broken, customer, drafted, issued, money
from tests.world import CLIENTS, World


def test_a_draft_has_no_number_and_an_issue_gives_one(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 3, 31, 22, 30, tzinfo=UTC))
    as_owner(
        world.clone,
        "INSERT INTO accounting.billing_settings (time_zone) VALUES ('Europe/Helsinki')",
    )

    async def body(db: Database) -> None:
        who = await customer(db)
        draft = await drafted(db, who)
        assert draft.invoice_number == f"DRAFT-{draft.id}"
        assert (draft.status, draft.total_amount) == (InvoiceStatus.DRAFT, Decimal("20.00"))
        made = await issue_invoice(db, draft.id, by=who.by)
        # It is past midnight in Helsinki.
        assert made.invoice_number == "2026040101"
        assert made.issued_date == frozen_clock.now
        assert (payment_state(made), balance_due(made)) == (PaymentState.UNPAID, Decimal("20.00"))
        assert (await issued(db, who)).invoice_number == "2026040102"

    world.run(body(world.db))
    ((content,),) = ask(
        world.clone, "SELECT content FROM accounting.invoice_documents ORDER BY created_at LIMIT 1"
    )
    assert content["total"] == "20.00"
    assert content["customer"]["name"] == "Ada"
    assert broken(world) == {}


def test_more_than_99_a_day_and_in_the_given_order(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        ids = [(await drafted(db, who)).id for _ in range(101)]
        numbers = await issue_invoices(db, ids)
        serials = [int(numbers[id][8:]) for id in ids]
        assert serials == list(range(1, 102))
        assert numbers[ids[-1]].endswith("101")
        assert await issue_invoices(db, ids[:3]) == {}

    world.run(body(world.db))
    assert broken(world) == {}


def test_numbers_have_no_gap_whoever_rolls_back(world: World, bedplate_clone: Clone) -> None:
    """Sixteen clients issue; one in five rolls back after it had its number."""

    async def prepare(db: Database) -> list[object]:
        who = await customer(db)
        return [(await drafted(db, who)).id for _ in range(60)]

    ids = world.run(prepare(world.db))
    rolled_back = set(ids[::5])

    def one(id: object) -> None:
        with psycopg.connect(bedplate_clone.url) as app:
            app.execute("UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %s", [id])
            if id in rolled_back:
                app.rollback()

    async def all_at_once() -> None:
        await asyncio.gather(*(asyncio.to_thread(one, id) for id in ids))

    asyncio.run(all_at_once())
    rows = ask(
        bedplate_clone,
        "SELECT substr(invoice_number, 9)::int FROM accounting.invoices"
        " WHERE status = 'ISSUED' ORDER BY 1",
    )
    assert [serial for (serial,) in rows] == list(range(1, 49))
    assert broken(world) == {}


def _one_of_each(world: World) -> dict[InvoiceStatus, UUID]:
    """An invoice in each state, brought there by the owner past every trigger and rule."""

    async def body(db: Database) -> list[UUID]:
        who = await customer(db)
        return [(await drafted(db, who)).id for _ in InvoiceStatus]

    made = dict(zip(InvoiceStatus, world.run(body(world.db)), strict=True))
    for status, id in made.items():
        paid = "total_amount" if status.name in ("PAID", "REFUNDED") else "0"
        refunded = "total_amount" if status.name == "REFUNDED" else "0"
        issued_at = "NULL" if status.name == "DRAFT" else "bedplate.now()"
        due = "'2000-01-01'" if status.name == "OVERDUE" else "due_date"
        as_owner(
            world.clone,
            "ALTER TABLE accounting.invoices DISABLE TRIGGER USER;"
            f"UPDATE accounting.invoices SET status = '{status.name}', paid_amount = {paid},"
            f" refunded_amount = {refunded}, issued_date = {issued_at}, due_date = {due},"
            f" paid_date = bedplate.now() WHERE id = '{id}';"
            "ALTER TABLE accounting.invoices ENABLE TRIGGER USER",
        )
    return made


def test_every_other_transition_is_refused_for_raw_sql_too(world: World) -> None:
    stand = _one_of_each(world)
    refused = dict[tuple[InvoiceStatus, InvoiceStatus], str]()
    with psycopg.connect(world.clone.url, autocommit=True) as app:
        for old, new in itertools.permutations(InvoiceStatus, 2):
            if new in TRANSITIONS[old]:
                continue
            try:
                app.execute(
                    "UPDATE accounting.invoices SET status = %s WHERE id = %s",
                    [new.name, stand[old]],
                )
            except psycopg.errors.CheckViolation as error:
                refused[old, new] = str(error.diag.constraint_name)
    assert len(refused) == 30 - sum(map(len, TRANSITIONS.values()))
    assert set(refused.values()) == {"transition", "final"}
    assert {old for (old, _), rule in refused.items() if rule == "final"} == {
        InvoiceStatus.CANCELLED,
        InvoiceStatus.REFUNDED,
    }


def test_every_arrow_is_walked(world: World, frozen_clock: FrozenClock) -> None:
    """By raw SQL; what is paid and given back moves an invoice by its own rows."""
    frozen_clock.set(datetime(2026, 5, 10, 12, tzinfo=UTC))

    async def prepare(db: Database) -> list[tuple[UUID, UUID]]:
        who = await customer(db)
        return [((await drafted(db, who)).id, await money(db, who, "20.00")) for _ in range(4)]

    become = "UPDATE accounting.invoices SET status = %s, due_date = %s WHERE id = %s"
    steps = {"paid": PAY, "unpaid": UNPAY, "refunded": REFUND}
    walks = (
        ("ISSUED", "OVERDUE", "ISSUED", "paid", "unpaid", "CANCELLED"),
        ("ISSUED", "OVERDUE", "paid", "unpaid", "CANCELLED"),
        ("ISSUED", "paid", "refunded"),
        ("CANCELLED",),
    )
    for (id, paid), walk in zip(world.run(prepare(world.db)), walks, strict=True):
        for step in walk:
            due = date(2026, 5, 9 if step == "OVERDUE" else 10)
            with psycopg.connect(world.clone.url) as app:
                if step in steps:
                    app.execute(steps[step].encode(), {"invoice": id, "payment": paid})
                else:
                    app.execute(become.encode(), [step, due, id])
    rows = ask(
        world.clone,
        "SELECT DISTINCT m[1], m[2] FROM accounting.audit_logs,"
        " regexp_match(description, 'went from ([A-Z]+) to ([A-Z]+)') AS m WHERE m IS NOT NULL",
    )
    assert set(rows) == {(old.name, new.name) for old, news in TRANSITIONS.items() for new in news}
    assert broken(world) == {}


def test_sql_and_python_draw_the_same_arrows(world: World) -> None:
    rows = ask(
        world.clone,
        "SELECT o::text, n::text FROM unnest(enum_range(NULL::accounting.invoice_status)) o,"
        " unnest(enum_range(NULL::accounting.invoice_status)) n"
        " WHERE accounting.may_become(o, n)",
    )
    arrows = {(old.name, new.name) for old, news in TRANSITIONS.items() for new in news}
    assert set(rows) == arrows


PAY = (
    "INSERT INTO accounting.invoice_payments (id, invoice_id, cost_payment_id, amount_paid)"
    " VALUES (gen_random_uuid(), %(invoice)s, %(payment)s, 20)"
)
UNPAY = "DELETE FROM accounting.invoice_payments WHERE invoice_id = %(invoice)s"
REFUND = (
    "INSERT INTO accounting.invoice_refunds (id, invoice_id, key, amount)"
    " VALUES (gen_random_uuid(), %(invoice)s, 'k', 20)"
)
RAW = (
    "UPDATE accounting.invoices SET unit_price = 1",
    "UPDATE accounting.invoices SET total_miners = 1",
    "UPDATE accounting.invoices SET invoice_number = '2026010199'",
    "UPDATE accounting.invoices SET invoice_number = left(invoice_number, 8) || '02'",
    "UPDATE accounting.invoices SET user_id = created_by",
    "UPDATE accounting.invoices SET issued_date = bedplate.now() - interval '1 day'",
    "UPDATE accounting.invoices SET paid_amount = 5",
    "UPDATE accounting.invoices SET refunded_amount = 1",
    "UPDATE accounting.invoices SET paid_date = bedplate.now()",
    "UPDATE accounting.invoices SET recurring_invoice_id = id, billing_date = '2026-01-01'",
    "UPDATE accounting.invoices SET created_by = user_id",
    "DELETE FROM accounting.invoices",
)


@pytest.mark.parametrize("statement", RAW)
def test_an_issued_invoice_never_changes(world: World, statement: str) -> None:
    async def body(db: Database) -> None:
        await issued(db, await customer(db))

    world.run(body(world.db))
    with psycopg.connect(world.clone.url) as app, pytest.raises(psycopg.errors.CheckViolation):
        app.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounting.invoices SET total_amount = 1",
        "TRUNCATE accounting.invoices CASCADE",
        "UPDATE accounting.audit_logs SET description = 'x'",
        "DELETE FROM accounting.audit_logs",
        "UPDATE accounting.allocated_payments SET amount_allocated = 0",
        "UPDATE bedplate.number_series SET last_number = 900",
        "SELECT bedplate.next_numbers('accounting.invoices', '20260101', 1)",
        "INSERT INTO accounting.billed_customers SELECT id FROM auth.users",
    ],
)
def test_what_the_app_may_not_write_at_all(world: World, statement: str) -> None:
    async def body(db: Database) -> None:
        await issued(db, await customer(db))

    world.run(body(world.db))
    refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.GeneratedAlways)
    with psycopg.connect(world.clone.url) as app, pytest.raises(refused):
        app.execute(statement.encode())


def test_of_many_who_issue_the_same_draft_one_does(world: World) -> None:
    async def body(db: Database) -> object:
        return (await drafted(db, await customer(db))).id

    id = world.run(body(world.db))
    statement = "UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %s"
    ended = at_once(world.clone, statement, [(id,)] * CLIENTS)
    # An ISSUED invoice that is set to ISSUED again changes nothing.
    assert set(ended) == {"done"}
    assert ask(world.clone, "SELECT last_number FROM bedplate.number_series") == [(1,)]
    ((entries,),) = ask(
        world.clone, "SELECT count(*) FROM accounting.audit_logs WHERE action = 'INVOICE_ISSUED'"
    )
    assert entries == 1


def test_an_invoice_is_issued_once_and_not_by_the_second_who_comes(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        made = await issued(db, who)
        other = await customer(db)
        for _ in range(2):
            with pytest.raises(TransitionRefused, match="ISSUED"):
                await issue_invoice(db, made.id, by=other.by)
        found = await invoices.get(db, made.id)
        assert (found.updated_by, found.updated_at) == (who.by, made.updated_at)
        gone = await cancel_invoice(db, (await drafted(db, who)).id, by=who.by)
        with pytest.raises(TransitionRefused, match="CANCELLED"):
            await issue_invoice(db, gone.id, by=who.by)
        with pytest.raises(InvoiceFrozen):
            await cancel_invoice(db, gone.id, by=who.by)

    world.run(body(world.db))
    entries = (
        "SELECT count(*) FROM accounting.audit_logs WHERE description LIKE 'Invoice % changed'"
    )
    assert ask(world.clone, entries) == [(0,)]


def test_verbs_refuse_by_name_and_write_nothing(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        with pytest.raises(NoPrice):
            await draft_invoice(
                db,
                Draft(user_id=who.id, total_miners=1, due_date=date(2026, 1, 1), created_by=who.by),
            )
        await set_price(db, who.id, Decimal("7.00"), date(2000, 1, 1), by=who.by)
        draft = await draft_invoice(
            db, Draft(user_id=who.id, total_miners=3, due_date=date(2026, 1, 1), created_by=who.by)
        )
        assert draft.total_amount == Decimal("21.00")
        edited = await edit_invoice(db, draft.id, assign(Invoice.total_miners, 4), by=who.by)
        assert (edited.total_amount, edited.updated_by) == (Decimal("28.00"), who.by)
        with pytest.raises(UnknownInvoice):
            await issue_invoice(db, uuid4(), by=who.by)
        with pytest.raises(UnknownCustomer):
            await draft_invoice(
                db,
                Draft(
                    user_id=uuid4(),
                    total_miners=1,
                    unit_price=Decimal(1),
                    due_date=date(2026, 1, 1),
                    created_by=who.by,
                ),
            )
        for wrong in (0, -1):
            with pytest.raises(errors.BedplateError, match="total_miners"):
                await drafted(db, who, count=wrong)
        half: Any = 1.5
        with pytest.raises(errors.FloatRefused):
            await edit_invoice(db, draft.id, assign(Invoice.unit_price, half), by=who.by)
        made = await issue_invoice(db, draft.id, by=who.by)
        with pytest.raises(InvoiceFrozen):
            await edit_invoice(db, made.id, assign(Invoice.unit_price, Decimal(1)), by=who.by)
        with pytest.raises(InvoiceFrozen):
            await delete_draft(db, made.id)
        cancelled = await cancel_invoice(db, made.id, by=who.by)
        assert cancelled.status is InvoiceStatus.CANCELLED
        with pytest.raises((TransitionRefused, InvoiceFrozen)):
            await issue_invoice(db, made.id, by=who.by)
        other = await drafted(db, who)
        await delete_draft(db, other.id)
        assert not await invoices.exists(db, Invoice.id == other.id)

    world.run(body(world.db))
    assert broken(world) == {}


def test_the_overdue_run_flips_each_invoice_once(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 5, 10, 12, tzinfo=UTC))

    async def prepare(db: Database) -> list[UUID]:
        who = await customer(db)
        return [(await issued(db, who, due=date(2026, 5, day))).id for day in (10, 11, 12)]

    ids = world.run(prepare(world.db))
    frozen_clock.set(datetime(2026, 5, 11, 12, tzinfo=UTC))
    ended = at_once(world.clone, "SELECT accounting.run_overdue(%s)", [(100,)] * CLIENTS)
    assert set(ended) == {"done"}

    async def body(db: Database) -> None:
        assert await run_overdue(db) == ()
        # What is due today is not overdue.
        found = [(await invoices.get(db, key)).status.name for key in ids]
        assert found == ["OVERDUE", "ISSUED", "ISSUED"]
        moved = await move_due_date(
            db, ids[0], date(2026, 6, 1), by=(await invoices.get(db, ids[0])).created_by
        )
        assert moved.status is InvoiceStatus.ISSUED

    world.run(body(world.db))
    rows = ask(
        world.clone,
        "SELECT count(*) FROM accounting.audit_logs WHERE description LIKE '%% to OVERDUE'",
    )
    assert rows == [(1,)]
