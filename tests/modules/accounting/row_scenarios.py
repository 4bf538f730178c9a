"""What rows promise by themselves, as scenarios: templates, documents, messages, logs, keys."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from bedplate import Database, assign
from bedplate.modules.accounting import (
    Invoice,
    RecurringInvoice,
    add_payment,
    create_template,
    delete_draft,
    edit_invoice,
    edit_template,
    issue_invoice,
    refund_invoice,
    remove_payment,
    run_recurring,
    set_price,
)
from tests.asking import ask
from tests.modules.accounting.business import customer, drafted, issued, money, template
from tests.modules.accounting.rivals import told
from tests.modules.accounting.scenarios import (
    DAY,
    PAY,
    PRICE,
    REFUND,
    lawless,
    one_issued,
    refused,
    templates,
    to_pay,
    unless,
)
from tests.world import World

AUDITED = (
    *("invoices", "invoice_payments", "invoice_refunds", "recurring_invoices"),
    "customer_pricing_config",
)
OPEN_PAUSE = (
    "INSERT INTO accounting.template_pauses (recurring_invoice_id, paused_on)"
    " SELECT r.id, '2026-03-05' FROM accounting.recurring_invoices r"
)
TELL = (
    "INSERT INTO accounting.invoice_notifications (id, invoice_id, notification_type, sent_to)"
    " VALUES (gen_random_uuid(), %s, 'INVOICE_ISSUED', 'ada@example.com')"
)
TOLD_TO = "UPDATE accounting.invoice_notifications SET status = %s, sent_at = bedplate.now()"
NOTED = {
    ("invoices", "insert"): "INVOICE_CREATED",
    ("invoices", "update"): "INVOICE_UPDATED",
    ("invoices", "delete"): "INVOICE_CANCELLED",
    ("invoice_payments", "insert"): "PAYMENT_ADDED",
    ("invoice_payments", "delete"): "PAYMENT_REMOVED",
    ("invoice_refunds", "insert"): "PAYMENT_REFUNDED",
    ("recurring_invoices", "insert"): "RECURRING_INVOICE_CREATED",
    ("recurring_invoices", "update"): "RECURRING_INVOICE_UPDATED",
    ("customer_pricing_config", "insert"): "PRICING_CONFIG_CREATED",
    ("customer_pricing_config", "update"): "PRICING_CONFIG_ARCHIVED",
}
"""The action by which each event is noted."""


def refused_to_the_owner(world: World, *statements: str) -> set[str]:
    """Nothing where even the owner, whom no privilege stops, is refused."""
    answers = {told(world.clone.owner_url, (each, [])) for each in statements}
    return {"accepted"} if "done" in answers else set()


def a_template_rewritten(world: World) -> set[str]:
    world.clock.set(DAY)
    templates(world, {})
    world.run(run_recurring(world.db))
    update = "UPDATE accounting.recurring_invoices SET "
    seen = refused(world, update + "start_date = '2026-04-01'")
    seen |= refused(world, update + "last_generated_date = '2026-12-01'")
    end = update + "is_active = false, deleted_at = bedplate.now()"
    assert told(world.clone.url, (end, [])) == "done"
    return seen | refused(world, update + "is_active = true, deleted_at = NULL")


def a_pause_by_raw_sql(world: World) -> set[str]:
    turn = "UPDATE accounting.recurring_invoices SET is_active = %s"
    world.clock.set(DAY)
    templates(world, {"start_date": date(2026, 3, 20), "day_of_month": 20})
    assert told(world.clone.url, (turn, [False])) == "done"
    world.clock.set(datetime(2026, 5, 1, tzinfo=UTC))
    assert told(world.clone.url, (turn, [True])) == "done"
    return {"billed a pause"} if world.run(run_recurring(world.db)).made else set()


def two_pauses_at_once(world: World) -> set[str]:
    world.clock.set(DAY)
    templates(world, {})
    assert told(world.clone.owner_url, (OPEN_PAUSE, [])) == "done"
    return refused_to_the_owner(world, OPEN_PAUSE)


def a_document_rewritten(world: World) -> set[str]:
    one_issued(world)
    return refused(world, "UPDATE accounting.invoice_documents SET content = '{}'")


def issued_without_a_document(world: World) -> set[str]:
    """One that is issued as it was drafted, and one that begins as an issued one."""
    one_issued(world)
    templates(world, {"start_date": date(2026, 3, 1)})
    world.run(run_recurring(world.db))
    return lawless(world)


def a_message_unsent(world: World) -> set[str]:
    assert told(world.clone.url, (TELL, [one_issued(world)])) == "done"
    assert told(world.clone.url, (TOLD_TO, ["SENT"])) == "done"
    return refused(world, TOLD_TO, "PENDING")


def a_message_twice(world: World) -> set[str]:
    made = one_issued(world)
    assert told(world.clone.url, (TELL, [made])) == "done"
    return refused(world, TELL, made)


def mail_of_what_is_older(world: World) -> set[str]:
    """Mail is switched on, as if it had been for years."""
    world.clock.set(DAY)
    on = "(mail_invoices, mail_invoices_from) VALUES (true, '2020-01-01')"
    assert told(world.clone.url, (f"INSERT INTO accounting.billing_settings {on}", [])) == "done"
    rows = ask(world.clone, "SELECT mail_invoices_from FROM accounting.billing_settings")
    return set() if rows == [(DAY,)] else {"mails what is older"}


def one_payment_twice_on_one_invoice(world: World) -> set[str]:
    (made,), (paid,) = to_pay(world, 1, "20.00")
    assert told(world.clone.url, (PAY, [made, paid, 5])) == "done"
    return refused(world, PAY, made, paid, 5)


def one_refund_twice(world: World) -> set[str]:
    made = one_issued(world, paid="20.00")
    assert told(world.clone.url, (REFUND, [made, "key", 5])) == "done"
    return refused(world, REFUND, made, "key", 5)


def a_paid_invoice(world: World) -> set[str]:
    """Its sums and status come with its rows."""
    made = one_issued(world, paid="20.00")
    seen = unless("done", [told(world.clone.url, (REFUND, [made, "key", 20]))])
    return seen | lawless(world)


def two_prices_from_one_day(world: World) -> set[str]:
    who = world.run(customer(world.db))
    price: tuple[Any, ...] = (who.id, date(2026, 1, 1), date(2026, 2, 1), who.by)
    assert told(world.clone.url, (PRICE, list(price))) == "done"
    return refused(world, PRICE, *price)


def rewritten_by_the_owner(world: World) -> set[str]:
    """What is only ever added to: refunds, and the log."""
    one_refund_twice(world)
    return refused_to_the_owner(
        world,
        *("UPDATE accounting.invoice_refunds SET amount = 1", "DELETE FROM accounting.audit_logs"),
        "UPDATE accounting.audit_logs SET description = 'nothing'",
        "DELETE FROM accounting.invoice_refunds",
    )


def emptied_by_the_owner(world: World) -> set[str]:
    one_issued(world)
    tables = ", ".join(f"accounting.{table}" for table in AUDITED)
    return refused_to_the_owner(world, f"TRUNCATE {tables} CASCADE")


def everything_noted(world: World) -> set[str]:
    """Each kind of change once or more; tell which left no entry."""
    world.clock.set(DAY)

    async def body(db: Database) -> UUID:
        who = await customer(db)
        made = await issued(db, who)
        await edit_invoice(
            db, (await drafted(db, who)).id, assign(Invoice.total_miners, 9), by=who.by
        )
        await delete_draft(db, (await drafted(db, who)).id)
        paid = await money(db, who, "20.00")
        first = await add_payment(db, made.id, paid)
        await remove_payment(db, first.payment_id)
        await add_payment(db, made.id, paid)
        await refund_invoice(db, made.id, Decimal(1), key="one")
        plan = await create_template(db, template(who))
        await edit_template(db, plan.id, assign(RecurringInvoice.due_days, 3), by=who.by)
        for month in (1, 2):
            await set_price(db, who.id, Decimal(month), date(2026, month, 1), by=who.by)
        await issue_invoice(db, (await drafted(db, who)).id, by=who.by)
        return made.id

    world.run(body(world.db))
    rows = ask(world.clone, "SELECT action::text FROM accounting.audit_logs")
    found = Counter(action for (action,) in rows)
    return {f"{action} is not noted" for action in NOTED.values() if not found[action]}
