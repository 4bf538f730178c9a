"""Sample prices and templates of the sample users."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from bedplate.kernel.transaction import Transaction
from bedplate.modules.accounting.actions import create_template, set_price
from bedplate.modules.accounting.models import CustomerPricingConfig, RecurringInvoice
from bedplate.modules.accounting.repositories import (
    customer_pricing_config,
    recurring_invoices,
)
from bedplate.modules.auth import User, sample_users, users

PRICE = Decimal("42.00")
FIRST_DAY = date(2026, 1, 1)
FIRST_ID = 0x0198_0000_0000_7000_8002_0000_0000_0000


async def load(tx: Transaction) -> int:
    """Add a price and a template for each sample user that has none; return how many were added."""
    added = 0
    by = sample_users()[0].id
    for number, user in enumerate(sample_users()):
        if not await users.exists(tx, User.id == user.id):
            continue
        if not await customer_pricing_config.exists(tx, CustomerPricingConfig.user_id == user.id):
            await set_price(tx, user.id, PRICE, FIRST_DAY, by=by)
            added += 1
        template = RecurringInvoice(
            id=UUID(int=FIRST_ID + number),
            user_id=user.id,
            day_of_month=1 + number,
            start_date=FIRST_DAY,
            created_by=by,
        )
        if not await recurring_invoices.exists(tx, RecurringInvoice.id == template.id):
            await create_template(tx, template)
            added += 1
    return added
