"""What makes a reminder come once and never late: each guard taken away, and what breaks then."""

from __future__ import annotations

import psycopg
import pytest

from bedplate.modules.accounting import Invoice, remind, set_billing
from tests.asking import as_owner
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.accounting.business import customer, money
from tests.sabotage import without

REMIND = "SELECT count(*) FROM accounting.write_reminders(100)"
UNIQUE = "uq_invoice_notifications_once"


async def overdue(billing: Billing) -> Invoice:
    made = await billing.invoice(who=await customer(billing.db))
    billing.clock.advance(days=8)
    return made


def take_away(billing: Billing, part: str) -> None:
    """Take a part out of the function that finds the reminders that are due."""
    as_owner(billing.clone, without(billing.clone, "accounting.write_reminders", part))


@pytest.mark.parametrize(("is_there", "written"), [(True, 1), (False, 2)])
async def test_one_per_stage_is_the_unique_keys_doing(
    billing: Billing, is_there: bool, written: int
) -> None:
    """Two runs, of which the second does not see what the first has committed meanwhile."""
    made = await overdue(billing)
    if not is_there:
        table = "accounting.invoice_notifications"
        as_owner(billing.clone, f"ALTER TABLE {table} DROP CONSTRAINT {UNIQUE}")
    with psycopg.connect(billing.clone.url) as second:
        second.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        second.execute("SELECT 1")
        assert billing.ask(REMIND) == [(1,)]
        if is_there:
            with pytest.raises(psycopg.errors.SerializationFailure):
                second.execute(REMIND.encode())
        else:
            second.execute(REMIND.encode())
    assert len(billing.notifications(made)) == written


@pytest.mark.parametrize(("is_there", "written"), [(True, 0), (False, 1)])
async def test_an_invoice_that_is_being_paid_is_left_alone(
    billing: Billing, is_there: bool, written: int
) -> None:
    who = await customer(billing.db)
    made = await billing.invoice(who=who)
    billing.clock.advance(days=8)
    paid = await money(billing.db, who, "20.00")
    if not is_there:
        take_away(billing, "FOR NO KEY UPDATE OF i SKIP LOCKED")
    with psycopg.connect(billing.clone.url) as paying:
        paying.execute(
            "SELECT * FROM accounting.pay(gen_random_uuid(), %s, %s, NULL, NULL)", [made.id, paid]
        )
        await remind(billing.db)
    assert len(billing.notifications(made)) == written


async def test_the_day_of_issue_is_no_stage(billing: Billing) -> None:
    await billing.invoice(due_in=3)
    assert await remind(billing.db) == ()
    take_away(billing, "AND i.due_date + d.day > accounting.billing_day(i.issued_date)")
    assert len(await remind(billing.db)) == 1


async def test_nobody_is_told_before_the_day_of_what_is_overdue(billing: Billing) -> None:
    await set_billing(billing.db, reminder_days=[-1])
    await overdue(billing)
    assert await remind(billing.db) == ()
    take_away(billing, "AND i.due_date >= v_today")
    assert len(await remind(billing.db)) == 1


RAW = (
    "UPDATE accounting.invoice_notifications SET status = 'PENDING'",
    "UPDATE accounting.invoice_notifications SET sent_at = NULL",
    "UPDATE accounting.invoice_notifications SET is_read = true",
    "UPDATE accounting.invoice_notifications SET retry_count = 50",
    "UPDATE accounting.invoice_notifications SET retry_count = -1",
    "INSERT INTO accounting.invoice_notifications"
    " (id, invoice_id, notification_type, stage, due_date, sent_to)"
    " SELECT gen_random_uuid(), invoice_id, notification_type, stage, due_date, sent_to"
    " FROM accounting.invoice_notifications",
    "UPDATE accounting.invoice_notifications SET stage = stage + 1, invoice_id = id",
    "UPDATE accounting.invoice_notifications SET due_date = NULL",
    "INSERT INTO accounting.invoice_notifications (id, invoice_id, notification_type, sent_to)"
    " SELECT gen_random_uuid(), invoice_id, type, sent_to FROM accounting.invoice_notifications,"
    " unnest('{INVOICE_ISSUED,INVOICE_ISSUED}'::accounting.notification_type[]) AS type",
    "INSERT INTO accounting.billing_settings (reminder_days) VALUES ('[\"soon\"]')",
    "INSERT INTO accounting.billing_settings (reminder_days) VALUES ('[1.5]')",
    "INSERT INTO accounting.billing_settings (reminder_days) VALUES ('[366]')",
    "INSERT INTO accounting.billing_settings (reminder_days) VALUES ('7')",
    "DELETE FROM accounting.invoice_notifications",
    "TRUNCATE accounting.invoice_notifications",
)


@pytest.mark.parametrize("statement", RAW)
async def test_raw_sql_breaks_no_law_of_messages(billing: Billing, statement: str) -> None:
    made = await overdue(billing)
    await billing.run()
    was = billing.notifications(made)
    assert was == [("OVERDUE_REMINDER", 1, "SENT")]
    refused = (psycopg.errors.IntegrityError, psycopg.errors.InsufficientPrivilege)
    with pytest.raises(refused):
        billing.ask(statement)
    assert billing.notifications(made) == was
