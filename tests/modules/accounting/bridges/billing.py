"""A business that bills, reminds and sends mail to a real server, day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bedplate.kernel.database import Database
from bedplate.modules.accounting import (
    Invoice,
    make_pages,
    recall_messages,
    remind,
    run_overdue,
    send_due,
)
from bedplate.modules.delivery import Delivered, deliver_due
from bedplate.testing import Clone, FrozenClock
from tests.asking import ask
from tests.modules.accounting.business import Customer, customer, issued
from tests.modules.delivery.postmen import PostOffice


@dataclass
class Billing:
    """The business, its database, its clock, and where its mail goes."""

    clone: Clone
    db: Database
    post: PostOffice
    clock: FrozenClock
    today: datetime = datetime(2026, 3, 10, 12, tzinfo=UTC)

    async def invoice(self, *, due_in: int = 7, who: Customer | None = None) -> Invoice:
        """An issued invoice of 20.00, due in so many days from now."""
        due = self.clock.now.date() + timedelta(days=due_in)
        return await issued(self.db, who or await customer(self.db), due=due)

    async def go_to(self, day: date, hour: int = 12) -> None:
        """Move the clock to a day, and run what the worker runs there."""
        self.clock.set(datetime(day.year, day.month, day.day, hour, tzinfo=UTC))
        await self.run()

    async def run(self) -> None:
        """Do once what the worker does every few minutes."""
        await run_overdue(self.db)
        await recall_messages(self.db)
        await send_due(self.db)
        await remind(self.db)
        await self.deliver()

    async def render(self) -> None:
        """Make the pages that invoices wait for."""
        waiting = self.ask(
            "SELECT DISTINCT invoice_id FROM accounting.invoice_notifications"
            " WHERE status = 'PENDING' AND mail_id IS NULL ORDER BY 1"
        )
        await make_pages(self.db, [invoice_id for (invoice_id,) in waiting])

    async def deliver(self) -> Delivered:
        """Make the pages that are waited for, and deliver what is due."""
        await self.render()
        return await deliver_due(self.db, limit=1_000)

    def subjects(self) -> list[str]:
        """What the server was given, in order."""
        return [str(each["Subject"]) for each in self.post.letters]

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the app; return its rows, if it has any."""
        return ask(self.clone, statement, *values)

    def notifications(self, invoice: Invoice) -> list[tuple[str, int, str]]:
        """Type, stage and status of each, in the order in which they were written."""
        return self.ask(
            "SELECT notification_type::text, stage, status::text"
            " FROM accounting.invoice_notifications WHERE invoice_id = %s ORDER BY id",
            invoice.id,
        )

    def log(self, invoice: Invoice) -> list[str]:
        """The actions of its audit log that are about mail, in order."""
        rows = self.ask(
            "SELECT action::text FROM accounting.audit_logs WHERE entity_id = %s"
            " AND (action::text LIKE 'EMAIL%%' OR action = 'INVOICE_SENT_TO_CUSTOMER') ORDER BY id",
            str(invoice.id),
        )
        return [action for (action,) in rows]
