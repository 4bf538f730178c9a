"""What an invoice says, as `invoice_documents.content` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from bedplate.modules.accounting.errors import ContentInvalid


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an invoice bills; a host's users may have neither name nor address."""

    id: str
    name: str | None = None
    email: str | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a page shows.

    `seller` is name, address and account, one a line. `currency` stands before every amount; both
    may be empty. Amounts have two decimal places.
    """

    invoice_number: str
    issued_on: date
    due_on: date
    billed_on: date | None = None
    customer: Customer
    miners: int
    unit_price: Decimal
    total: Decimal
    seller: str = ""
    currency: str = ""


def content_of(stored: Mapping[str, Any]) -> Content:
    """Read stored content; raises ContentInvalid where it is not an invoice's, or does not add up.

    Fields that it does not know are left out: what came later is on later pages.
    """
    try:
        content = msgspec.convert(stored, Content)
    except msgspec.ValidationError as error:
        raise ContentInvalid(f"The content is no invoice's: {error}.") from None
    if content.miners * content.unit_price != content.total:
        raise ContentInvalid(f"The sums of {content.invoice_number} do not add up.")
    return content
