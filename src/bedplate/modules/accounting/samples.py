"""Sample prices, templates and invoices of the sample users."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from bedplate.kernel.transaction import Transaction
from bedplate.modules.accounting.actions import (
    add_payment,
    cancel_invoice,
    create_template,
    issue_invoice,
    set_price,
)
from bedplate.modules.accounting.models import CustomerPricingConfig, Invoice, RecurringInvoice
from bedplate.modules.accounting.repositories import (
    BILLING_DAY,
    customer_pricing_config,
    invoices,
    recurring_invoices,
)
from bedplate.modules.auth import User, sample_users, users
from bedplate.modules.mining import CostPayment, cost_payments

PRICE = Decimal("42.00")
PART = Decimal("50.00")
MINERS = 3
DUE = date(2099, 12, 31)
FIRST_ID = 0x0198_0000_0000_7000_8002_0000_0000_0000
FIRST_INVOICE = FIRST_ID + 1_000
KINDS = ("draft", "issued", "paid in part", "paid", "cancelled")


async def load(tx: Transaction) -> int:
    """Add what sample users lack: a price, a template and an invoice each; return how many."""
    added = 0
    today: date = await tx.one(BILLING_DAY)
    # This year's: from a fixed day on, there would be more and more to catch up with.
    first_day = date(today.year, 1, 1)
    living = [user for user in sample_users() if await users.exists(tx, User.id == user.id)]
    for number, user in enumerate(living):
        by = living[0].id
        if not await customer_pricing_config.exists(tx, CustomerPricingConfig.user_id == user.id):
            await set_price(tx, user.id, PRICE, first_day, by=by)
            added += 1
        template = RecurringInvoice(
            id=UUID(int=FIRST_ID + number),
            user_id=user.id,
            day_of_month=1 + number,
            start_date=first_day,
            created_by=by,
        )
        if not await recurring_invoices.exists(tx, RecurringInvoice.id == template.id):
            await create_template(tx, template)
            added += 1
        invoice = Invoice(
            id=UUID(int=FIRST_INVOICE + number),
            user_id=user.id,
            total_miners=MINERS,
            unit_price=PRICE,
            due_date=DUE,
            created_by=by,
        )
        if not await invoices.exists(tx, Invoice.id == invoice.id):
            await invoices.create(tx, invoice)
            await _bring(tx, invoice, KINDS[number % len(KINDS)], by)
            added += 1
    return added


async def _bring(tx: Transaction, invoice: Invoice, kind: str, by: UUID) -> None:
    """Bring a draft to where the sample is to stand; payments as far as the customer has any."""
    if kind == "draft":
        return
    await issue_invoice(tx, invoice.id, by=by)
    if kind == "cancelled":
        await cancel_invoice(tx, invoice.id, by=by)
    elif kind != "issued":
        found = await cost_payments.list(tx, CostPayment.user_id == invoice.user_id, limit=1)
        for payment in found:
            amount = PART if kind == "paid in part" else None
            await add_payment(tx, invoice.id, payment.id, amount)
