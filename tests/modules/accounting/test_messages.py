"""Messages where nothing sends them, and the words of letters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

import pytest

from bedplate import Database
from bedplate.kernel.jobs import Running
from bedplate.modules.accounting import (
    NothingSends,
    NotificationType,
    recall_messages,
    remind,
    send_due,
    send_invoice,
    send_receipt,
    set_billing,
)
from bedplate.modules.accounting.jobs import reminders
from bedplate.modules.accounting.rules import About, Letter, letter_about
from bedplate.testing import FrozenClock
from tests.asking import ask
from tests.modules.accounting.business import customer, issued
from tests.world import World


def test_without_a_module_that_sends_nothing_is_written(
    world: World, frozen_clock: FrozenClock
) -> None:
    frozen_clock.set(datetime(2026, 3, 10, tzinfo=UTC))

    async def body(db: Database) -> None:
        made = await issued(db, await customer(db), due=date(2026, 3, 17))
        await set_billing(db, mail_invoices=True, mail_receipts=True)
        frozen_clock.advance(days=8)
        for verb in (remind, send_due, recall_messages):
            assert await verb(db) == ()
        await reminders(db, cast("Running[None]", None))
        for refused in (send_invoice, send_receipt):
            with pytest.raises(NothingSends):
                await refused(db, made.id)

    world.run(body(world.db))
    assert ask(world.clone, "SELECT count(*) FROM accounting.invoice_notifications") == [(0,)]


def about(**fields: Any) -> Callable[[NotificationType], Letter]:
    given: dict[str, Any] = {
        "number": "2026030101",
        "due_on": date(2026, 3, 17),
        "total": Decimal("1234567.80"),
        "balance": Decimal("1000.00"),
    }
    return lambda kind: letter_about(kind, About(**given | fields))


def test_letters_say_number_amount_and_date() -> None:
    letter = about(customer="Ada", seller="Mine & Co\nStreet 1", currency="EUR")
    issued_ = letter(NotificationType.INVOICE_ISSUED)
    assert issued_.subject == "Invoice 2026030101"
    assert issued_.text == (
        "Hello Ada,\n\nYour invoice 2026030101 over EUR 1,234,567.80 is due on 2026-03-17.\n\n"
        "Mine & Co\n"
    )
    assert "<p>Mine &amp; Co</p>" in issued_.html
    overdue = letter(NotificationType.OVERDUE_REMINDER)
    assert overdue.subject == "Invoice 2026030101 is overdue"
    assert "was due on 2026-03-17. Still to pay: EUR 1,000.00." in overdue.text
    assert "is paid in full" in letter(NotificationType.PAYMENT_RECEIVED).text
    with pytest.raises(KeyError):
        letter(NotificationType.INVOICE_VIEWED)


@pytest.mark.parametrize("name", ["Ada Lovelace", "Zoë O'Brien-Łuk", "J. R. R. Tolkien", "李小龙"])
def test_names_are_greeted(name: str) -> None:
    letter = about(customer=name)(NotificationType.INVOICE_ISSUED)
    assert letter.text.startswith(f"Hello {name},\n")


@pytest.mark.parametrize(
    "name",
    [None, "", " \n", "a@b.example", "www", "x.example", "https://x", "<i>", "{a}", "A" * 81],
)
def test_what_is_no_name_is_not(name: str | None) -> None:
    letter = about(customer=name)(NotificationType.INVOICE_ISSUED)
    assert letter.text.startswith("Hello,\n")
