"""What the run bills is issued as it begins: it leaves the same as a draft that is issued."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from uuid import UUID

import psycopg
import pytest

from bedplate import Database
from bedplate.kernel.errors import SerializationFailure
from bedplate.modules.accounting import (
    InvoiceStatus,
    create_template,
    invoices,
    issue_invoices,
    run_recurring,
    set_billing,
    set_seller,
)
from bedplate.testing import FrozenClock
from tests.asking import as_owner, ask
from tests.modules.accounting import scenarios
from tests.modules.accounting.business import AS_WRITTEN, broken, customer, issued, template
from tests.modules.accounting.rivals import told
from tests.world import World

LATE = datetime(2026, 3, 5, 23, 30, tzinfo=UTC)
"""In Berlin it is the sixth of March already."""

LEFT_BY = {
    "invoices": "SELECT to_jsonb(i) FROM accounting.invoices i WHERE id = %s",
    "documents": """
        SELECT d.content, encode(d.content_sha256, 'hex')
            = encode(sha256(convert_to(d.content::text, 'UTF8')), 'hex'), d.pdf
        FROM accounting.invoice_documents d WHERE d.invoice_id = %s""",
    "jobs": """
        SELECT j.kind, j.payload FROM bedplate.jobs j WHERE j.payload @> to_jsonb(%s::text)""",
    "log": "SELECT to_jsonb(a) - '{id,created_at,transaction_id}'::text[] AS entry"
    " FROM accounting.audit_logs a WHERE entity_id = %s::text" + AS_WRITTEN,
}


def left_by(world: World, invoice: UUID, names: dict[str, str]) -> dict[str, str]:
    """Everything that an invoice left in the database, with other names for its keys."""
    found = dict[str, str]()
    for what, query in LEFT_BY.items():
        text = json.dumps(ask(world.clone, query, str(invoice)), sort_keys=True, default=str)
        for own, other in {str(invoice): "the invoice", **names}.items():
            text = text.replace(own, other)
        found[what] = text
    return found


def test_it_leaves_what_a_draft_leaves_that_is_issued(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(LATE)

    async def bill(db: Database, *, issue: bool) -> tuple[UUID, dict[str, str]]:
        who = await customer(db)
        made = await create_template(db, template(who, start_date=date(2026, 3, 1)))
        (invoice,) = (await run_recurring(db, issue=issue)).made
        if not issue:
            await issue_invoices(db, [invoice])
        found = await invoices.get(db, invoice)
        assert (found.status, found.issued_date) == (InvoiceStatus.ISSUED, LATE)
        user, by = str(who.id), str(who.by)
        emails = dict(ask(world.clone, "SELECT email, 'email' FROM auth.users"))
        return invoice, {
            user: "who",
            by: "by",
            str(made.id): "template",
            found.invoice_number: "number",
            **emails,
        }

    async def body(db: Database) -> list[tuple[UUID, dict[str, str]]]:
        await set_billing(db, time_zone="Europe/Berlin")
        await set_seller(db, "Miners plc", currency="EUR")
        return [await bill(db, issue=False), await bill(db, issue=True)]

    drafted_first, born = (left_by(world, *each) for each in world.run(body(world.db)))
    assert born == drafted_first
    assert "2026-03-06" in born["documents"]
    for said in ("Invoice drafted", "Invoice number went from DRAFT to ISSUED"):
        assert said in born["log"]
    assert broken(world) == {}


def test_a_month_that_is_billed_already_takes_no_number(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(LATE)
    scenarios.templates(world, {}, {"day_of_month": 5}, {"last_day_of_month": True})
    by_hand = (scenarios.DRAFT_A_MONTH, [date(2026, 2, 1)])
    assert told(world.clone.url, by_hand) == "done"
    billed = world.run(run_recurring(world.db))
    rows = ask(
        world.clone,
        "SELECT billing_date, recurring_invoice_id FROM accounting.invoices"
        " WHERE status = 'ISSUED' ORDER BY invoice_number",
    )
    assert rows == sorted(rows)
    assert scenarios.numbers(world) == [f"20260305{serial:02}" for serial in range(1, 8)]
    assert len(billed.made) == len(rows) == 7
    assert world.run(run_recurring(world.db)).made == ()
    assert broken(world) == {}


def test_nothing_to_bill_takes_no_number(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(LATE)
    scenarios.templates(world, {"start_date": date(2026, 3, 1)})
    assert told(world.clone.url, (scenarios.DRAFT_A_MONTH, [date(2026, 3, 1)])) == "done"
    assert world.run(run_recurring(world.db)).made == ()
    assert ask(world.clone, "SELECT count(*) FROM bedplate.number_series") == [(0,)]


def test_a_template_for_which_somebody_drafts_is_left_to_the_next_run(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(LATE)
    scenarios.templates(world, {"start_date": date(2026, 3, 1)}, {"start_date": date(2026, 3, 1)})
    with psycopg.connect(world.clone.url) as app:
        app.execute(scenarios.DRAFT_A_MONTH.encode(), [date(2026, 3, 1)])
        assert len(world.run(run_recurring(world.db)).made) == 1
    assert world.run(run_recurring(world.db)).made == ()
    rows = ask(world.clone, "SELECT status::text FROM accounting.invoices ORDER BY 1")
    assert rows == [("DRAFT",), ("ISSUED",)]
    assert broken(world) == {}


def test_a_run_that_cannot_see_what_is_billed_begins_anew(
    world: World, frozen_clock: FrozenClock
) -> None:
    """At REPEATABLE READ a transaction sees nothing that was committed after it began."""
    frozen_clock.set(LATE)
    scenarios.templates(world, {"start_date": date(2026, 3, 1)}, {"start_date": date(2026, 3, 1)})
    with psycopg.connect(world.clone.url) as app:
        app.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        app.execute("SELECT FROM accounting.invoices")
        assert told(world.clone.url, (scenarios.DRAFT_A_MONTH, [date(2026, 3, 1)])) == "done"
        with pytest.raises(psycopg.errors.SerializationFailure):
            app.execute(scenarios.BILL.encode())
        app.rollback()
        app.execute(scenarios.BILL.encode())
    assert scenarios.numbers(world) == ["2026030501"]
    assert broken(world) == {}


# A row that is refused without a word, once: a sequence is not rolled back.
LOST_ONCE = """
CREATE SEQUENCE accounting.lost;
CREATE FUNCTION accounting.lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN nextval('accounting.lost') > 1 THEN NEW END;
END $$;
CREATE TRIGGER tr_invoices_lose BEFORE INSERT ON accounting.invoices
    FOR EACH ROW EXECUTE FUNCTION accounting.lose()
"""
FOUND = "DROP FUNCTION accounting.lose() CASCADE; DROP SEQUENCE accounting.lost"


def test_a_number_without_an_invoice_has_the_run_begin_anew(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(LATE)
    scenarios.templates(world, {}, {"day_of_month": 5})
    as_owner(world.clone, LOST_ONCE)
    try:
        with pytest.raises(SerializationFailure):
            world.run(run_recurring(world.db))
        assert scenarios.numbers(world) == []
        as_owner(world.clone, "ALTER SEQUENCE accounting.lost RESTART")
        billed = world.run(world.db.retry(run_recurring))
    finally:
        as_owner(world.clone, FOUND)
    assert len(billed.made) == 6
    assert scenarios.numbers(world) == [f"20260305{serial:02}" for serial in range(1, 7)]
    assert broken(world) == {}


# By the app: how an attempt is answered, whatever number and moment it brings.
ATTEMPTS = {
    "no number": ("", LATE, 0, "transition"),
    "a draft's number": ("DRAFT-1", LATE, 0, "transition"),
    "the next number": ("2026030502", LATE, 0, "transition"),
    "a number beyond the counter": ("2026030509", LATE, 0, "transition"),
    "another day's number": ("2026030401", LATE, 0, "transition"),
    "a number that is written otherwise": ("20260305001", LATE, 0, "transition"),
    "a number that is taken": ("2026030501", LATE, 0, "uq_invoices_invoice_number"),
    "tomorrow": ("2026030601", datetime(2026, 3, 6, 12, tzinfo=UTC), 0, "transition"),
    "no moment": ("2026030502", None, 0, "transition"),
    "paid already": ("2026030502", LATE, 10, "transition"),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nobody_else_begins_an_invoice_as_an_issued_one(
    world: World, frozen_clock: FrozenClock, attempt: str
) -> None:
    frozen_clock.set(LATE)
    number, at, paid, rule = ATTEMPTS[attempt]

    async def body(db: Database) -> None:
        await issued(db, await customer(db))

    world.run(body(world.db))
    values = {"number": number, "at": at, "paid": paid}
    assert told(world.clone.url, (scenarios.BEGIN_ISSUED, values)) == rule
    # Who has the run's rights has its numbers to keep to, all the same.
    as_the_owner = told(world.clone.owner_url, (scenarios.BEGIN_ISSUED, values))
    is_no_issue = at is None or paid
    assert as_the_owner == (rule if rule != "transition" or is_no_issue else "number")
    assert scenarios.numbers(world) == ["2026030501"]
    assert broken(world) == {}
