"""A notification goes the ways that there are, and says what became of its mail."""

from __future__ import annotations

import asyncio
from itertools import product

import psycopg
import pytest

from bedplate.kernel import registry
from bedplate.modules.accounting import Invoice, NotificationStatus, send_invoice
from bedplate.modules.accounting.bridges.delivery import copy_again
from bedplate.modules.delivery import TRANSITIONS, MailStatus, deliver_due, record_bounce, retry
from bedplate.operations import checks
from tests.asking import as_owner, ask
from tests.modules.accounting.bridges.billing import Billing

TABLE = "accounting.invoice_notifications"
DEAF = (
    f"CREATE TRIGGER tr_deaf BEFORE UPDATE ON {TABLE}"
    " FOR EACH STATEMENT EXECUTE FUNCTION bedplate.refuse_change()"
)
HEARING = f"DROP TRIGGER tr_deaf ON {TABLE}"


def drifted(billing: Billing) -> list[tuple[str, str]]:
    """Statuses of the notifications and their mails that `bedplate check` names."""
    settings = billing.clone.settings
    outcomes = checks.run(registry.load(settings.modules, settings.folder), billing.clone.url)
    (found,) = (each for each in outcomes if each.id == "accounting.E101")
    assert found.problem is None
    return [(str(row["status"]), str(row["mail_status"])) for row in found.rows]


async def test_raw_sql_goes_the_ways_that_there_are_and_no_other(billing: Billing) -> None:
    made = await billing.invoice()
    begin = (
        f"INSERT INTO {TABLE} (id, invoice_id, notification_type, stage, sent_to, status, sent_at,"
        " retry_count) SELECT gen_random_uuid(), %s, 'INVOICE_ISSUED', count(*), 'a@b.example',"
        f" %s, bedplate.now(), 3 FROM {TABLE} RETURNING id"
    )
    went = 0
    for before, after in product(NotificationStatus, NotificationStatus):
        if before is after:
            continue
        ((id,),) = billing.ask(begin, made.id, before.name)
        change = f"UPDATE {TABLE} SET status = '{after.name}' WHERE id = %s"
        if MailStatus(after.name) in TRANSITIONS[MailStatus(before.name)]:
            billing.ask(change, id)
            went += 1
            continue
        for run in (ask, as_owner):
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                run(billing.clone, change, id)
            assert refused.value.diag.constraint_name == "transition", (before, after)
    assert went == 7


async def test_what_has_no_retries_left_is_not_taken_up_but_by_hand(billing: Billing) -> None:
    made = await billing.invoice()
    billing.ask(
        f"INSERT INTO {TABLE} (id, invoice_id, notification_type, sent_to, status, retry_count)"
        " VALUES (gen_random_uuid(), %s, 'INVOICE_ISSUED', 'a@b.example', 'FAILED', 49)",
        made.id,
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        billing.ask(f"UPDATE {TABLE} SET status = 'PENDING'")
    billing.ask(f"UPDATE {TABLE} SET status = 'PENDING', retry_count = 0")


async def failed_once(billing: Billing) -> Invoice:
    made = await billing.invoice()
    billing.post.at_rcpt = lambda address: "451 try later"
    await send_invoice(billing.db, made.id)
    await billing.deliver()
    billing.post.at_rcpt = lambda address: None
    billing.clock.advance(days=1)
    return made


async def test_what_was_not_heard_is_named_and_copied_again(billing: Billing) -> None:
    made = await failed_once(billing)
    assert drifted(billing) == []
    as_owner(billing.clone, DEAF)
    assert (await deliver_due(billing.db)).sent == 1
    as_owner(billing.clone, HEARING)
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "FAILED")]
    assert drifted(billing) == [("FAILED", "SENT")]
    assert await copy_again(billing.db) == 1
    assert await copy_again(billing.db) == 0
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "SENT")]
    assert drifted(billing) == []
    assert billing.log(made) == ["EMAIL_FAILED", "EMAIL_SENT", "INVOICE_SENT_TO_CUSTOMER"]
    assert billing.post.ids().total() == 1


async def test_who_missed_that_it_was_tried_again_hears_what_came_of_it(billing: Billing) -> None:
    made = await failed_once(billing)
    is_hearing = asyncio.Event()

    def hear_again(address: str) -> None:
        as_owner(billing.clone, HEARING)
        is_hearing.set()

    as_owner(billing.clone, DEAF)
    billing.post.at_rcpt = hear_again
    assert (await deliver_due(billing.db)).sent == 1
    assert is_hearing.is_set()
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "SENT")]
    assert drifted(billing) == []


async def test_in_step_all_the_way(billing: Billing) -> None:
    made = await failed_once(billing)
    with_server, billing.post.at_data = billing.post.at_data, lambda address: "421 closing down"
    await billing.deliver()
    assert drifted(billing) == []
    billing.post.delay_s = 600
    billing.clock.advance(days=1)
    billing.post.was_asked.clear()
    working = asyncio.create_task(billing.deliver())
    assert await asyncio.to_thread(billing.post.was_asked.wait, 60)
    assert drifted(billing) == []
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert drifted(billing) == []
    billing.post.delay_s, billing.post.at_data = 0, with_server
    await billing.deliver()
    sent = billing.ask(f"SELECT mail_id FROM {TABLE}")[0][0]
    assert drifted(billing) == []
    await record_bounce(billing.db, sent, "552 mailbox full")
    assert drifted(billing) == []
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "BOUNCED")]


async def test_a_mail_tried_anew_by_hand_is_in_step(billing: Billing) -> None:
    await failed_once(billing)
    as_owner(
        billing.clone,
        "UPDATE delivery.outgoing_mails SET state = 'RUNNING', holder = 'x', attempts = 10,"
        " expires_at = bedplate.now() - interval '1 second'",
    )
    await billing.deliver()
    assert drifted(billing) == []
    await retry(billing.db, billing.ask(f"SELECT mail_id FROM {TABLE}")[0][0])
    assert drifted(billing) == []
    assert (await deliver_due(billing.db)).sent == 1
    assert drifted(billing) == []


async def test_a_message_without_its_mail_is_named(billing: Billing) -> None:
    made = await billing.invoice()
    await send_invoice(billing.db, made.id)
    await billing.render()
    as_owner(billing.clone, "DELETE FROM delivery.outgoing_mails")
    assert drifted(billing) == [("PENDING", "None")]
