"""What must hold whatever comes, as scenarios that tell what they saw instead."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from bedplate import Database
from bedplate.modules.accounting import (
    add_payment,
    create_template,
    run_recurring,
)
from tests.asking import as_owner, ask
from tests.modules.accounting.business import (
    Customer,
    broken,
    customer,
    drafted,
    issued,
    money,
    template,
)
from tests.modules.accounting.rivals import meanwhile, told, wait_until
from tests.world import World

Scenario = Callable[[World], set[str]]
"""Runs, and returns what it saw that must never be; nothing where every promise is kept."""

DAY = datetime(2026, 3, 5, 12, tzinfo=UTC)
ISSUE = "UPDATE accounting.invoices SET status = 'ISSUED' WHERE id = %s"
PAY = (
    "INSERT INTO accounting.invoice_payments (id, invoice_id, cost_payment_id, amount_paid)"
    " VALUES (gen_random_uuid(), %s, %s, %s)"
)
REFUND = (
    "INSERT INTO accounting.invoice_refunds (id, invoice_id, key, amount)"
    " VALUES (gen_random_uuid(), %s, %s, %s)"
)
PRICE = (
    "INSERT INTO accounting.customer_pricing_config"
    " (id, user_id, default_unit_price, effective_from, effective_to, created_by)"
    " VALUES (gen_random_uuid(), %s, 1, %s, %s, %s)"
)
DEADLOCK = "40P01"
RUN = "SELECT accounting.run_recurring(accounting.billing_day(bedplate.clock()), 100, false)"
BILL = RUN.replace("false", "true")
DRAFT_A_MONTH = """
INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date, created_by,
                                 recurring_invoice_id, billing_date)
SELECT gen_random_uuid(), r.user_id, 1, 1, '2099-01-01', r.created_by, r.id, %s::date
FROM accounting.recurring_invoices r ORDER BY r.id LIMIT 1
"""
BEGIN_ISSUED = """
INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date, created_by,
                                 status, issued_date, invoice_number, paid_amount)
SELECT gen_random_uuid(), i.user_id, 1, 10, i.due_date, i.created_by, 'ISSUED',
       %(at)s, %(number)s, %(paid)s
FROM accounting.invoices i LIMIT 1
"""
TAKEN = "bedplate.next_numbers('accounting.invoices', '20260305', 1)"


def numbers(world: World) -> list[str]:
    """Every number that was given, in the order of their serials."""
    rows = ask(
        world.clone,
        "SELECT invoice_number FROM accounting.invoices WHERE invoice_number NOT LIKE 'DRAFT-%'"
        " ORDER BY left(invoice_number, 8), substr(invoice_number, 9)::int, invoice_number",
    )
    return [number for (number,) in rows]


def refused(world: World, statement: str, *values: Any) -> set[str]:
    """Nothing where the database refuses the app's statement."""
    return {"accepted"} if told(world.clone.url, (statement, list(values))) == "done" else set()


def unless(wanted: str, seen: list[str]) -> set[str]:
    return set(seen) - {wanted}


def lawless(world: World) -> set[str]:
    return set(broken(world))


def drafts(world: World, many: int) -> list[UUID]:
    world.clock.set(DAY)

    async def body(db: Database) -> list[UUID]:
        who = await customer(db)
        return [(await drafted(db, who)).id for _ in range(many)]

    return world.run(body(world.db))


def one_issued(world: World, due: date = date(2099, 1, 1), paid: str = "") -> UUID:
    """An issued invoice of 20.00, and so much paid on it."""
    world.clock.set(DAY)

    async def body(db: Database) -> UUID:
        who = await customer(db)
        made = await issued(db, who, due=due)
        if paid:
            await add_payment(db, made.id, await money(db, who, paid))
        return made.id

    return world.run(body(world.db))


def to_pay(world: World, invoices: int, *amounts: str) -> tuple[list[UUID], list[UUID]]:
    """So many invoices of 20.00 of one customer, and what it paid."""

    async def body(db: Database) -> tuple[list[UUID], list[UUID]]:
        who = await customer(db)
        made = [(await issued(db, who)).id for _ in range(invoices)]
        return made, [await money(db, who, amount) for amount in amounts]

    return world.run(body(world.db))


def numbers_while_one_rolls_back(world: World) -> set[str]:
    first, second, third = drafts(world, 3)
    seen = unless(
        "done", meanwhile(world.clone, (ISSUE, [first]), (ISSUE, [second]), commits=False)
    )
    seen |= unless("done", meanwhile(world.clone, (ISSUE, [third]), (ISSUE, [first])))
    if numbers(world) != [f"20260305{serial:02}" for serial in (1, 2, 3)]:
        seen.add("a gap")
    return seen


def a_number_of_ones_own(world: World) -> set[str]:
    _, *rest = drafts(world, 4)
    one_issued(world)
    wrong = ("2026030502", "2026030500", "20260305001", "2026030401")
    forged = (
        "UPDATE accounting.invoices SET status = %s, invoice_number = %s,"
        " issued_date = bedplate.clock() WHERE id = %s"
    )
    seen = set[str]()
    for number in wrong:
        for status, draft in zip(("ISSUED", "CANCELLED", "DRAFT"), rest, strict=True):
            seen |= refused(world, forged, status, number, draft)
    return seen


def issued_as_it_begins(world: World) -> set[str]:
    """By the app, with a number that may be anything."""
    one_issued(world)
    seen = set[str]()
    for number in ("", "2026030500", "2026030502", "20260305001", "2026030401", "2026030601"):
        for at, paid in ((DAY, 0), (None, 0), (DAY, 5)):
            values = {"at": at, "number": number, "paid": paid}
            seen.add(told(world.clone.url, (BEGIN_ISSUED, values)))
    return seen - {"transition"}


def issued_by_the_owner(world: World) -> set[str]:
    """Who has the run's rights has to keep to its numbers too, and to its moment."""
    one_issued(world)
    seen = set[str]()
    hour = timedelta(hours=1)
    for ahead, at in ((1, DAY), (0, DAY - hour), (0, DAY + hour), (0, DAY + 24 * hour)):
        number = f"accounting.number_of('2026-03-05', {TAKEN} + {ahead})"
        statement = BEGIN_ISSUED.replace("%(number)s", number)
        seen.add(told(world.clone.owner_url, (statement, {"at": at, "paid": 0})))
    return seen - {"number"}


def a_draft_that_is_overdue(world: World) -> set[str]:
    (draft,) = drafts(world, 1)
    late = "UPDATE accounting.invoices SET status = 'OVERDUE', due_date = '2000-01-01'"
    return unless("transition", [told(world.clone.url, (f"{late} WHERE id = %s", [draft]))])


def other_money_on_an_issued_invoice(world: World) -> set[str]:
    made = one_issued(world)
    return refused(world, "UPDATE accounting.invoices SET unit_price = 1 WHERE id = %s", made)


def paid_without_a_payment(world: World) -> set[str]:
    made = one_issued(world)
    paid = "UPDATE accounting.invoices SET status = 'PAID', paid_date = bedplate.clock()"
    seen = refused(world, f"{paid} WHERE id = %s", made)
    seen |= refused(world, f"{paid}, paid_amount = total_amount WHERE id = %s", made)
    return seen | lawless(world)


def overdue_on_its_last_day(world: World) -> set[str]:
    made = one_issued(world, due=DAY.date())
    return refused(world, "UPDATE accounting.invoices SET status = 'OVERDUE' WHERE id = %s", made)


def overdue_with_a_day_to_come(world: World) -> set[str]:
    one_issued(world, due=date(2026, 3, 4))
    assert told(world.clone.url, ("SELECT accounting.run_overdue(1)", [])) == "done"
    more_time = "UPDATE accounting.invoices SET due_date = '2026-04-01'"
    assert told(world.clone.url, (more_time, [])) == "done"
    return lawless(world)


def the_day_of_another_zone(world: World) -> set[str]:
    drafted_ones = drafts(world, 1)
    as_owner(
        world.clone,
        "INSERT INTO accounting.billing_settings (time_zone) VALUES ('Pacific/Kiritimati')",
    )
    told(world.clone.url, (ISSUE, drafted_ones))
    return set() if numbers(world) == ["2026030601"] else {"another day"}


def two_payments_of_one_invoice(world: World) -> set[str]:
    (made,), (one, other) = to_pay(world, 1, "15.00", "15.00")
    seen = meanwhile(world.clone, (PAY, [made, one, 15]), (PAY, [made, other, 15]))
    rows = ask(world.clone, "SELECT sum(amount_paid) FROM accounting.invoice_payments")
    return unless("over_invoice", seen) | ({"overpaid"} if rows[0][0] > 20 else set())


def one_payment_for_two_invoices(world: World) -> set[str]:
    (one, other), (paid,) = to_pay(world, 2, "10.00")
    seen = meanwhile(world.clone, (PAY, [one, paid, 8]), (PAY, [other, paid, 8]))
    return unless("over_payment", seen) | lawless(world)


def a_payment_of_more_than_came_in(world: World) -> set[str]:
    (made,), (paid,) = to_pay(world, 1, "10.00")
    return refused(world, PAY, made, paid, "10.01")


def anothers_payment(world: World) -> set[str]:
    (made,), _ = to_pay(world, 1)
    _, (paid,) = to_pay(world, 0, "20.00")
    return refused(world, PAY, made, paid, 20)


def removed_and_paid_again_at_once(world: World) -> set[str]:
    """Whoever removes an allocation takes the invoice first, as whoever makes one does."""
    (made,), (paid,) = to_pay(world, 1, "20.00")
    assert told(world.clone.url, (PAY, [made, paid, 10])) == "done"
    hold = "SELECT FROM accounting.invoices WHERE id = %s FOR NO KEY UPDATE"
    remove = "DELETE FROM accounting.invoice_payments WHERE invoice_id = %s"
    # Whoever pays holds the invoice first, and takes the payment once the other waits for it.
    seen = meanwhile(world.clone, (hold, [made]), (remove, [made]), then=(PAY, [made, paid, 5]))
    return lawless(world) | ({"deadlock"} if DEADLOCK in seen else set())


def refunds_of_one_invoice(world: World) -> set[str]:
    made = one_issued(world, paid="20.00")
    seen = meanwhile(world.clone, (REFUND, [made, "a", 15]), (REFUND, [made, "b", 15]))
    rows = ask(world.clone, "SELECT sum(amount) FROM accounting.invoice_refunds")
    return unless("over_refund", seen) | ({"gave too much"} if rows[0][0] > 20 else set())


def prices_on_the_same_days(world: World) -> set[str]:
    who = world.run(customer(world.db))
    both = [(PRICE, [who.id, date(2026, 1, day), date(2026, 2, day), who.by]) for day in (1, 15)]
    return unless("overlap", meanwhile(world.clone, *both)) | lawless(world)


def a_price_rewritten(world: World) -> set[str]:
    who = world.run(customer(world.db))
    assert told(world.clone.url, (PRICE, [who.id, date(2026, 1, 1), None, who.by])) == "done"
    return refused(world, "UPDATE accounting.customer_pricing_config SET default_unit_price = 2")


def templates(world: World, *terms: dict[str, Any]) -> list[Customer]:
    async def body(db: Database) -> list[Customer]:
        made = list[Customer]()
        for each in terms:
            made.append(await customer(db))
            terms_of_it = {"start_date": date(2026, 1, 1), **each}
            await create_template(db, template(made[-1], **terms_of_it))
        return made

    return world.run(body(world.db))


def two_runs(world: World) -> set[str]:
    world.clock.set(DAY)
    templates(world, {}, {"day_of_month": 5})
    seen = unless("done", meanwhile(world.clone, (RUN, []), (RUN, [])))
    rows = ask(
        world.clone,
        "SELECT count(*), count(DISTINCT (recurring_invoice_id, billing_date))"
        " FROM accounting.invoices",
    )
    return seen if rows == [(6, 6)] else {*seen, "billed twice"}


def a_month_drafted_while_the_run_waits(world: World) -> set[str]:
    """The run has looked at its templates and waits for the counter, which another holds."""
    (draft,) = drafts(world, 1)
    templates(world, {}, {"day_of_month": 5})
    raced = list[str]()
    with ThreadPoolExecutor(1) as threads:

        def draft_a_month() -> None:
            asked = threads.submit(told, world.clone.url, (DRAFT_A_MONTH, [date(2026, 3, 1)]))
            wait_until(world.clone, lambda waiting: asked.done() or waiting == 2)
            raced.append("waits" if not asked.done() else asked.result())

        seen = meanwhile(world.clone, (ISSUE, [draft]), (BILL, []), between=draft_a_month)
    found = unless("done", seen) | unless("waits", raced) | lawless(world)
    return found if numbers(world)[-1:] == ["2026030507"] else {*found, "not billed"}


def a_second_invoice_of_a_month(world: World) -> set[str]:
    world.clock.set(DAY)
    templates(world, {})
    assert told(world.clone.url, (RUN, [])) == "done"
    again = (
        "INSERT INTO accounting.invoices (id, user_id, total_miners, unit_price, due_date,"
        " created_by, recurring_invoice_id, billing_date)"
        " SELECT gen_random_uuid(), user_id, 1, 1, due_date, created_by, recurring_invoice_id,"
        " billing_date + 1 FROM accounting.invoices LIMIT 1"
    )
    return refused(world, again)


def the_anchor(world: World) -> set[str]:
    templates(world, {"last_day_of_month": True})
    for month in (2, 3, 4, 5):
        world.clock.set(datetime(2026, month, 1, 12, tzinfo=UTC))
        world.run(run_recurring(world.db))
    rows = ask(world.clone, "SELECT billing_date::text FROM accounting.invoices ORDER BY 1")
    wanted = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]
    return set() if [day for (day,) in rows] == wanted else {"drifted"}


def some_who_wait_for_a_price(world: World) -> set[str]:
    world.clock.set(DAY)
    templates(world, *[{"unit_price": None}] * 3, {})

    async def in_twos(db: Database) -> int:
        made, last = 0, None
        for _ in range(5):
            billed = await run_recurring(db, most=2, after=last)
            made, last = made + len(billed.made), billed.last
            if last is None:
                break
        return made

    return set() if world.run(in_twos(world.db)) == 3 else {"starved"}


def a_template_from_years_ago(world: World) -> set[str]:
    world.clock.set(DAY)
    templates(world, {"start_date": date(2006, 1, 1)})
    return {"billed for years"} if world.run(run_recurring(world.db)).made else set()


def a_month_whose_day_was_moved(world: World) -> set[str]:
    world.clock.set(DAY)
    templates(world, {"start_date": date(2026, 3, 1)})
    world.run(run_recurring(world.db))
    move = "UPDATE accounting.recurring_invoices SET day_of_month = 20"
    assert told(world.clone.url, (move, [])) == "done"
    world.clock.set(datetime(2026, 3, 25, tzinfo=UTC))
    again = world.run(run_recurring(world.db))
    return {"billed twice"} if again.made else set()


def history_rewritten(world: World) -> set[str]:
    one_issued(world)
    seen = refused(world, "UPDATE accounting.audit_logs SET description = 'nothing'")
    return seen | refused(world, "DELETE FROM accounting.audit_logs")


def issued_by_raw_sql(world: World) -> set[str]:
    (draft,) = drafts(world, 1)
    told(world.clone.url, (ISSUE, [draft]))
    rows = ask(
        world.clone, "SELECT count(*) FROM accounting.audit_logs WHERE action = 'INVOICE_ISSUED'"
    )
    return set() if rows == [(1,)] else {"not audited"}
