"""Messages as mail: written with it, followed to its end, told of once."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from bedplate import assign
from bedplate.modules.accounting import (
    NoAddress,
    TransitionRefused,
    UnknownInvoice,
    add_payment,
    document_of,
    send_invoice,
    send_receipt,
    set_billing,
)
from bedplate.modules.auth import User, users
from bedplate.modules.delivery import record_bounce, record_open
from tests.modules.accounting.bridges.billing import Billing
from tests.modules.accounting.business import customer, drafted, money


async def test_an_invoice_is_sent_once_and_its_mail_is_followed(billing: Billing) -> None:
    made = await billing.invoice()
    first = await send_invoice(billing.db, made.id)
    again = await send_invoice(billing.db, made.id)
    assert (first.id, first.status.name) == (again.id, "PENDING")
    await billing.deliver()
    assert billing.subjects() == [f"Invoice {made.invoice_number}"]
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "SENT")]
    assert billing.log(made) == ["EMAIL_SENT", "INVOICE_SENT_TO_CUSTOMER"]
    more = await send_invoice(billing.db, made.id, again=True)
    assert more.stage == 1
    await billing.deliver()
    assert len(billing.post.letters) == 2


async def test_the_letter_says_what_is_due_in_text_and_in_html(billing: Billing) -> None:
    made = await billing.invoice()
    await send_invoice(billing.db, made.id)
    await billing.deliver()
    (letter,) = billing.post.letters
    plain, markup = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert markup is not None
    said = f"Your invoice {made.invoice_number} over 20.00 is due on 2026-03-17."
    assert said in plain.get_content()
    assert f"<p>{said}</p>" in markup.get_content()
    assert "Hello Ada," in plain.get_content()
    (page,) = letter.iter_attachments()
    assert page.get_filename() == f"invoice-{made.invoice_number}.pdf"
    assert page.get_content() == (await document_of(billing.db, made.id)).pdf


async def test_nothing_is_written_where_the_transaction_ends_otherwise(billing: Billing) -> None:
    made = await billing.invoice()

    async def change_of_mind() -> None:
        async with billing.db.transaction() as tx:
            await send_invoice(tx, made.id)
            raise RuntimeError("the caller thinks better of it")

    with pytest.raises(RuntimeError):
        await change_of_mind()
    assert billing.notifications(made) == []
    assert billing.ask("SELECT count(*) FROM delivery.outgoing_mails") == [(0,)]


async def test_a_server_out_of_order_leaves_a_trace_of_each_attempt(billing: Billing) -> None:
    made = await billing.invoice()
    billing.post.at_rcpt = lambda address: "451 try later"
    await send_invoice(billing.db, made.id)
    await billing.deliver()
    ((status, reason, retries, next_at),) = billing.ask(
        "SELECT status::text, failure_reason, retry_count, next_retry_at"
        " FROM accounting.invoice_notifications"
    )
    assert (status, retries) == ("FAILED", 0)
    assert "451" in reason
    assert next_at > billing.clock.now
    billing.post.at_rcpt = lambda address: None
    billing.clock.advance(hours=12)
    await billing.deliver()
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "SENT")]
    assert billing.log(made) == [
        "EMAIL_FAILED",
        "EMAIL_RETRY",
        "EMAIL_SENT",
        "INVOICE_SENT_TO_CUSTOMER",
    ]
    assert billing.ask(
        "SELECT retry_count, next_retry_at FROM accounting.invoice_notifications"
    ) == [(1, None)]


async def test_a_mailbox_that_does_not_exist_bounces_and_is_left_alone(billing: Billing) -> None:
    made = await billing.invoice()
    billing.post.at_rcpt = lambda address: "550 no such mailbox"
    await send_invoice(billing.db, made.id)
    await billing.deliver()
    billing.clock.advance(days=3)
    await billing.deliver()
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "BOUNCED")]
    assert billing.log(made) == ["EMAIL_FAILED"]
    assert sum(billing.post.asked.values()) == 1


async def test_a_mail_that_comes_back_later_is_bounced_too(billing: Billing) -> None:
    made = await billing.invoice()
    sent = await send_invoice(billing.db, made.id)
    await billing.deliver()
    await record_bounce(billing.db, sent.id, "552 mailbox full")
    assert billing.notifications(made) == [("INVOICE_ISSUED", 0, "BOUNCED")]


async def test_the_first_opening_is_noted_and_the_invoice_was_viewed(billing: Billing) -> None:
    made = await billing.invoice()
    await send_invoice(billing.db, made.id)
    await billing.deliver()
    body = billing.post.letters[0].get_body(("html",))
    assert body is not None
    token = body.get_content().partition("/mail/open/")[2].partition('"')[0]
    opened_at = billing.clock.advance(hours=1)
    for _ in range(3):
        assert await record_open(billing.db, token)
        billing.clock.advance(minutes=5)
    assert billing.ask(
        "SELECT notification_type::text, is_read, opened_at, status::text"
        " FROM accounting.invoice_notifications ORDER BY id"
    ) == [
        ("INVOICE_ISSUED", True, opened_at, "SENT"),
        ("INVOICE_VIEWED", True, opened_at, "SENT"),
    ]
    assert billing.log(made) == ["EMAIL_SENT", "INVOICE_SENT_TO_CUSTOMER"]


@pytest.mark.parametrize(
    "name",
    [
        "Ada\r\nBcc: everyone@example.com",
        "Visit http://evil.example/now",
        "evil.example",
        "<b>Ada</b>",
        "{{open_url}}",
        "{number}",
        "A" * 200,
        "\u202eadA\u2028",
    ],
)
async def test_a_name_puts_nothing_into_a_letter(billing: Billing, name: str) -> None:
    who = await customer(billing.db)
    await users.update(billing.db, who.id, assign(User.name, name))
    made = await billing.invoice(who=who)
    await send_invoice(billing.db, made.id)
    await billing.deliver()
    (letter,) = billing.post.letters
    assert letter["Bcc"] is None
    plain = letter.get_body(("plain",))
    assert plain is not None
    greeting = plain.get_content().splitlines()[0]
    assert greeting in ("Hello,", "Hello Ada Bcc: everyone@example.com,", "Hello adA,")
    assert "@" not in greeting


async def test_an_address_that_is_none_fails_by_itself_and_holds_nobody_up(
    billing: Billing,
) -> None:
    broken, well = await billing.invoice(due_in=4), await billing.invoice(due_in=4)
    await users.update(billing.db, broken.user_id, assign(User.email, "two words@nowhere"))
    await billing.go_to(billing.clock.now.date() + timedelta(days=1))
    assert billing.notifications(broken) == [("PAYMENT_REMINDER", -3, "FAILED")]
    assert billing.log(broken) == ["EMAIL_FAILED"]
    assert billing.notifications(well) == [("PAYMENT_REMINDER", -3, "SENT")]


async def test_what_cannot_be_sent_is_refused_by_name(billing: Billing) -> None:
    who = await customer(billing.db)
    draft = await drafted(billing.db, who)
    with pytest.raises(TransitionRefused):
        await send_invoice(billing.db, draft.id)
    with pytest.raises(UnknownInvoice):
        await send_invoice(billing.db, uuid4())
    made = await billing.invoice()
    with pytest.raises(TransitionRefused):
        await send_receipt(billing.db, made.id)
    await users.update(billing.db, made.user_id, assign(User.email, None))
    with pytest.raises(NoAddress):
        await send_invoice(billing.db, made.id)


async def test_invoices_and_receipts_go_by_themselves_where_that_is_set(billing: Billing) -> None:
    who = await customer(billing.db)
    old = await billing.invoice(who=who)
    billing.clock.advance(days=3)
    await billing.run()
    assert billing.subjects() == []
    await set_billing(billing.db, mail_invoices=True, mail_receipts=True)
    made = await billing.invoice(who=who)
    for _ in range(2):
        await billing.run()
    paid = await money(billing.db, who, "40.00")
    await add_payment(billing.db, made.id, paid)
    for _ in range(2):
        await billing.run()
    assert billing.subjects() == [
        f"Invoice {made.invoice_number}",
        f"Invoice {made.invoice_number} is paid",
    ]
    assert billing.notifications(old) == []
