"""The audit log of accounting: an entry for every action, whoever acts and however."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from bedplate import Database, acting, assign
from bedplate.modules.accounting import (
    AuditAction,
    Invoice,
    RecurringInvoice,
    add_payment,
    archive_price,
    cancel_invoice,
    create_template,
    delete_draft,
    edit_invoice,
    edit_template,
    end_template,
    issue_invoice,
    issue_invoices,
    move_due_date,
    pause_template,
    refund_invoice,
    remove_payment,
    resume_template,
    run_overdue,
    run_recurring,
    set_price,
)
from bedplate.testing import FrozenClock
from tests.asking import ask
from tests.modules.accounting.business import AS_WRITTEN, customer, drafted, issued, money
from tests.world import World

OF_MAIL = {"INVOICE_SENT_TO_CUSTOMER", "EMAIL_SENT", "EMAIL_FAILED", "EMAIL_RETRY"}
"""What `delivery` tells of."""

ENTRIES = "SELECT action::text, entity_type, changes, description FROM accounting.audit_logs"


def test_the_audit_log_says_who_did_what(world: World) -> None:
    async def body(db: Database) -> object:
        who = await customer(db)
        draft = await drafted(db, who)
        with acting(who.by, ip="192.0.2.1", user_agent="Firefox"):
            async with db.transaction() as tx:
                await issue_invoice(tx, draft.id, by=who.by)
        return who.by

    by = world.run(body(world.db))
    rows = ask(
        world.clone,
        "SELECT action::text, user_id, actor_type, changes -> 'after' ->> 'status',"
        " ip_address, user_agent, description FROM accounting.audit_logs" + AS_WRITTEN,
    )
    assert [row[:6] for row in rows] == [
        ("INVOICE_CREATED", None, "SYSTEM", "DRAFT", None, None),
        ("INVOICE_ISSUED", by, "USER", "ISSUED", "192.0.2.1", "Firefox"),
    ]
    assert re.fullmatch(r"Invoice \d{10} went from DRAFT to ISSUED", rows[1][6])


def test_a_verb_on_db_itself_names_who_acts_as_in_a_transaction(world: World) -> None:
    """An INSERT by a repository, and functions called by a SELECT."""

    async def body(db: Database) -> object:
        who = await customer(db)
        asked = len(ask(world.clone, ENTRIES))
        with acting(who.by, request_id="r-1"):
            await set_price(db, who.id, Decimal(1), date(2026, 5, 1), by=who.by)
            draft = await drafted(db, who)
            await issue_invoices(db, [draft.id])
            paid = await add_payment(db, draft.id, await money(db, who, "10.00"))
            await remove_payment(db, paid.payment_id)
            other = await drafted(db, who)
            await issue_invoice(db, other.id, by=who.by)
            await add_payment(db, other.id, await money(db, who, "20.00"))
            await refund_invoice(db, other.id, key="one")
        return who.by, asked

    by, asked = world.run(body(world.db))
    rows = ask(
        world.clone,
        "SELECT action::text, actor_type, user_id, request_id FROM accounting.audit_logs"
        + AS_WRITTEN,
    )[asked:]
    assert {row[0] for row in rows} >= {
        *("PRICING_CONFIG_CREATED", "INVOICE_CREATED", "INVOICE_ISSUED", "PAYMENT_REMOVED"),
    }
    assert {row[1:] for row in rows} == {("USER", by, "r-1")}


def test_every_action_leaves_its_entry(world: World, frozen_clock: FrozenClock) -> None:
    frozen_clock.set(datetime(2026, 5, 10, 12, tzinfo=UTC))
    seen = 0
    told: list[tuple[str, list[str]]] = []

    async def left(verb: str, doing: Awaitable[Any]) -> Any:
        nonlocal seen
        answer = await doing
        rows = ask(world.clone, "SELECT action::text FROM accounting.audit_logs" + AS_WRITTEN)
        told.append((verb, sorted(action for (action,) in rows[seen:])))
        seen = len(rows)
        return answer

    async def body(db: Database) -> None:
        who = await customer(db)
        by, first = who.by, date(2026, 5, 1)
        price = await left("set_price", set_price(db, who.id, Decimal(1), first, by=by))
        await left("set_price", set_price(db, who.id, Decimal(2), date(2026, 6, 1), by=by))
        await left("archive_price", archive_price(db, price, until=date(2026, 5, 30), by=by))
        made = RecurringInvoice(user_id=who.id, created_by=by, day_of_month=1, start_date=first)
        await left("create_template", create_template(db, made))
        changed = assign(RecurringInvoice.due_days, 7)
        await left("edit_template", edit_template(db, made.id, changed, by=by))
        await left("pause_template", pause_template(db, made.id, by=by))
        await left("resume_template", resume_template(db, made.id, by=by, back_bill=True))
        await left("run_recurring", run_recurring(db, issue=False))
        await left("end_template", end_template(db, made.id, by=by))
        draft = await left("draft_invoice", drafted(db, who, due=date(2026, 5, 9)))
        miners = assign(Invoice.total_miners, 1)
        await left("edit_invoice", edit_invoice(db, draft.id, miners, by=by))
        await left("issue_invoices", issue_invoices(db, [draft.id]))
        await left("run_overdue", run_overdue(db))
        await left("move_due_date", move_due_date(db, draft.id, date(2026, 5, 20), by=by))
        paid = await left("add_payment", add_payment(db, draft.id, await money(db, who, "10")))
        await left("remove_payment", remove_payment(db, paid.payment_id))
        await add_payment(db, draft.id, await money(db, who, "10.00"))
        nonlocal seen
        seen = ask(world.clone, "SELECT count(*) FROM accounting.audit_logs")[0][0]
        await left("refund_invoice", refund_invoice(db, draft.id, key="one"))
        other = await issued(db, who)
        gone = await drafted(db, who)
        seen = ask(world.clone, "SELECT count(*) FROM accounting.audit_logs")[0][0]
        await left("cancel_invoice", cancel_invoice(db, other.id, by=by))
        await left("delete_draft", delete_draft(db, gone.id))

    world.run(body(world.db))
    assert told == [
        ("set_price", ["PRICING_CONFIG_CREATED"]),
        ("set_price", ["PRICING_CONFIG_ARCHIVED", "PRICING_CONFIG_CREATED"]),
        ("archive_price", ["PRICING_CONFIG_UPDATED"]),
        ("create_template", ["RECURRING_INVOICE_CREATED"]),
        ("edit_template", ["RECURRING_INVOICE_UPDATED"]),
        ("pause_template", ["RECURRING_INVOICE_PAUSED"]),
        ("resume_template", ["RECURRING_INVOICE_RESUMED"]),
        ("run_recurring", ["INVOICE_CREATED"]),
        ("end_template", ["RECURRING_INVOICE_DELETED"]),
        ("draft_invoice", ["INVOICE_CREATED"]),
        ("edit_invoice", ["INVOICE_UPDATED"]),
        ("issue_invoices", ["INVOICE_ISSUED"]),
        ("run_overdue", ["INVOICE_UPDATED"]),
        ("move_due_date", ["INVOICE_UPDATED"]),
        ("add_payment", ["INVOICE_UPDATED", "PAYMENT_ADDED"]),
        ("remove_payment", ["INVOICE_UPDATED", "PAYMENT_REMOVED"]),
        ("refund_invoice", ["INVOICE_UPDATED", "PAYMENT_REFUNDED"]),
        ("cancel_invoice", ["INVOICE_CANCELLED"]),
        ("delete_draft", ["INVOICE_CANCELLED"]),
    ]
    noted = {action for _, actions in told for action in actions}
    assert noted == {each.name for each in AuditAction} - OF_MAIL


def test_an_entry_holds_what_changed_before_and_after(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        draft = await drafted(db, who)
        await edit_invoice(db, draft.id, assign(Invoice.total_miners, 3), by=who.by)
        await edit_invoice(db, draft.id, by=who.by)

    world.run(body(world.db))
    rows = ask(world.clone, ENTRIES + AS_WRITTEN)
    assert len(rows) == 2, "what changes nothing is no change"
    changes = rows[1][2]
    assert changes["before"] | {"updated_by": ""} == {
        "total_miners": 2,
        "total_amount": 20.0,
        "updated_by": "",
    }
    assert {**changes["after"], "updated_by": ""} == {
        "total_miners": 3,
        "total_amount": 30.0,
        "updated_by": "",
    }


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_entries_are_added_and_nothing_else(world: World, verb: str) -> None:
    async def body(db: Database) -> None:
        await drafted(db, await customer(db))

    world.run(body(world.db))
    place = "accounting.audit_logs"
    statement = {
        "UPDATE": f"UPDATE {place} SET description = ''",
        "DELETE": f"DELETE FROM {place}",
        "TRUNCATE": f"TRUNCATE {place}",
    }[verb]
    for url in (world.clone.url, world.clone.owner_url):
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.Error) as refused:
            connection.execute(statement.encode())
        assert refused.value.sqlstate in ("42501", "BP001")
