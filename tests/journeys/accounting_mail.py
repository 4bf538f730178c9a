"""The year's mail: a server that refuses one letter in ten, customers who want fewer of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, time
from uuid import UUID

from bedplate import Database, Settings
from bedplate.kernel.sources import Source
from bedplate.modules import accounting as module
from bedplate.modules.delivery import (
    Category,
    QuietHours,
    deliver_due,
    set_preference,
    set_quiet_hours,
)
from bedplate.testing import FrozenClock
from tests.journeys.accounting_book import ISSUED, PAYMENT_REMINDER, REMINDER_DAYS, Book, Key
from tests.journeys.mining_farm import Farm
from tests.modules.delivery.postmen import SENDER, PostOffice

AT_ONCE = 1_000
REMINDERS = Category("accounting.reminder")
QUIET = QuietHours(time(21), time(7, 30), "Europe/Berlin")
LATER = "451 4.3.0 Not now"
NOBODY = "550 5.1.1 No such user"

Notification = tuple[UUID, str, int, date | None, str, str]
"""Its invoice, type, stage, due date, status and address."""


@dataclass
class Mailing:
    """What is mailed, to whom, and what the server was given."""

    db: Database
    farm: Farm
    book: Book
    office: PostOffice
    letters: int = 0
    refused: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])

    def gone(self, customer: int) -> bool:
        """Whether a customer's address is no more."""
        return customer % 13 == 6

    def declines(self, customer: int) -> bool:
        """Whether a customer wants no reminders; what is overdue is told all the same."""
        return customer % 5 == 0

    async def begin(self) -> None:
        self.office.at_data = self._at_data
        self.office.at_rcpt = self._at_rcpt
        await module.set_billing(self.db, mail_invoices=True, reminder_days=REMINDER_DAYS)
        for customer in self.farm.customers:
            whose = self.farm.key("users", customer)
            if self.declines(customer):
                await set_preference(self.db, REMINDERS, False, user_id=whose)
            if customer % 6 == 2:
                await set_quiet_hours(self.db, QUIET, user_id=whose)

    async def post(self) -> None:
        """Write what is due, and send what may go."""
        self.book.write_notices()
        self.book.write_reminders()
        await module.recall_messages(self.db, most=AT_ONCE)
        while sent := await module.send_due(self.db):
            told = module.InvoiceNotification
            rows = await module.invoice_notifications.list(self.db, told.id.in_(sent))
            await module.make_pages(self.db, [each.invoice_id for each in rows])
        while await module.remind(self.db):
            pass
        await self.deliver()

    async def deliver(self) -> None:
        while (done := await deliver_due(self.db, limit=AT_ONCE)).total:
            for name in ("sent", "failed", "bounced", "unsubscribed", "waiting", "lost"):
                self.outcomes[name] += getattr(done, name)

    async def finish(self, clock: FrozenClock) -> None:
        """Let retries and quiet hours end."""
        for _ in range(20):
            clock.advance(hours=7)
            await self.deliver()

    def agree(self, ids: Mapping[Key, UUID], notifications: list[Notification]) -> None:
        """Each message was written once and went once, or is known not to have gone."""
        written = {each[:4]: each[4:] for each in notifications}
        assert len(written) == len(notifications)
        assert {(ids[key], *said) for key, *said in self.book.letters} == set(written)
        sent, pages = Counter[str](), Counter[str]()
        for key, kind, stage, due in self.book.letters:
            (status, address), bill = written[ids[key], kind, stage, due], self.book.bills[key]
            if status == "FAILED":
                # Taken back before it went: its invoice was paid or cancelled meanwhile. That may
                # be so of an address that is no more, whose letter waited for quiet hours to end.
                stands = ("ISSUED", "OVERDUE", *(("PAID",) if kind == ISSUED else ()))
                assert bill.status not in stands, (key, kind)
            elif self.gone(bill.customer):
                assert status in ("BOUNCED", "UNSUBSCRIBED"), (key, kind, status)
            elif kind == PAYMENT_REMINDER and self.declines(bill.customer):
                assert status == "UNSUBSCRIBED", (key, kind, status)
            else:
                assert status == "SENT", (key, kind, status)
                sent[address] += 1
                pages[address] += kind == ISSUED
        given = Counter(str(letter["To"]) for letter in self.office.letters)
        assert given == sent
        given = Counter(
            str(letter["To"])
            for letter in self.office.letters
            for part in letter.iter_attachments()
            if part.get_content_type() == "application/pdf"
        )
        assert given == pages, "each invoice goes with its page, and nothing else has one"
        assert set(self.office.ids().values()) == {1}, "no letter was taken twice"
        assert self.refused == self.letters // 10

    def _at_data(self, address: str) -> str | None:
        self.letters += 1
        if self.letters % 10:
            return None
        self.refused += 1
        return LATER

    def _at_rcpt(self, address: str) -> str | None:
        number = int(address.removeprefix("user").partition("@")[0])
        return NOBODY if self.gone(number) else None


@contextmanager
def mailed(settings: Settings) -> Iterator[tuple[PostOffice, Settings]]:
    """A mail server, and the settings of a project that sends through it."""
    with PostOffice() as office:
        given = {"smtp_url": office.url, "sender": SENDER, "timeout_ms": 20_000}
        sources = {key: Source(f"delivery.{key}", "here", value) for key, value in given.items()}
        yield office, replace(settings, sections={"delivery": sources})
