"""The models of accounting: what belongs together is read together."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from bedplate import Database
from bedplate.kernel.repository import Repository
from bedplate.modules.accounting import (
    AuditAction,
    AuditLog,
    CustomerPricingConfig,
    Invoice,
    InvoiceNotification,
    InvoicePayment,
    NotificationType,
    RecurringInvoice,
    add_payment,
    cancel_invoice,
    create_template,
    customer_pricing_config,
    invoice_notifications,
    invoice_payments,
    invoices,
    recurring_invoices,
    set_price,
)
from tests.modules.accounting.business import customer, issued, money
from tests.world import World

audit_logs = Repository(AuditLog)


def test_every_relation_is_read_in_one_statement(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        invoice = await issued(db, who)
        paid = await add_payment(db, invoice.id, await money(db, who, "5.00"))
        made = RecurringInvoice(
            user_id=who.id, created_by=who.by, day_of_month=1, start_date=date(2026, 1, 1)
        )
        await create_template(db, made)
        price = await set_price(db, who.id, Decimal(1), date(2026, 1, 1), by=who.by)
        told = InvoiceNotification(
            invoice_id=invoice.id,
            notification_type=NotificationType.INVOICE_ISSUED,
            sent_to="ada@example.com",
        )
        await invoice_notifications.create(db, told)
        found = await invoices.get(
            db,
            invoice.id,
            include=(
                Invoice.user,
                Invoice.payments,
                Invoice.notifications,
                Invoice.created_by_user,
                Invoice.updated_by_user,
            ),
        )
        assert (found.user.id, found.created_by_user.id) == (who.id, who.by)
        assert found.updated_by_user is not None
        assert found.updated_by_user.id == who.by
        assert [each.id for each in found.payments] == [paid.payment_id]
        assert [each.sent_to for each in found.notifications] == ["ada@example.com"]
        payment = await invoice_payments.get(
            db, paid.payment_id, include=(InvoicePayment.invoice, InvoicePayment.cost_payment)
        )
        assert (payment.invoice.id, payment.cost_payment.amount) == (invoice.id, Decimal("5.00"))
        message = await invoice_notifications.get(
            db, told.id, include=(InvoiceNotification.invoice,)
        )
        assert message.invoice.invoice_number == invoice.invoice_number
        template = await recurring_invoices.get(
            db,
            made.id,
            include=(
                RecurringInvoice.user,
                RecurringInvoice.created_by_user,
                RecurringInvoice.updated_by_user,
            ),
        )
        assert (template.user.id, template.created_by_user.id) == (who.id, who.by)
        assert template.updated_by_user is None
        held = await customer_pricing_config.get(
            db,
            price,
            include=(
                CustomerPricingConfig.user,
                CustomerPricingConfig.created_by_user,
                CustomerPricingConfig.updated_by_user,
            ),
        )
        assert (held.user.id, held.created_by_user.id) == (who.id, who.by)

    world.run(body(world.db))


def test_an_entry_of_the_log_is_read_with_who_did_it(world: World) -> None:
    async def body(db: Database) -> None:
        who = await customer(db)
        async with db.transaction(actor=who.by) as tx:
            await cancel_invoice(tx, (await issued(tx, who)).id, by=who.by)
        (entry,) = await audit_logs.list(
            db,
            AuditLog.action == AuditAction.INVOICE_CANCELLED,
            include=(AuditLog.user,),
            limit=5,
        )
        assert entry.user is not None
        assert entry.user.id == who.by

    world.run(body(world.db))
