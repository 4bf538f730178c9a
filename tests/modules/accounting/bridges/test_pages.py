"""An invoice's mail waits for its page, which a worker makes and nobody else."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from bedplate.kernel import registry
from bedplate.modules.accounting import (
    ContentInvalid,
    DocumentPending,
    Invoice,
    cancel_invoice,
    document_of,
    make_pages,
    send_invoice,
    set_billing,
)
from bedplate.modules.delivery import deliver_due
from bedplate.operations import checks
from bedplate.operations.work import Worker, WorkOptions
from tests.asking import as_owner
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.accounting.business import customer
from tests.sabotage import without

JOBS = "SELECT count(*) FROM bedplate.jobs WHERE kind = 'accounting.render' AND state = 'PENDING'"
SEND = "SELECT count(*) FROM accounting.write_message(%s, 'INVOICE_ISSUED', false)"
TABLE = "accounting.invoice_documents"
SPOIL = (
    f"ALTER TABLE {TABLE} DISABLE TRIGGER USER;"
    f"UPDATE {TABLE} SET content = '{{}}';ALTER TABLE {TABLE} ENABLE TRIGGER USER"
)


async def work(billing: Billing) -> None:
    """Be the worker until nothing is left to do."""
    settings = billing.clone.settings
    modules = registry.load(settings.modules, settings.folder)
    await Worker(billing.db, modules, WorkOptions(concurrency=2), note=lambda _: None).drain()


def attached(billing: Billing) -> list[int]:
    """How many files each letter had with it."""
    return [len(list(letter.iter_attachments())) for letter in billing.post.letters]


async def test_whoever_sends_makes_no_page_and_the_worker_sends_it(billing: Billing) -> None:
    made = await billing.invoice()
    sent = await send_invoice(billing.db, made.id)
    assert (sent.status.name, sent.mail_id) == ("PENDING", None)
    with pytest.raises(DocumentPending):
        await document_of(billing.db, made.id)
    assert (await deliver_due(billing.db)).total == 0
    await work(billing)
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "SENT")]
    assert attached(billing) == [1]
    # Once the page is there, the mail is asked for at once.
    again = await send_invoice(billing.db, made.id, again=True)
    assert again.mail_id == again.id
    assert billing.ask(JOBS) == [(0,)]


async def test_what_goes_by_itself_has_its_pages_from_the_worker_too(billing: Billing) -> None:
    await set_billing(billing.db, mail_invoices=True)
    who = await customer(billing.db)
    made = [await billing.invoice(who=who) for _ in range(5)]
    await work(billing)
    billing.clock.advance(minutes=6)
    await work(billing)
    assert sorted(billing.subjects()) == [f"Invoice {each.invoice_number}" for each in made]
    assert attached(billing) == [1] * 5


@pytest.mark.parametrize("is_asked", [True, False])
async def test_a_page_that_is_made_meanwhile_is_sent_all_the_same(
    billing: Billing, is_asked: bool
) -> None:
    made = await billing.invoice()
    if not is_asked:
        wanted = "n.mail_id IS NULL HAVING"
        as_owner(
            billing.clone,
            without(billing.clone, "accounting.write_messages", wanted, "false HAVING"),
        )
    with psycopg.connect(billing.clone.url) as sending:
        sending.execute(SEND, [made.id])
        await work(billing)
        assert (await document_of(billing.db, made.id)).pdf
    await work(billing)
    assert len(billing.post.letters) == (1 if is_asked else 0)
    billing.clock.advance(hours=2)
    settings = billing.clone.settings
    found = checks.run(registry.load(settings.modules, settings.folder), billing.clone.url)
    (law,) = (each for each in found if each.id == "accounting.W101")
    assert law.ok is is_asked


async def test_pages_made_twice_at_once_are_sent_once(billing: Billing) -> None:
    made = [await billing.invoice() for _ in range(6)]
    for each in made:
        await send_invoice(billing.db, each.id)
    ids = [each.id for each in made]
    await asyncio.gather(*(make_pages(billing.db, ids) for _ in range(4)))
    await deliver_due(billing.db)
    assert len(billing.post.letters) == 6
    assert billing.log(made[0]) == ["EMAIL_SENT", "INVOICE_SENT_TO_CUSTOMER"]


async def test_what_cannot_be_drawn_is_sent_without_and_said(billing: Billing) -> None:
    made = await billing.invoice()
    as_owner(billing.clone, SPOIL)
    await send_invoice(billing.db, made.id)
    with pytest.raises(ContentInvalid):
        await make_pages(billing.db, [made.id])
    await deliver_due(billing.db)
    assert attached(billing) == [0]


async def waiting(billing: Billing) -> Invoice:
    made = await billing.invoice()
    await send_invoice(billing.db, made.id)
    await cancel_invoice(billing.db, made.id, by=made.created_by)
    return made


@pytest.mark.parametrize("is_there", [True, False])
async def test_cancelled_while_it_waits_it_is_not_sent(billing: Billing, is_there: bool) -> None:
    made = await waiting(billing)
    if not is_there:
        status = "i.status IN ('ISSUED', 'OVERDUE', 'PAID')"
        as_owner(billing.clone, without(billing.clone, "accounting.write_waiting", status, "true"))
    await make_pages(billing.db, [made.id])
    assert (billing.ask("SELECT count(*) FROM delivery.outgoing_mails") == [(0,)]) is is_there


async def test_cancelled_while_it_waits_it_is_taken_back(billing: Billing) -> None:
    made = await waiting(billing)
    await billing.run()
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "FAILED")]
    assert billing.post.letters == []
