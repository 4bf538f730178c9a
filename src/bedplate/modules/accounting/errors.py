"""What the verbs of `accounting` refuse; the transaction they ran in has to begin anew."""

from __future__ import annotations

from bedplate.kernel.errors import BedplateError


class AccountingRefused(BedplateError):
    """A rule of invoices, prices or payments refuses it; `rule` is the rule's name."""

    code = "accounting.refused"
    advice = "Nothing was written; correct the request."

    def __init__(self, message: str = "", *, rule: str = "") -> None:
        self.rule = rule
        super().__init__(message or type(self).__doc__ or "")


class UnknownInvoice(AccountingRefused):
    """There is no invoice with this id."""

    code = "accounting.unknown_invoice"
    advice = "Correct the id."


class UnknownCustomer(AccountingRefused):
    """There is no such customer, payment or template to refer to."""

    code = "accounting.unknown_customer"
    advice = "Create it first, or correct the id."


class TransitionRefused(AccountingRefused):
    """The invoice cannot go from where it stands to where it was sent."""

    code = "accounting.transition_refused"
    advice = "See the arrows in rules.TRANSITIONS."


class InvoiceFrozen(AccountingRefused):
    """An issued invoice never changes what it bills, and a final one nothing at all."""

    code = "accounting.invoice_frozen"
    advice = "Cancel it and draft another, or refund it."


class NotPayable(AccountingRefused):
    """Only an issued or overdue invoice takes payments, and only a paid one is refunded."""

    code = "accounting.not_payable"
    advice = "Issue the invoice first."


class OverAllocated(AccountingRefused):
    """More would be paid than the invoice asks for, or than the customer's payment brought."""

    code = "accounting.over_allocated"
    advice = "Pass less, or leave the amount out to allocate what fits."


class OtherPayer(AccountingRefused):
    """The payment came from another customer."""

    code = "accounting.other_payer"
    advice = "Pass a payment of the invoice's own customer."


class RefundRefused(AccountingRefused):
    """More would be given back than was paid."""

    code = "accounting.refund_refused"
    advice = "Pass at most what was paid and not given back yet."


class AmountInvalid(AccountingRefused):
    """The amount, price or count is outside of its limits."""

    code = "accounting.amount_invalid"
    advice = "Amounts go from 0.01 to 9,999,999,999.99, prices to 99,999,999.99, miners from 1."


class DayInvalid(AccountingRefused):
    """A template's first or last day is none that is billed."""

    code = "accounting.day_invalid"
    advice = "Pass a start_date in the years 2000 to 2199, and an end_date that is no earlier."


class SettingInvalid(AccountingRefused):
    """The time zone is unknown, or months, reminders, seller or currency are out of bounds."""

    code = "accounting.setting_invalid"
    advice = "Zones are as in Europe/Reykjavik, currencies as in EUR; 20 days, each within a year."


class NoPrice(AccountingRefused):
    """The customer has no price on that day."""

    code = "accounting.no_price"
    advice = "Set one with accounting.set_price, or pass a unit price."


class PriceOverlap(AccountingRefused):
    """Two prices of one customer would hold on the same day."""

    code = "accounting.price_overlap"
    advice = "Choose another first day; accounting.set_price ends the price before it."


class TemplateOver(AccountingRefused):
    """The template has ended, or what it has billed is fixed."""

    code = "accounting.template_over"
    advice = "Make another template."


class NoDocument(AccountingRefused):
    """An invoice that was never issued has no document."""

    code = "accounting.no_document"
    advice = "Issue the invoice first."


class DocumentPending(AccountingRefused):
    """The invoice is issued, and the worker has not made its document yet."""

    code = "accounting.document_pending"
    advice = "Ask again in a moment; see to it that a worker runs (bedplate work)."


class ContentInvalid(AccountingRefused):
    """What a document is made of is no invoice's content."""

    code = "accounting.content_invalid"
    advice = "Run bedplate check: it names the documents whose content was changed."


class NoAddress(AccountingRefused):
    """The customer has no address to write to."""

    code = "accounting.no_address"
    advice = "Give the customer an e-mail address."


class NothingSends(AccountingRefused):
    """No enabled module carries messages to customers."""

    code = "accounting.nothing_sends"
    advice = "Enable the module delivery, or let a module of yours hear accounting.MessageWritten."
