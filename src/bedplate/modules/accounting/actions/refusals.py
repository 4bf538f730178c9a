"""From the rule that the database says was broken to the error that names it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from bedplate.kernel.errors import (
    CheckViolation,
    DataError,
    ExclusionViolation,
    ForeignKeyViolation,
    IntegrityError,
    UniqueViolation,
)
from bedplate.modules.accounting.errors import (
    AccountingRefused,
    AmountInvalid,
    DayInvalid,
    InvoiceFrozen,
    NotPayable,
    OtherPayer,
    OverAllocated,
    PriceOverlap,
    RefundRefused,
    TemplateOver,
    TransitionRefused,
    UnknownCustomer,
)

_RULES: Mapping[str, tuple[type[AccountingRefused], str]] = {
    "transition": (TransitionRefused, "The invoice does not go there from where it stands."),
    "due": (TransitionRefused, "An invoice is overdue from the day after its due date."),
    "draft_only": (InvoiceFrozen, "Only a draft can be deleted."),
    "final": (InvoiceFrozen, "A cancelled or refunded invoice, or an ended template, stays so."),
    "frozen": (InvoiceFrozen, "What an issued invoice bills is fixed."),
    "number": (InvoiceFrozen, "Numbers are given by the database."),
    "sums": (InvoiceFrozen, "Paid and refunded amounts are the sums of their rows."),
    "payable": (NotPayable, "Only an issued or overdue invoice takes payments."),
    "refundable": (NotPayable, "Only a paid invoice is refunded."),
    "over_invoice": (OverAllocated, "More would be paid than the invoice asks for."),
    "over_payment": (OverAllocated, "More would be allocated than was paid."),
    "payer": (OtherPayer, "The payment came from another customer."),
    "over_refund": (RefundRefused, "More would be given back than was paid."),
    "overlap": (PriceOverlap, "Two prices of one customer would overlap."),
    "billed": (TemplateOver, "What a template has billed is written by the run alone."),
    "future": (TransitionRefused, "No day is billed or passed over before it comes."),
    "message": (
        TransitionRefused,
        "An invoice is sent while it stands, and its receipt while it is paid.",
    ),
    "ck_invoices_refunded_amount": (InvoiceFrozen, "Money of it was given back already."),
    "ck_invoices_status": (TransitionRefused, "The status does not fit what is paid."),
    "ck_recurring_invoices_deleted_at": (TemplateOver, "A template that ended is not active."),
    "ck_recurring_invoices_start_date": (
        DayInvalid,
        "The template's start_date is not in the years 2000 to 2199.",
    ),
    "ck_recurring_invoices_end_date": (DayInvalid, "The template ends before it starts."),
    "uq_customer_pricing_config_user_id_effective_from": (
        PriceOverlap,
        "The customer has a price from that day already.",
    ),
    "uq_invoice_payments_invoice_id_cost_payment_id": (
        OverAllocated,
        "The payment is allocated to this invoice already.",
    ),
}


@contextmanager
def told() -> Generator[None]:
    """Raise accounting's own error for a rule of its tables that a statement inside broke."""
    try:
        yield
    except (CheckViolation, ExclusionViolation, UniqueViolation) as broken:
        raise _error(broken) from None
    except ForeignKeyViolation as broken:
        said = f"There is no such row to refer to ({broken.constraint})."
        raise UnknownCustomer(said, rule=broken.constraint) from None
    except DataError:
        raise AmountInvalid("A value does not fit its column.", rule="range") from None


def _error(broken: IntegrityError) -> AccountingRefused:
    rule = broken.constraint
    if rule in _RULES:
        kind, said = _RULES[rule]
        return kind(said, rule=rule)
    if isinstance(broken, CheckViolation):
        return AmountInvalid(f"The rule {rule} refuses a value.", rule=rule)
    return AccountingRefused(f"The rule {rule} refuses it.", rule=rule)
